"""The reference's inputs: instruments with the session of the day, settings, and journal entries."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple

IST_OFFSET = timedelta(hours=5, minutes=30)
_DAY_MS = 86_400_000


class Entry(NamedTuple):
    """One journal entry: receive time in epoch ms, counter within it, kind `f` | `t` | `m`, and its bytes."""

    ms: int
    counter: int
    kind: str
    payload: bytes


@dataclass(frozen=True)
class ReferenceInstrument:
    """An instrument with its hours of the date. `tick_units`: the tick size in wire units.

    Continuous trading is [open_ms, close_ms), the day window [day_start_ms, day_end_ms); all None = closed that day.
    """

    symbol: str
    token: int
    is_index: bool
    is_derivative: bool
    divisor: int
    tick_units: int
    open_ms: int | None
    close_ms: int | None
    day_start_ms: int | None
    day_end_ms: int | None


@dataclass(frozen=True)
class ReferenceSettings:
    """The settings a candle depends on. `timeframes` are (name, length in ms), length 0 for `1d`."""

    timeframes: tuple[tuple[str, int], ...]
    grace_ms: int = 3_000
    skew_ms: int = 60_000
    z_window: int = 120
    z_min_ticks: int = 20
    z_warn: float = 2.5
    z_reject: float = 4.0
    z_floor_ticks: int = 10
    z_floor_bps: float = 10.0
    z_accept_after: int = 2


def ist_midnight_ms(at_ms: int) -> int:
    """The beginning of the IST date of an instant, in epoch ms."""
    offset_ms = IST_OFFSET // timedelta(milliseconds=1)
    return (at_ms + offset_ms) // _DAY_MS * _DAY_MS - offset_ms


def ist_date(at_ms: int) -> date:
    """The IST calendar date of an instant."""
    return (datetime.fromtimestamp(at_ms / 1000, UTC) + IST_OFFSET).date()


def mark_of(payload: bytes) -> tuple[str, list[int]]:
    """The name of a connector's mark and, for `subscribed`, the tokens it names, in order."""
    content = json.loads(payload)
    return str(content["mark"]), [int(instrument["token"]) for instrument in content.get("instruments", [])]
