"""What becomes of the broker's minutes and days: candles of each timeframe, anchored to the session."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import pytest

from tests.shared.closed_candles import OPEN_MS
from tests.shared.history_broker import CALENDAR, FUTURE, INFY, at, day_rows
from utils.kite.history import Row
from utils.kite.history_candles import day_candles
from utils.kite.history_candles import minute_candles as candles_of_minutes
from utils.market.candle import Source
from utils.market.instruments import Instrument, SessionClass
from utils.market.timeframes import parse_timeframe

NIFTY = Instrument(256265, "NSE", "NIFTY 50", "NIFTY 50", "INDICES", "EQ", "", 0.05, 1, SessionClass.INDEX)


def _by_pandas(rows: Sequence[Row], minutes: int) -> list[tuple[int, float, float, float, float, int]]:
    frame = pd.DataFrame(list(rows), columns=["at", "o", "h", "l", "c", "v", "oi"])
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame["at"], unit="ms", utc=True)).tz_convert("Asia/Kolkata")
    whole = []
    for _, day in frame.groupby(frame.index.date):
        buckets = day.resample(f"{minutes}min", origin=day.index[0]).agg(
            {"at": "first", "o": "first", "h": "max", "l": "min", "c": "last", "v": "sum"}
        )
        whole += [tuple(bucket) for bucket in buckets.dropna().itertuples(index=False)]
    return whole


@pytest.mark.parametrize("name", ["1m", "3m", "5m", "10m", "30m", "1h", "75m", "2h", "24h"])
def test_minutes_make_session_anchored_candles(name: str) -> None:
    rows = day_rows("2026-01-01") + day_rows("2026-01-02")
    timeframe = parse_timeframe(name)
    candles = candles_of_minutes(rows, INFY, timeframe, CALENDAR, at("2026-01-03T00:00"))
    assert [
        (candle.start_ms, candle.open, candle.high, candle.low, candle.close, candle.volume) for candle in candles
    ] == _by_pandas(rows, timeframe.length_ms // 60_000)
    assert candles[-1].end_ms == at("2026-01-02T15:30")
    assert all(
        candle.source is Source.HISTORY and candle.complete and candle.ticks == 0 and candle.oi is None
        for candle in candles
    )


def test_what_is_unfinished_or_outside_the_session_makes_no_candle() -> None:
    rows = (
        day_rows("2026-01-02", "09:00", 15)
        + day_rows("2026-01-02")
        + day_rows("2026-01-02", "15:40", 5)
        + day_rows("2026-01-03")
    )
    five = parse_timeframe("5m")
    until = candles_of_minutes(rows, INFY, five, CALENDAR, at("2026-01-02T09:29:59"))
    assert [candle.start_ms for candle in until] == [at("2026-01-02T09:15"), at("2026-01-02T09:20")]
    whole = candles_of_minutes(rows, INFY, five, CALENDAR, at("2026-01-09T00:00"))
    assert (len(whole), whole[0].start_ms, whole[-1].end_ms) == (75, at("2026-01-02T09:15"), at("2026-01-02T15:30"))
    assert candles_of_minutes([], INFY, five, CALENDAR, OPEN_MS) == []


def test_what_an_instrument_has_not_is_none() -> None:
    rows, minute, late = day_rows("2026-01-02"), parse_timeframe("1m"), at("2026-01-09T00:00")
    assert {
        candles_of_minute.volume for candles_of_minute in candles_of_minutes(rows, NIFTY, minute, CALENDAR, late)
    } == {None}
    future = candles_of_minutes(rows, FUTURE, minute, CALENDAR, late)
    assert (future[5].oi, future[5].volume) == (1005, 5)


def test_days_are_sessions() -> None:
    rows = [(at(f"2026-01-{day:02}T00:00"), 1.0, 3.0, 0.5, 2.0, 9, 0) for day in (1, 2, 3, 5)]
    candles = day_candles(rows, INFY, parse_timeframe("1d"), CALENDAR, at("2026-01-05T12:00"))
    assert [candle.start_ms for candle in candles] == [at("2026-01-01T09:15"), at("2026-01-02T09:15")]
    assert candles[1].end_ms == at("2026-01-02T15:30")
