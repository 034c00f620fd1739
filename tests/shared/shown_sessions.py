"""Sessions as short texts, from the calendar that ships with the project."""

from __future__ import annotations

from datetime import date, datetime
from zoneinfo import ZoneInfo

from utils.market.instruments import SessionClass
from utils.market.sessions import Session, SessionCalendar

KOLKATA = ZoneInfo("Asia/Kolkata")
CALENDAR = SessionCalendar.load()

STOCK_FNO, STOCK, INDEX = SessionClass.EQUITY_FNO, SessionClass.EQUITY, SessionClass.INDEX
STOCK_FUTURE, INDEX_FUTURE = SessionClass.EQUITY_DERIVATIVE, SessionClass.INDEX_DERIVATIVE
CURRENCY, COMMODITY = SessionClass.CURRENCY, SessionClass.COMMODITY


def clock(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, KOLKATA).strftime("%H:%M")


def shown(session: Session | None) -> str:
    """`open-close`, and the day's window after it where it differs."""
    if session is None:
        return "closed"
    continuous = f"{clock(session.open_ms)}-{clock(session.close_ms)}"
    day = f"{clock(session.day_start_ms)}-{clock(session.day_end_ms)}"
    return continuous if day == continuous else f"{continuous} day {day}"


def hours(session_class: SessionClass, day: str, expiry: str = "") -> str:
    return shown(CALENDAR.session(session_class, date.fromisoformat(day), expiry))
