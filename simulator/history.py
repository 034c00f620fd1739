"""The broker's historical candles: past days from drawn bars, the session's day from the tape up to now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np

from simulator.bars import NO_BARS, BarMaker, Bars, grouped, joined, open_interest
from simulator.tape import Tape
from simulator.truth import truth_candles
from simulator.universe import Universe
from utils.market.ist import iso_ist, ist_date, ist_midnight_ms
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import DAY, Timeframe, parse_timeframe

OLDEST_DAY = date(2015, 1, 1)
MINUTE = parse_timeframe("1m")


@dataclass(frozen=True, slots=True)
class Interval:
    """One of the broker's intervals: its candle length and how many days one request may span (Kite Connect v3)."""

    timeframe: Timeframe
    most_days: int


INTERVALS = {
    "minute": Interval(MINUTE, 60),
    "3minute": Interval(parse_timeframe("3m"), 100),
    "5minute": Interval(parse_timeframe("5m"), 100),
    "10minute": Interval(parse_timeframe("10m"), 100),
    "15minute": Interval(parse_timeframe("15m"), 200),
    "30minute": Interval(parse_timeframe("30m"), 200),
    "60minute": Interval(parse_timeframe("60m"), 400),
    "day": Interval(parse_timeframe(DAY), 2000),
}


class History:
    """Answers for one universe; `tape` is that of the day being played, and later days have no history.

    A day played before `tape`'s (past a midnight) has drawn bars like any other past day.
    """

    def __init__(self, universe: Universe, calendar: SessionCalendar, tape: Tape) -> None:
        self._universe = universe
        self._calendar = calendar
        self._tape = tape
        self._bars = BarMaker(universe, calendar)

    def previous_day_bars(self) -> list[Bars]:
        """For each row the day bar of its last trading day before the session's day (empty when it has none)."""
        before = {
            session_class: self._calendar.previous_trading_day(session_class, self._tape.day)
            for session_class in {instrument.session_class for instrument in self._universe.instruments}
        }
        rows = enumerate(self._universe.instruments)
        return self._bars.days_of([(row, before[instrument.session_class]) for row, instrument in rows])

    def candles(self, row: int, interval: Interval, from_ms: int, to_ms: int, now_ms: int) -> Bars:
        """Candles that start in [from_ms, to_ms], in time; that of `now_ms` has the trades up to then."""
        first, last = max(ist_date(from_ms), OLDEST_DAY), min(ist_date(min(to_ms, now_ms)), self._tape.day)
        past = [(row, day) for day in _days(first, last) if day < self._tape.day]
        parts = self._past_days(past) if interval.timeframe.is_day else self._past(past, interval.timeframe)
        if first <= self._tape.day <= last:
            parts.append(self._of_session(row, interval.timeframe, now_ms))
        return joined(parts).between(from_ms, to_ms)

    def _past_days(self, pairs: list[tuple[int, date]]) -> list[Bars]:
        bars = self._bars.days_of(pairs)
        return [_stamped(bar, ist_midnight_ms(day)) for (_, day), bar in zip(pairs, bars, strict=True)]

    def _past(self, pairs: list[tuple[int, date]], timeframe: Timeframe) -> list[Bars]:
        found, length = [], timeframe.length_ms
        for (row, day), bars in zip(pairs, self._bars.minutes_of(pairs), strict=True):
            session = self._calendar.for_instrument(self._universe.instruments[row], day)
            if session is not None:
                found.append(grouped(bars, session.open_ms + (bars.start_ms - session.open_ms) // length * length))
        return found

    def _of_session(self, row: int, timeframe: Timeframe, now_ms: int) -> Bars:
        candles = truth_candles(self._tape, row, timeframe, now_ms)
        session = self._tape.sessions[row]
        if not candles or session is None:
            return NO_BARS
        start, opens, highs, lows, closes, volume = np.array(
            [
                (candle.start_ms, candle.open, candle.high, candle.low, candle.close, candle.volume)
                for candle in candles
            ],
            dtype=np.int64,
        ).T
        minutes = (np.minimum(start + timeframe.length_ms, now_ms) - session.open_ms) // MINUTE.length_ms
        today = np.array([self._tape.day.toordinal()])
        interest = open_interest(self._universe, np.array([row]), today, minutes)[0]
        bars = Bars(start, opens, highs, lows, closes, volume, interest)
        return _stamped(bars, ist_midnight_ms(self._tape.day)) if timeframe.is_day else bars


def as_rows(bars: Bars, divisor: int, with_oi: bool) -> list[list[Any]]:
    """The broker's rows: [start as ISO 8601 with +0530, open, high, low, close, volume (, open interest)]."""
    times = [iso_ist(at).replace("+05:30", "+0530") for at in bars.start_ms.tolist()]
    prices = [(column / divisor).tolist() for column in (bars.open, bars.high, bars.low, bars.close)]
    columns: list[list[Any]] = [times, *prices, bars.volume.tolist()]
    if with_oi:
        columns.append(bars.oi.tolist())
    return [list(row) for row in zip(*columns, strict=True)]


def _stamped(bars: Bars, start_ms: int) -> Bars:
    return Bars(np.full(len(bars), start_ms), *bars.columns()[1:])


def _days(first: date, last: date) -> Iterator[date]:
    for distance in range((last - first).days + 1):
        yield first + timedelta(days=distance)
