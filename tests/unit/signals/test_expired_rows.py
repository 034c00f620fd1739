"""Rows of instruments that come no more leave the signal engine, and the others do not notice."""

from __future__ import annotations

from tests.shared.closed_candles import OPEN_MS, SYMBOLS
from tests.unit.signals.test_snapshot import POSITIONS, candles_of, make_engine, progress_of
from utils.market.ist import DAY_MS
from utils.signals.state import SignalProgress

GONE, STAYING = SYMBOLS[1:3], (SYMBOLS[0], *SYMBOLS[3:])


def test_those_that_stay_go_on_as_if_they_had_always_been_alone() -> None:
    progress, alone = progress_of(SYMBOLS, {0: POSITIONS[0]}), progress_of(STAYING, {0: POSITIONS[0]})
    progress.drop(GONE)
    assert progress.symbols() == set(STAYING)
    assert progress.snapshot() == alone.snapshot()
    rest = candles_of(STAYING)
    expected = alone.engine.apply(rest)
    assert repr(progress.engine.apply(rest)) == repr(expected)
    assert len(expected.fired) > 3
    again = SignalProgress.restore(make_engine, progress.snapshot())
    assert again.symbols() == set(STAYING)


def test_they_are_those_that_nobody_watches_a_day_after_their_last_candle() -> None:
    progress = progress_of(SYMBOLS, {0: POSITIONS[0]})
    for days, expected in ((0, set()), (1, set()), (2, set(GONE)), (9, set(GONE))):
        assert progress.expired(STAYING, OPEN_MS + days * DAY_MS) == expected
    assert progress.expired(SYMBOLS, OPEN_MS + 99 * DAY_MS) == set(), "one that is watched may be quiet for long"


def test_one_that_is_only_noted_as_warm_is_dropped_too() -> None:
    progress = progress_of(SYMBOLS, {0: POSITIONS[0]})
    progress.note_warmed([("NFO:GONE", "1m")])
    assert progress.expired(SYMBOLS, OPEN_MS) == {"NFO:GONE"}


def test_a_row_that_becomes_free_is_empty_for_the_next() -> None:
    progress, fresh = progress_of(SYMBOLS, {0: POSITIONS[0]}), make_engine()
    progress.drop(SYMBOLS)
    assert progress.engine.newest_ms() == {}
    candles = candles_of(("NFO:NEW",))
    assert repr(progress.engine.apply(candles)) == repr(fresh.apply(candles))


def test_a_timeframe_that_left_goes_and_the_others_do_not_notice() -> None:
    progress = progress_of(SYMBOLS, {0: POSITIONS[0]})
    progress.drop_timeframes({"5m"})
    assert progress.timeframes() == {"1m"}
    assert progress.symbols() == set(SYMBOLS)
    again = SignalProgress.restore(make_engine, progress.snapshot())
    rest, whole = candles_of(SYMBOLS), progress_of(SYMBOLS, {0: POSITIONS[0]})
    minutes = [row for row in rest if row.timeframe == "1m"]
    assert again.timeframes() == {"1m"}
    assert repr(again.engine.apply(minutes)) == repr(whole.engine.apply(minutes))
