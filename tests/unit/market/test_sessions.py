"""The trading hours of each class on the days where they differ, as literal times; holidays also against others."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import exchange_calendars  # type: ignore[import-untyped]
import pytest

from tests.shared.shown_sessions import (
    CALENDAR,
    COMMODITY,
    CURRENCY,
    INDEX,
    INDEX_FUTURE,
    STOCK,
    STOCK_FNO,
    STOCK_FUTURE,
    clock,
    hours,
    shown,
)
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import ist_date, ist_midnight_ms
from utils.market.sessions import Session
from utils.market.timeframes import bucket_start_ms, parse_timeframe


@pytest.mark.parametrize(
    ("day", "stock_fno", "stock", "index", "derivative"),
    [
        ("2026-07-31", "09:15-15:30 day 09:00-15:30", "09:15-15:30 day 09:00-15:30", "09:15-15:30", "09:15-15:30"),
        ("2026-08-03", "09:15-15:15 day 09:00-15:35", "09:15-15:30 day 09:00-15:30", "09:15-15:30", "09:15-15:40"),
        ("2026-11-20", "09:15-15:15 day 09:00-15:35", "09:15-15:30 day 09:00-15:30", "09:15-15:30", "09:15-15:40"),
        ("2026-12-04", "09:15-15:15 day 09:00-15:35", "09:15-15:30 day 09:00-15:30", "09:15-15:30", "09:15-15:40"),
        ("2026-12-07", "09:15-15:30 day 09:00-15:40", "09:15-15:30 day 09:00-15:30", "09:15-15:30", "09:15-15:45"),
        ("2026-12-08", "09:15-15:30 day 09:00-15:40", "09:15-15:30 day 09:00-15:30", "09:15-15:30", "09:15-15:45"),
    ],
)
def test_the_closing_auctions_phases(day: str, stock_fno: str, stock: str, index: str, derivative: str) -> None:
    assert hours(STOCK_FNO, day) == stock_fno
    assert hours(STOCK, day) == stock
    assert hours(INDEX, day) == index
    assert hours(STOCK_FUTURE, day) == derivative
    assert hours(INDEX_FUTURE, day) == derivative


def test_expiring_index_contracts_stop_earlier_from_december_2026() -> None:
    assert hours(INDEX_FUTURE, "2026-12-08", expiry="2026-12-08") == "09:15-15:30"
    assert hours(INDEX_FUTURE, "2026-12-08", expiry="2026-12-15") == "09:15-15:45"
    assert hours(STOCK_FUTURE, "2026-12-29", expiry="2026-12-29") == "09:15-15:45"
    assert hours(INDEX_FUTURE, "2026-11-17", expiry="2026-11-17") == "09:15-15:40"


def test_an_instrument_brings_its_class_and_expiry() -> None:
    future = Instrument(
        token=256_002,
        exchange="NFO",
        tradingsymbol="NIFTY26DECFUT",
        name="NIFTY",
        segment="NFO-FUT",
        instrument_type="FUT",
        expiry="2026-12-29",
        tick_size=0.1,
        lot_size=65,
        session_class=INDEX_FUTURE,
    )
    assert shown(CALENDAR.for_instrument(future, date(2026, 12, 28))) == "09:15-15:45 day 09:00-15:45"
    assert shown(CALENDAR.for_instrument(future, date(2026, 12, 29))) == "09:15-15:30 day 09:00-15:30"


def listed(exchange: str, segment: str, session_class: SessionClass) -> Instrument:
    return Instrument(1, exchange, "X", "X", segment, "", "2026-11-24", 0.05, 1, session_class)


@pytest.mark.parametrize(
    ("exchange", "segment", "session_class", "day", "expected"),
    [
        ("NFO", "NFO-FUT", STOCK_FUTURE, "2025-12-05", "09:15-15:30"),
        ("NFO", "NFO-FUT", STOCK_FUTURE, "2025-12-08", "09:15-15:30 day 09:00-15:30"),
        ("NFO", "NFO-FUT", INDEX_FUTURE, "2026-11-20", "09:15-15:40 day 09:00-15:40"),
        ("NFO", "NFO-FUT", INDEX_FUTURE, "2026-02-01", "09:15-15:30 day 09:00-15:30"),
        ("NFO", "NFO-FUT", INDEX_FUTURE, "2026-12-08", "09:15-15:45 day 09:00-15:45"),
        ("NFO", "NFO-OPT", STOCK_FUTURE, "2026-11-20", "09:15-15:40"),
        ("NFO", "NFO-OPT", INDEX_FUTURE, "2026-11-20", "09:15-15:40"),
        ("BFO", "BFO-FUT", INDEX_FUTURE, "2026-11-20", "09:15-15:40"),
        ("MCX", "MCX-FUT", COMMODITY, "2026-11-20", "09:00-23:55"),
    ],
)
def test_futures_of_nse_have_a_pre_open_auction_since_2025_12_08(
    exchange: str, segment: str, session_class: SessionClass, day: str, expected: str
) -> None:
    instrument = listed(exchange, segment, session_class)
    assert shown(CALENDAR.for_instrument(instrument, date.fromisoformat(day))) == expected


@pytest.mark.parametrize(
    ("exchange", "session_class", "expected"),
    [
        ("NSE", INDEX, "09:15-15:30"),
        ("BSE", INDEX, "09:15-15:30"),
        ("MCX", INDEX, "09:00-23:55"),
        ("NCO", INDEX, "09:00-23:55"),
        ("CDS", INDEX, "09:00-17:00"),
        ("NSEIX", INDEX, "closed"),
        ("GLOBAL", INDEX, "closed"),
        ("NSEIX", INDEX_FUTURE, "closed"),
        ("NFO", STOCK, "closed"),
    ],
)
def test_the_exchange_is_asked_first_whose_hours_are_kept(
    exchange: str, session_class: SessionClass, expected: str
) -> None:
    """An index of MCX moves with its commodities; what lists where nobody knows the hours has none."""
    instrument = listed(exchange, "INDICES", session_class)
    assert shown(CALENDAR.for_instrument(instrument, date(2026, 11, 20))) == expected
    assert (instrument.hours_class is None) == (expected == "closed")


def test_trades_after_the_close_are_expected_until_the_post_close_session_ends() -> None:
    for session_class, until in ((STOCK, "16:00"), (STOCK_FNO, "16:00"), (INDEX, "15:30"), (COMMODITY, "23:55")):
        session = CALENDAR.session(session_class, date(2026, 11, 20))
        assert session is not None
        assert clock(session.post_end_ms) == until


def test_currency() -> None:
    assert hours(CURRENCY, "2026-11-20") == "09:00-17:00"
    for day in ("2026-02-19", "2026-03-19", "2026-04-01", "2026-08-26"):
        assert hours(CURRENCY, day) == "closed"
        assert hours(STOCK, day) != "closed"
    assert hours(CURRENCY, "2026-02-01") == "closed"


def test_weekend_and_muhurat_sessions() -> None:
    assert hours(STOCK_FNO, "2026-02-01") == "09:15-15:30 day 09:00-15:30"
    assert hours(INDEX_FUTURE, "2026-02-01") == "09:15-15:30"
    assert hours(COMMODITY, "2026-02-01") == "09:00-17:00"
    assert hours(STOCK, "2025-02-01") == "09:15-15:30 day 09:00-15:30"
    assert hours(STOCK, "2024-01-20") == "09:15-15:30 day 09:00-15:30"
    assert hours(INDEX, "2024-03-02") == "09:15-12:30"
    assert hours(STOCK, "2024-05-18") == "09:15-12:40 day 09:00-12:40"
    assert hours(STOCK, "2024-11-01") == "18:00-19:00 day 17:45-19:00"
    assert hours(INDEX, "2024-11-01") == "18:00-19:00"
    assert hours(STOCK, "2025-10-21") == "13:45-14:45 day 13:30-14:45"
    assert hours(COMMODITY, "2025-10-21") == "13:45-14:45"
    assert hours(STOCK, "2026-02-08") == "closed"


def test_the_muhurat_of_2026_is_open_but_not_known() -> None:
    day = date(2026, 11, 8)
    session = CALENDAR.session(STOCK, day)
    assert session is not None
    for likely in ("13:45", "14:44", "18:00", "18:59"):
        at_ms = int(datetime.fromisoformat(f"2026-11-08T{likely}+05:30").timestamp() * 1000)
        assert session.open_ms <= at_ms < session.close_ms
    assert not CALENDAR.is_known(day)
    assert CALENDAR.is_known(date(2026, 11, 9))


def test_beyond_the_table_a_weekday_has_ordinary_hours_and_is_not_known() -> None:
    assert CALENDAR.is_known(date(2024, 1, 1))
    assert CALENDAR.is_known(date(2026, 12, 31))
    for day in (date(2023, 12, 29), date(2027, 1, 1), date(2031, 5, 5)):
        assert not CALENDAR.is_known(day)
        assert CALENDAR.session(STOCK, day) is not None
    assert hours(STOCK_FNO, "2031-05-05") == "09:15-15:30 day 09:00-15:40"
    assert hours(STOCK_FNO, "2019-05-06") == "09:15-15:30 day 09:00-15:30"
    assert hours(STOCK, "2031-05-04") == "closed"
    assert hours(STOCK, "2027-01-26") == "closed"


@pytest.mark.parametrize(
    ("day", "minutes", "stock_fno", "stock", "future"),
    [
        ("2026-07-31", 2, "09:15 09:17 15:27 15:29", "09:15 09:17 15:27 15:29", "09:15 09:17 15:27 15:29"),
        ("2026-07-31", 10, "09:15 09:25 15:15 15:25", "09:15 09:25 15:15 15:25", "09:15 09:25 15:15 15:25"),
        ("2026-07-31", 30, "09:15 09:45 14:45 15:15", "09:15 09:45 14:45 15:15", "09:15 09:45 14:45 15:15"),
        ("2026-07-31", 60, "09:15 10:15 14:15 15:15", "09:15 10:15 14:15 15:15", "09:15 10:15 14:15 15:15"),
        ("2026-07-31", 75, "09:15 10:30 13:00 14:15", "09:15 10:30 13:00 14:15", "09:15 10:30 13:00 14:15"),
        ("2026-08-03", 2, "09:15 09:17 15:11 15:13", "09:15 09:17 15:27 15:29", "09:15 09:17 15:37 15:39"),
        ("2026-08-03", 10, "09:15 09:25 14:55 15:05", "09:15 09:25 15:15 15:25", "09:15 09:25 15:25 15:35"),
        ("2026-08-03", 30, "09:15 09:45 14:15 14:45", "09:15 09:45 14:45 15:15", "09:15 09:45 14:45 15:15"),
        ("2026-08-03", 60, "09:15 10:15 13:15 14:15", "09:15 10:15 14:15 15:15", "09:15 10:15 14:15 15:15"),
        ("2026-08-03", 75, "09:15 10:30 13:00 14:15", "09:15 10:30 13:00 14:15", "09:15 10:30 14:15 15:30"),
        ("2026-11-20", 2, "09:15 09:17 15:11 15:13", "09:15 09:17 15:27 15:29", "09:15 09:17 15:37 15:39"),
        ("2026-11-20", 10, "09:15 09:25 14:55 15:05", "09:15 09:25 15:15 15:25", "09:15 09:25 15:25 15:35"),
        ("2026-11-20", 75, "09:15 10:30 13:00 14:15", "09:15 10:30 13:00 14:15", "09:15 10:30 14:15 15:30"),
        ("2026-12-08", 2, "09:15 09:17 15:27 15:29", "09:15 09:17 15:27 15:29", "09:15 09:17 15:41 15:43"),
        ("2026-12-08", 10, "09:15 09:25 15:15 15:25", "09:15 09:25 15:15 15:25", "09:15 09:25 15:25 15:35"),
        ("2026-12-08", 60, "09:15 10:15 14:15 15:15", "09:15 10:15 14:15 15:15", "09:15 10:15 14:15 15:15"),
        ("2026-12-08", 75, "09:15 10:30 13:00 14:15", "09:15 10:30 13:00 14:15", "09:15 10:30 14:15 15:30"),
    ],
)
def test_candles_start_at_the_open_and_on_from_there(
    day: str, minutes: int, stock_fno: str, stock: str, future: str
) -> None:
    """The first two and the last two candle starts of the day; an index keeps the hours of a stock without F&O."""
    expected = {STOCK_FNO: stock_fno, STOCK: stock, INDEX: stock, STOCK_FUTURE: future, INDEX_FUTURE: future}
    for session_class, text in expected.items():
        starts = _candle_starts(session_class, day, minutes)
        assert " ".join([*starts[:2], *starts[-2:]]) == text, session_class


def _candle_starts(session_class: SessionClass, day: str, minutes: int) -> list[str]:
    """By asking for each minute of the day in whose candle it falls."""
    session = CALENDAR.session(session_class, date.fromisoformat(day))
    assert session is not None
    length_ms = parse_timeframe(f"{minutes}m").length_ms
    midnight = datetime.fromisoformat(f"{day}T00:00+05:30")
    starts: list[str] = []
    for minute in range(24 * 60):
        at_ms = int((midnight + timedelta(minutes=minute)).timestamp()) * 1000
        if session.open_ms <= at_ms < session.close_ms:
            start = clock(bucket_start_ms(at_ms, session.open_ms, length_ms))
            if not starts or starts[-1] != start:
                starts.append(start)
    return starts


def test_the_windows_are_half_open_epoch_milliseconds() -> None:
    session = CALENDAR.session(STOCK_FNO, date(2026, 11, 20))
    assert session is not None
    assert session == Session(
        date=date(2026, 11, 20),
        open_ms=1_795_146_300_000,
        close_ms=1_795_167_900_000,
        day_start_ms=1_795_145_400_000,
        day_end_ms=1_795_169_100_000,
    )


def test_ist_dates_and_midnights() -> None:
    midnight = int(datetime(2026, 11, 19, 18, 30, tzinfo=UTC).timestamp() * 1000)
    assert ist_midnight_ms(date(2026, 11, 20)) == midnight
    assert ist_date(midnight) == date(2026, 11, 20)
    assert ist_date(midnight - 1) == date(2026, 11, 19)
    assert ist_date(-19_800_001) == date(1969, 12, 31)


def test_the_16_weekday_holidays_of_2026_are_those_of_exchange_calendars() -> None:
    ours = _weekday_holidays(2026)
    assert ours == _weekday_holidays_elsewhere(2026)
    assert " ".join(day.strftime("%m-%d") for day in ours) == (
        "01-15 01-26 03-03 03-26 03-31 04-03 04-14 05-01 05-28 06-26 09-14 10-02 10-20 11-10 11-24 12-25"
    )


@pytest.mark.parametrize(("year", "muhurat"), [(2024, date(2024, 11, 1)), (2025, date(2025, 10, 21))])
def test_earlier_holidays_are_those_of_exchange_calendars(year: int, muhurat: date) -> None:
    """It counts a weekday of muhurat as closed or open as it likes: here it is a session."""
    elsewhere = [day for day in _weekday_holidays_elsewhere(year) if day != muhurat]
    assert _weekday_holidays(year) == elsewhere


def _weekdays(year: int) -> list[date]:
    days = [date(year, 1, 1) + timedelta(days=number) for number in range(366)]
    return [day for day in days if day.year == year and day.weekday() < 5]


def _weekday_holidays(year: int) -> list[date]:
    return [day for day in _weekdays(year) if CALENDAR.session(STOCK, day) is None]


def _weekday_holidays_elsewhere(year: int) -> list[date]:
    calendar = exchange_calendars.get_calendar("XBOM", start=f"{year}-01-01", end=f"{year}-12-31")
    sessions = {session.date() for session in calendar.sessions}
    return [day for day in _weekdays(year) if day not in sessions]


def test_the_trading_days_beside_a_day() -> None:
    assert CALENDAR.next_trading_day(STOCK, date(2026, 1, 30)) == date(2026, 2, 1)
    assert CALENDAR.next_trading_day(CURRENCY, date(2026, 1, 30)) == date(2026, 2, 2)
    assert CALENDAR.next_trading_day(STOCK, date(2026, 12, 24)) == date(2026, 12, 28)
    assert CALENDAR.previous_trading_day(STOCK, date(2026, 12, 28)) == date(2026, 12, 24)
    assert CALENDAR.previous_trading_day(COMMODITY, date(2026, 11, 11)) == date(2026, 11, 10)


def test_an_answer_is_kept() -> None:
    first = CALENDAR.session(STOCK, date(2026, 11, 20))
    assert first is not None
    assert CALENDAR.session(STOCK, date(2026, 11, 20)) is first
