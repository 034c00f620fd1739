"""The trading hours of commodities: a year's days, agricultural contracts, hours of a user's own."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pytest

from tests.shared.shown_sessions import CALENDAR, COMMODITY, hours, shown
from utils.market.instruments import Instrument
from utils.market.sessions import SessionCalendar


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        ("2024-03-07", "09:00-23:55"),  # Thursday before daylight-saving time in the United States
        ("2024-03-11", "09:00-23:30"),
        ("2024-11-01", "17:00-23:30"),  # Diwali
        ("2024-11-04", "09:00-23:55"),
        ("2025-03-07", "09:00-23:55"),
        ("2025-03-10", "09:00-23:30"),
        ("2025-10-31", "09:00-23:30"),
        ("2025-11-03", "09:00-23:55"),
        ("2026-01-01", "09:00-17:00"),
        ("2026-01-15", "17:00-23:55"),
        ("2026-03-03", "17:00-23:55"),
        ("2026-03-06", "09:00-23:55"),
        ("2026-03-09", "09:00-23:30"),
        ("2026-03-26", "17:00-23:30"),
        ("2026-04-03", "closed"),
        ("2026-10-30", "09:00-23:30"),
        ("2026-11-02", "09:00-23:55"),
        ("2026-11-10", "17:00-23:55"),
        ("2026-11-24", "17:00-23:55"),
        ("2026-12-25", "closed"),
        ("2027-03-12", "09:00-23:55"),
        ("2027-03-15", "09:00-23:30"),
    ],
)
def test_commodities(day: str, expected: str) -> None:
    assert hours(COMMODITY, day) == expected


def test_commodities_2026_are_shut_and_halved_on_the_listed_days_only() -> None:
    days = [date(2026, 1, 1) + timedelta(days=number) for number in range(365)]
    weekdays = {day.strftime("%m-%d"): hours(COMMODITY, day.isoformat()) for day in days if day.weekday() < 5}
    assert [day for day, text in weekdays.items() if text == "closed"] == ["01-26", "04-03", "10-02", "12-25"]
    assert [day for day, text in weekdays.items() if text.endswith("17:00")] == ["01-01"]
    assert " ".join(day for day, text in weekdays.items() if text.startswith("17:00")) == (
        "01-15 03-03 03-26 03-31 04-14 05-01 05-28 06-26 09-14 10-20 11-10 11-24"
    )


def commodity(underlying: str) -> Instrument:
    symbol = f"{underlying}26DECFUT"
    return Instrument(1, "MCX", symbol, underlying, "MCX-FUT", "FUT", "2026-12-31", 1.0, 1, COMMODITY)


@pytest.mark.parametrize(
    ("underlying", "day", "expected"),
    [
        ("CRUDEOIL", "2026-11-20", "09:00-23:55"),
        ("COTTONCNDY", "2026-11-20", "09:00-21:00"),
        ("COTTONCNDY", "2026-07-01", "09:00-21:00"),
        ("MENTHAOIL", "2026-11-20", "09:00-17:00"),
        ("COTTONCNDY", "2026-11-24", "17:00-21:00"),
        ("MENTHAOIL", "2026-11-24", "closed"),
        ("COTTONCNDY", "2026-01-01", "09:00-17:00"),
        ("MENTHAOIL", "2024-11-01", "18:00-19:00"),
        ("MENTHAOIL", "2025-10-21", "13:45-14:45"),
        ("MENTHAOIL", "2026-10-02", "closed"),
        ("STEELREBAR", "2026-11-20", "09:00-23:55"),
    ],
)
def test_agricultural_contracts_stop_earlier(underlying: str, day: str, expected: str) -> None:
    assert shown(CALENDAR.for_instrument(commodity(underlying), date.fromisoformat(day))) == expected


def test_the_day_that_agricultural_contracts_skip_is_no_missed_session() -> None:
    assert CALENDAR.next_trading_day(COMMODITY, date(2026, 11, 23), ("MCX:MENTHAOIL",)) == date(2026, 11, 25)
    assert CALENDAR.next_trading_day(COMMODITY, date(2026, 11, 23), ("MCX:GOLD",)) == date(2026, 11, 24)


def test_ones_own_hours_of_one_underlying(tmp_path: Path) -> None:
    own = tmp_path / "sessions.local.toml"
    own.write_text(
        '[[special]]\nclasses = ["commodity"]\nplaces = ["MCX:MENTHAOIL"]\nclose = "18:30"\nsource = "a notice"\n'
        'dates = { 2026-11-20 = "extended" }\n'
    )
    calendar, day = SessionCalendar.load(local=own), date(2026, 11, 20)
    assert shown(calendar.for_instrument(commodity("MENTHAOIL"), day)) == "09:00-18:30"
    assert shown(calendar.for_instrument(commodity("CARDAMOM"), day)) == "09:00-17:00"
