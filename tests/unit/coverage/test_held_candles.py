"""What is held of a day, counted by hand."""

from __future__ import annotations

from datetime import date

import pytest

from utils.coverage.held_candles import Coverage, buckets_of, coverage_of
from utils.market.candle import Candle, Source, TimedBy
from utils.market.sessions import Session
from utils.market.timeframes import parse_timeframe

OPEN_MS = 1_795_146_300_000  # 2026-11-20, 09:15 IST
MINUTE_MS = 60_000
CLOSE_MS = OPEN_MS + 375 * MINUTE_MS
SESSION = Session(date(2026, 11, 20), OPEN_MS, CLOSE_MS, OPEN_MS - 15 * MINUTE_MS, CLOSE_MS + 5 * MINUTE_MS)
LATER_MS = CLOSE_MS + 3_600_000


def candle(start_ms: int, minutes: int, complete: bool = True, timeframe: str = "5m") -> Candle:
    end_ms = min(start_ms + minutes * MINUTE_MS, CLOSE_MS)
    prices, rest = (1.0, 1.0, 1.0, 1.0, None, None, None, 1), (complete, Source.LIVE, 0, TimedBy.EXCHANGE)
    return Candle("NSE:INFY", timeframe, 408065, start_ms, end_ms, *prices, *rest)


def covered(held: list[Candle], timeframe: str = "5m", until_ms: int = LATER_MS) -> Coverage:
    return coverage_of("NSE:INFY", parse_timeframe(timeframe), SESSION, held, until_ms)


def every(minutes: int) -> list[Candle]:
    return [candle(start, minutes) for start in range(OPEN_MS, CLOSE_MS, minutes * MINUTE_MS)]


@pytest.mark.parametrize(("timeframe", "expected"), [("1m", 375), ("5m", 75), ("1h", 7), ("2h", 4), ("1d", 1)])
def test_as_many_are_expected_as_the_session_has_buckets(timeframe: str, expected: int) -> None:
    assert covered([], timeframe).expected == expected


def test_the_last_bucket_ends_with_the_session_and_the_day_with_its_auction() -> None:
    assert buckets_of(parse_timeframe("1h"), SESSION)[-1] == (OPEN_MS + 360 * MINUTE_MS, CLOSE_MS)
    assert buckets_of(parse_timeframe("1d"), SESSION) == [(OPEN_MS, CLOSE_MS + 5 * MINUTE_MS)]


def test_a_whole_day_has_no_gap() -> None:
    found = covered(every(5))
    assert (found.candles, found.expected, found.incomplete, found.gaps) == (75, 75, 0, ())
    assert (found.first_ms, found.last_ms) == (OPEN_MS, CLOSE_MS - 5 * MINUTE_MS)


def test_gaps_are_stretches_and_incomplete_ones_are_counted() -> None:
    held = every(5)
    held[3] = candle(held[3].start_ms, 5, complete=False)
    del held[70:75], held[10:12], held[0]
    found = covered(held)
    minutes = [((a - OPEN_MS) // MINUTE_MS, (b - OPEN_MS) // MINUTE_MS) for a, b in found.gaps]
    assert minutes == [(0, 5), (50, 60), (350, 375)]
    assert (found.candles, found.incomplete) == (67, 1)
    assert found.first_ms == OPEN_MS + 5 * MINUTE_MS


def test_what_is_not_over_yet_is_neither_expected_nor_missing() -> None:
    found = covered([candle(OPEN_MS, 5)], until_ms=OPEN_MS + 12 * MINUTE_MS)
    assert (found.candles, found.expected, found.gaps) == (
        1,
        2,
        ((OPEN_MS + 5 * MINUTE_MS, OPEN_MS + 10 * MINUTE_MS),),
    )
    assert covered([], until_ms=OPEN_MS).gaps == ()


def test_a_day_without_any_is_one_gap() -> None:
    document = covered([]).as_document()
    assert document["_id"] == document["k"] == "NSE:INFY|5m|2026-11-20"
    assert (document["candles"], document["first"], document["last"]) == (0, None, None)
    assert document["gaps"] == ["2026-11-20T09:15:00+05:30/2026-11-20T15:30:00+05:30"]
    assert (document["t"], document["day"], document["symbol"], document["timeframe"]) == (
        OPEN_MS, "2026-11-20", "NSE:INFY", "5m",
    )  # fmt: skip
