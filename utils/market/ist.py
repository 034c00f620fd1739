"""Indian Standard Time: epoch milliseconds to IST dates, days and texts, and back. No daylight-saving time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any, TypeVar

Number = TypeVar("Number", int, Any)  # a number, or numpy's array of them

MINUTE_MS = 60_000
DAY_MS = 86_400_000
IST_OFFSET_MS = 19_800_000
EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
IST = timezone(timedelta(milliseconds=IST_OFFSET_MS), "IST")


def ist_day(at_ms: Number) -> Number:
    """The IST day of an instant (epoch ms), or of each of an array, counted from 1970-01-01.

    >>> ist_day(0), ist_day(-19_800_001)
    (0, -1)
    """
    return (at_ms + IST_OFFSET_MS) // DAY_MS


def ist_day_start_ms(day: int) -> int:
    """00:00 IST of a day counted from 1970-01-01, epoch milliseconds.

    >>> ist_day_start_ms(ist_day(1_795_146_300_000))
    1795113000000
    """
    return day * DAY_MS - IST_OFFSET_MS


def ist_midnight_ms(day: date) -> int:
    """00:00 IST of a date, epoch milliseconds."""
    return ist_day_start_ms(day.toordinal() - EPOCH_ORDINAL)


def ist_date(at_ms: int) -> date:
    """The IST date of an instant, epoch milliseconds."""
    return date.fromordinal(ist_day(at_ms) + EPOCH_ORDINAL)


@lru_cache(maxsize=8192)
def iso_ist(at_ms: int) -> str:
    """One fixed offset, so that the texts sort as the times do.

    >>> iso_ist(1_795_146_300_000)
    '2026-11-20T09:15:00+05:30'
    """
    moment = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(IST)
    return moment.isoformat(timespec="seconds" if at_ms % 1000 == 0 else "milliseconds")
