"""What a warm-up finds lacking: session by session, timeframe by timeframe."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from tests.shared.closed_candles import minute_candles
from utils.market.candle import Candle
from utils.market.hours_kept import hours_kept
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframe
from utils.signals.state import missed_a_session
from utils.signals.warmup_plan import missing_from, newest_bucket_end_ms

CALENDAR = SessionCalendar.load()
IST = timezone(timedelta(hours=5, minutes=30))
INFY = Instrument(1, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp() * 1000)


def minutes(*days: str) -> list[Candle]:
    return minute_candles("NSE:INFY", [at(f"{day}T09:15") for day in days])


def lacking(name: str, held: list[Candle], cut: str) -> int | None:
    return missing_from(INFY, parse_timeframe(name), held, CALENDAR, at(cut))


@pytest.mark.parametrize(
    ("name", "cut", "end"),
    [
        ("1m", "2026-01-02T09:14", "2026-01-01T15:30"),
        ("1m", "2026-01-02T09:15:59", "2026-01-01T15:30"),
        ("1m", "2026-01-02T09:16", "2026-01-02T09:16"),
        ("10m", "2026-01-02T10:07", "2026-01-02T10:05"),
        ("1h", "2026-01-02T15:29", "2026-01-02T15:15"),
        ("1h", "2026-01-02T15:30", "2026-01-02T15:30"),
        ("1d", "2026-01-02T15:29", "2026-01-01T15:30"),
        ("1d", "2026-01-02T15:30", "2026-01-02T15:30"),
        ("5m", "2026-01-04T12:00", "2026-01-02T15:30"),
        ("5m", "2026-01-26T12:00", "2026-01-23T15:30"),
    ],
)
def test_the_newest_bucket_that_is_over(name: str, cut: str, end: str) -> None:
    assert newest_bucket_end_ms(INFY, parse_timeframe(name), CALENDAR, at(cut)) == at(end)


def test_enough_up_to_the_last_session_needs_nothing() -> None:
    assert lacking("1m", minutes("2026-01-01"), "2026-01-02T09:14") is None
    assert lacking("1m", minutes("2026-01-01")[-200:], "2026-01-02T09:14") is None


def test_what_ends_too_early_is_asked_for_from_its_end() -> None:
    assert lacking("1m", minutes("2026-01-01")[:-1], "2026-01-02T09:14") == at("2026-01-01T15:29")
    assert lacking("1m", minutes("2026-01-01"), "2026-01-02T09:30") == at("2026-01-01T15:30")


def test_too_few_are_asked_for_from_far_enough_back() -> None:
    from_ms = lacking("1m", minutes("2026-01-01")[-199:], "2026-01-02T09:14")
    assert from_ms is not None
    assert from_ms <= at("2025-12-26T09:15")
    hours = lacking("1h", [], "2026-01-02T09:14")
    assert hours is not None
    assert at("2025-11-01T09:15") < hours < at("2025-11-16T09:15")
    days = lacking("1d", [], "2026-01-02T09:14")
    assert days is not None
    assert at("2024-12-01T00:00") < days < at("2025-01-10T00:00")


def test_a_day_without_a_candle_is_asked_for() -> None:
    assert lacking("1m", minutes("2025-12-30", "2026-01-01"), "2026-01-02T09:14") == at("2025-12-31T09:15")


def test_seconds_cannot_be_had() -> None:
    assert lacking("30s", [], "2026-01-02T09:14") is None


def test_a_contract_is_never_asked_for_beyond_the_most_sessions() -> None:
    start = missing_from(replace(INFY), parse_timeframe("24h"), [], CALENDAR, at("2026-01-02T09:14"))
    assert start is not None
    assert start > at("2024-01-01T00:00")


@pytest.mark.parametrize(
    ("seen", "upcoming", "missed"),
    [
        ("2026-01-01T15:30", "2026-01-02T09:16", False),
        ("2026-01-02T15:30", "2026-01-05T09:16", False),
        ("2026-01-02T15:30", "2026-01-05T23:16", False),
        ("2026-01-02T15:30", "2026-01-06T09:16", True),
        ("2026-01-02T11:30", "2026-01-02T15:16", False),
    ],
)
def test_a_missed_session_is_noticed(seen: str, upcoming: str, missed: bool) -> None:
    assert missed_a_session(at(seen), at(upcoming), hours_kept(["NSE:INFY"], {}, CALENDAR), CALENDAR) is missed


@pytest.mark.parametrize(
    ("symbols", "seen", "upcoming", "missed"),
    [
        (["NSE:INFY"], "2026-11-23T15:30", "2026-11-25T09:16", False),
        (["NSE:INFY", "MCX:CRUDEOIL26DECFUT"], "2026-11-23T23:55", "2026-11-25T09:01", True),
        (["MCX:MCXCRUDEX"], "2026-11-23T23:55", "2026-11-24T17:01", False),
        (["CDS:USDINR26NOVFUT"], "2026-02-18T17:00", "2026-02-20T09:01", False),
        (["NSE:INFY"], "2026-02-18T17:00", "2026-02-20T09:16", True),
        (["NSEIX:GIFT NIFTY"], "2026-02-18T17:00", "2026-02-27T09:16", False),
    ],
)
def test_a_session_is_missed_by_the_hours_of_the_instruments(
    symbols: list[str], seen: str, upcoming: str, missed: bool
) -> None:
    """On 2026-11-24 only commodities trade, in the evening; on 2026-02-19 only currencies are closed."""
    assert missed_a_session(at(seen), at(upcoming), hours_kept(symbols, {}, CALENDAR), CALENDAR) is missed
