"""All hand-made cases: one input for the reference and the pipeline, the expectations worked out by hand."""

from __future__ import annotations

from tests.reference import (
    cases_doubts,
    cases_feed,
    cases_kinds,
    cases_late,
    cases_modes,
    cases_opening,
    cases_price_first,
    cases_prices,
    cases_volume,
    cases_zscore,
)
from tests.reference.case_building import Case

CASES: tuple[Case, ...] = (
    *cases_volume.CASES,
    *cases_late.CASES,
    *cases_feed.CASES,
    *cases_prices.CASES,
    *cases_price_first.CASES,
    *cases_doubts.CASES,
    *cases_zscore.CASES,
    *cases_opening.CASES,
    *cases_kinds.CASES,
    *cases_modes.CASES,
)
