"""The fast engine on the cases that were worked out by hand: each rule of docs/CANDLES.md on its own."""

from __future__ import annotations

import pytest

from tests.reference.case_building import Case, Expected, at
from tests.reference.cases import CASES
from tests.reference.engine_runs import run_engine
from utils.market.candle import Candle


def as_expected(candle: Candle, expected: Expected, closed: bool) -> tuple[object, ...]:
    vwap = candle.vwap if candle.vwap is None or expected.vwap is None else pytest.approx(candle.vwap, rel=1e-12)
    return (
        candle.symbol, candle.timeframe, candle.start_ms, candle.end_ms, candle.open, candle.high, candle.low,
        candle.close, candle.volume, vwap, candle.ticks, candle.complete, candle.rev, candle.oi,
        str(candle.timed_by), closed,
    )  # fmt: skip


def by_hand(one: Expected) -> tuple[object, ...]:
    return (
        one.symbol, one.timeframe, at(one.start), at(one.end), one.open, one.high, one.low, one.close, one.volume,
        one.vwap, one.ticks, one.complete, one.rev, one.oi, one.timed_by, one.closed,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("batch", [1, 1000])
def test_case(case: Case, batch: int) -> None:
    run = run_engine(case.entries, [one.reference for one in case.instruments], case.settings, batch=batch)
    found = {(candle.id, True): candle for candle in run.final.values()}
    found |= {(candle.id, False): candle for candle in run.still_open.values()}
    expected = {(f"{one.symbol}|{one.timeframe}|{at(one.start):015d}", one.closed): one for one in case.expected}
    assert found.keys() == expected.keys()
    for key, one in expected.items():
        assert as_expected(found[key], one, key[1]) == by_hand(one)
    assert dict(run.rejected) == dict(case.rejected)
    if case.events is not None:
        published = [
            (one.candle.symbol, one.candle.timeframe, one.candle.start_ms, one.candle.rev) for one in run.published
        ]
        assert published == [(symbol, timeframe, at(start), rev) for symbol, timeframe, start, rev in case.events]
