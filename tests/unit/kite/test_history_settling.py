"""Candles from history end where the broker's rows end, and what the broker may still be writing makes none."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from tests.fuzz.history import SPAN, STOCK, history_that_gets
from utils.kite.history import Row
from utils.kite.history_candles import day_candles, minute_candles
from utils.market.candle import Candle
from utils.market.ist import IST
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframe

CALENDAR = SessionCalendar.load()
DAY = "2026-11-20"


def at(text: str, day: str = DAY) -> int:
    return round(datetime.fromisoformat(f"{day}T{text}").replace(tzinfo=IST).timestamp() * 1000)


def rows(first: str, count: int, day: str = DAY) -> list[Row]:
    return [(at(first, day) + 60_000 * index, 100.0, 101.0, 99.0, 100.5, 1_000, 0) for index in range(count)]


def made(name: str, of: list[Row], asked: str, doubtful: tuple[int, ...] = ()) -> list[Candle]:
    return minute_candles(of, STOCK, parse_timeframe(name), CALENDAR, at(asked), doubtful)


def ends(candles: list[Candle]) -> list[str]:
    return [datetime.fromtimestamp(candle.end_ms / 1000, IST).strftime("%H:%M") for candle in candles]


@pytest.mark.parametrize(
    ("name", "rows_until", "asked", "last_end"),
    [
        ("5m", "11:43", "11:45:01", "11:40"),  # the minute 11:43 is not there yet: a candle of three minutes
        ("5m", "11:44", "11:45:01", "11:40"),
        ("5m", "11:45", "11:45:01", "11:40"),  # there, and perhaps half of it
        ("5m", "11:45", "11:45:29", "11:40"),
        ("5m", "11:45", "11:45:30", "11:45"),
        ("5m", "11:44", "12:30:00", "11:40"),  # nobody traded, or the broker is late: the same answer
        ("1m", "11:45", "11:45:29", "11:44"),
        ("15m", "11:45", "11:45:29", "11:30"),
        ("75m", "15:14", "15:31:00", "14:15"),
        ("75m", "15:15", "15:31:00", "15:15"),
    ],
)
def test_a_bucket_ends_where_the_settled_rows_end(name: str, rows_until: str, asked: str, last_end: str) -> None:
    count = (at(rows_until) - at("09:15")) // 60_000
    candles = made(name, rows("09:15", count), asked)
    assert ends(candles)[-1] == last_end
    assert all(candle.volume == 1_000 * (candle.end_ms - candle.start_ms) // 60_000 for candle in candles)


def test_an_earlier_day_is_settled_wherever_its_rows_end() -> None:
    quiet = rows("15:05", 1, "2026-11-19")
    assert ends(made("15m", quiet, "09:10:00")) == ["15:15"]
    assert ends(made("15m", quiet + rows("09:15", 5), "09:20:30")) == ["15:15"]


def test_a_bucket_with_a_minute_that_was_left_out_makes_no_candle() -> None:
    minutes = rows("09:15", 20)
    candles = made("5m", [*minutes[:6], *minutes[7:]], "12:00:00", (minutes[6][0],))
    assert ends(candles) == ["09:20", "09:30", "09:35"]


def test_the_row_of_today_is_no_day_yet() -> None:
    day = parse_timeframe("1d")
    held = [(at("00:00", name), 1.0, 3.0, 0.5, 2.0, 9, 0) for name in ("2026-11-19", DAY)]
    for asked, count in (("15:41", 1), ("23:59:59", 1)):
        assert len(day_candles(held, STOCK, day, CALENDAR, at(asked))) == count
    assert len(day_candles(held, STOCK, day, CALENDAR, at("00:00", "2026-11-21"))) == 2


GOOD = [f"{DAY}T09:15:00+0530", 100.0, 102.0, 99.0, 101.0, 500]


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ([f"{DAY}T09:16:00+0530", 100.0, 102.0, 0.0, 101.0, 500], "prices"),
        ([f"{DAY}T09:16:00+0530", 100.0, 102.0, -99.0, 101.0, 500], "number"),
        ([f"{DAY}T09:16:30+0530", 100.0, 102.0, 99.0, 101.0, 500], "time"),
    ],
)
def test_the_minute_of_a_bad_row_is_doubtful(odd: list[object], reason: str) -> None:
    body = json.dumps({"data": {"candles": [GOOD, odd]}}).encode()
    history = history_that_gets(200, {}, body)
    assert len(history.rows(STOCK, "minute", SPAN)) == 1
    assert history.rejected == {reason: 1}
    assert history.doubtful_ms == {at("09:16")}


def test_two_rows_of_one_minute_that_differ_are_both_left_out() -> None:
    other = [GOOD[0], 100.0, 104.0, 99.0, 103.0, 800]
    history = history_that_gets(200, {}, json.dumps({"data": {"candles": [GOOD, GOOD, other]}}).encode())
    assert history.rows(STOCK, "minute", SPAN) == []
    assert history.rejected == {"conflict": 1}
    assert history.doubtful_ms == {at("09:15")}
