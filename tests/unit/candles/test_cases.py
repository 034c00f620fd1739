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


def by_hand(row: Expected) -> tuple[object, ...]:
    return (
        row.symbol, row.timeframe, at(row.start), at(row.end), row.open, row.high, row.low, row.close, row.volume,
        row.vwap, row.ticks, row.complete, row.rev, row.oi, row.timed_by, row.closed,
    )  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
@pytest.mark.parametrize("batch", [1, 1000])
def test_case(case: Case, batch: int) -> None:
    run = run_engine(
        case.entries, [instrument.reference for instrument in case.instruments], case.settings, batch=batch
    )
    found = {(candle.id, True): candle for candle in run.final.values()}
    found |= {(candle.id, False): candle for candle in run.still_open.values()}
    expected = {
        (f"{candle.symbol}|{candle.timeframe}|{at(candle.start):015d}", candle.closed): candle
        for candle in case.expected
    }
    assert found.keys() == expected.keys()
    for key, expected_name in expected.items():
        assert as_expected(found[key], expected_name, key[1]) == by_hand(expected_name)
    assert dict(run.rejected) == dict(case.rejected)
    if case.events is not None:
        published = [
            (message.candle.symbol, message.candle.timeframe, message.candle.start_ms, message.candle.rev)
            for message in run.published
        ]
        assert published == [(symbol, timeframe, at(start), rev) for symbol, timeframe, start, rev in case.events]
