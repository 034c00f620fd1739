"""Until when in a session a position may be opened: NO_NEW_ENTRIES_AFTER, read and applied. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from utils.market.candle import Candle
from utils.market.hours_kept import Kept, hours_kept
from utils.market.instruments import Instrument
from utils.market.ist import DAY_MS, IST_OFFSET_MS, MINUTE_MS, ist_date
from utils.market.sessions import SessionCalendar

_BEFORE_CLOSE = re.compile(r"(\d{1,3})m")
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


class EntryLimit(Protocol):
    """Whether a strategy may propose to open a position at the end of a candle."""

    def allows(self, candle: Candle) -> bool: ...


@dataclass(frozen=True, slots=True)
class UntilTimeOfDay:
    """Candles that end by a time of day, in minutes after 00:00 IST, whatever the exchange."""

    minute: int

    def allows(self, candle: Candle) -> bool:
        return (candle.end_ms - 1 + IST_OFFSET_MS) % DAY_MS < self.minute * MINUTE_MS


@dataclass(slots=True)
class BeforeClose:
    """Candles that end so many minutes before the close of their own instrument on that day, or earlier.

    `instruments` are those known so far, by symbol. Of another one the earliest close counts that its exchange may
    have for such a symbol, as if it expired that day.
    """

    minutes: int
    calendar: SessionCalendar
    instruments: Mapping[str, Instrument]
    _latest: dict[str, tuple[date, int]] = field(default_factory=dict)

    def allows(self, candle: Candle) -> bool:
        day = ist_date(candle.start_ms)
        known_day, latest_ms = self._latest.get(candle.symbol, (None, 0))
        if known_day != day:
            latest_ms = self._close_ms(candle.symbol, day) - self.minutes * MINUTE_MS
            if candle.symbol in self.instruments:
                self._latest[candle.symbol] = day, latest_ms
        return candle.end_ms <= latest_ms

    def _close_ms(self, symbol: str, day: date) -> int:
        """0 where there is no session."""
        instrument = self.instruments.get(symbol)
        if instrument is not None:
            sessions = [self.calendar.for_instrument(instrument, day)]
        else:
            expiry, kept = day.isoformat(), hours_kept([symbol], {}, self.calendar)
            sessions = [self.calendar.session(listed.session_class, day, expiry, listed.places) for listed in kept]
        return min((session.close_ms for session in sessions if session is not None), default=0)


def minutes_before_close(text: str) -> int | None:
    """15 for `15m`, None for a time of day. ValueError when it is neither.

    >>> minutes_before_close("15m"), minutes_before_close("15:15")
    (15, None)
    """
    match = _BEFORE_CLOSE.fullmatch(text)
    if match is None:
        minute_of_day(text)
        return None
    return int(match[1])


def minute_of_day(text: str) -> int:
    """915 for `15:15`. ValueError when it is no time of day."""
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither minutes before the close such as 15m nor a time of day such as 15:15")
    return int(match[1]) * 60 + int(match[2])


def read_entry_limit(text: str, calendar: SessionCalendar, instruments: Mapping[str, Instrument]) -> EntryLimit:
    """What NO_NEW_ENTRIES_AFTER asks for. ValueError."""
    minutes = minutes_before_close(text)
    return UntilTimeOfDay(minute_of_day(text)) if minutes is None else BeforeClose(minutes, calendar, instruments)


def silenced(text: str, kept: Iterable[Kept], calendar: SessionCalendar, today: date) -> list[str]:
    """What a plain time of day leaves without signals in the next session: `MCX until 23:55`; none for `15m`."""
    if minutes_before_close(text) is not None:
        return []
    latest: dict[str, int] = {}
    for instrument in kept:
        close_minute = _close_minute(instrument, calendar, today)
        if close_minute > minute_of_day(text):
            latest[instrument.exchange] = max(close_minute, latest.get(instrument.exchange, 0))
    return [f"{exchange} until {at // 60:02d}:{at % 60:02d}" for exchange, at in sorted(latest.items())]


def _close_minute(kept: Kept, calendar: SessionCalendar, today: date) -> int:
    """Of the session of today or, on a closed day, the next one."""
    session = calendar.session(kept.session_class, today, places=kept.places)
    if session is None:
        day = calendar.next_trading_day(kept.session_class, today, kept.places)
        session = calendar.session(kept.session_class, day, places=kept.places)
    return (session.close_ms + IST_OFFSET_MS) % DAY_MS // MINUTE_MS if session is not None else 0
