"""The candles of one instrument in one timeframe (CANDLES.md, sections 5 and 6)."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from tests.reference.inputs import ReferenceInstrument

Event = tuple[str, str, int, int]


class Trade(NamedTuple):
    """A trade as the instrument made it of a packet. Wire integers; 0 in an extension: there is none.

    cum_before: the instrument's cumulative volume before the packet (after a rebase); cum_after: after it.
    """

    t_ms: int
    price: int
    cum_now: int | None
    oi: int | None
    high_extension: int
    low_extension: int
    late: bool
    by_receive: bool
    cum_before: int
    cum_after: int


class OpenCandle:
    """One candle in wire integers, open or closed; `cum_end` is `end` of the page, `end_ms` the bucket's end."""

    __slots__ = (
        "base",
        "by_receive",
        "close",
        "close_t",
        "closed_ms",
        "complete",
        "cum_end",
        "end_ms",
        "has_volume",
        "high",
        "low",
        "oi",
        "open",
        "open_cum",
        "open_t",
        "rev",
        "start_ms",
        "ticks",
        "turnover",
    )

    def __init__(self, start_ms: int, end_ms: int, price: int, t_ms: int, complete: bool) -> None:
        self.start_ms, self.end_ms = start_ms, end_ms
        self.open = self.high = self.low = self.close = price
        self.open_t = self.close_t = t_ms
        self.complete = complete
        self.base = self.cum_end = self.open_cum = self.turnover = 0
        self.has_volume = self.by_receive = False
        self.oi: int | None = None
        self.ticks = self.rev = 0
        self.closed_ms: int | None = None

    def widen(self, high: int, low: int) -> None:
        """Takes in a high and a low, where above 0."""
        self.high = max(self.high, high)
        if 0 < low < self.low:
            self.low = low

    def widen_to(self, trade: Trade) -> None:
        self.widen(trade.price, trade.price)
        self.widen(trade.high_extension, trade.low_extension)
        self.by_receive = self.by_receive or trade.by_receive
        self.has_volume = self.has_volume or trade.cum_now is not None
        self.ticks += 1

    def grow(self, cum_now: int, price: int) -> None:
        """The volume up to `cum_now` was traded at `price`."""
        if cum_now > self.cum_end:
            self.turnover += (cum_now - self.cum_end) * price
            self.cum_end = cum_now

    def give_up_to(self, cum: int) -> None:
        """The volume up to `cum` turned out to belong to the candle before."""
        cum = min(cum, self.cum_end)
        if self.base < cum:
            self.turnover -= (cum - self.base) * self.open
            self.base = cum

    def is_before_open(self, trade: Trade) -> bool:
        if trade.cum_now is None:
            return trade.t_ms < self.open_t
        return (trade.t_ms, trade.cum_now) < (self.open_t, self.open_cum)

    def become_open(self, trade: Trade) -> None:
        self.open, self.open_t = trade.price, trade.t_ms
        if trade.cum_now is not None:
            self.open_cum = trade.cum_now

    def become_close(self, trade: Trade) -> None:
        self.close, self.close_t = trade.price, trade.t_ms
        if trade.oi is not None:
            self.oi = trade.oi


class CandleSeries:
    """N (`open_candle`), L (`last_closed`) and everything closed before, of one instrument and timeframe."""

    def __init__(
        self, instrument: ReferenceInstrument, timeframe: tuple[str, int], said: list[Event], counts: Counter[str]
    ) -> None:
        self.instrument = instrument
        self.timeframe, self._length_ms = timeframe
        self._said = said
        self._counts = counts
        self.open_candle: OpenCandle | None = None
        self.closed: list[OpenCandle] = []

    @property
    def is_day(self) -> bool:
        return self._length_ms == 0

    @property
    def last_closed(self) -> OpenCandle | None:
        return self.closed[-1] if self.closed else None

    def bucket(self, t_ms: int) -> tuple[int, int] | None:
        """Start and end of the bucket of a live trade; None where this timeframe does not count it."""
        opens, closes, day_end = self.instrument.open_ms, self.instrument.close_ms, self.instrument.day_end_ms
        if opens is None or closes is None or day_end is None:
            return None
        if self.is_day:
            return opens, day_end
        if not opens <= t_ms < closes:
            return None
        start = opens + (t_ms - opens) // self._length_ms * self._length_ms
        return start, min(start + self._length_ms, closes)

    def take(self, trade: Trade, received_ms: int, up_since_ms: int | None) -> None:
        """Section 5: joins, closes and opens, amends, inserts or drops."""
        bucket = self.bucket(trade.t_ms)
        if bucket is None:
            return
        start, end = bucket
        now, last = self.open_candle, self.last_closed
        is_up = up_since_ms is not None and up_since_ms <= start
        if now is not None and now.start_ms == start:
            self._join(now, trade)
        elif now is not None and now.start_ms < start:
            self.close(received_ms)
            self.open_candle = self._opened(start, end, trade, is_up)
        elif last is not None and last.start_ms == start:
            self._amend(last, now, trade)
        elif last is not None and last.start_ms > start:
            self._counts["late"] += 1
        elif now is not None:
            self._insert(start, end, now, trade, is_up, received_ms)
        else:
            self.open_candle = self._opened(start, end, trade, is_up)

    def close(self, received_ms: int) -> None:
        """N becomes L and is said."""
        assert self.open_candle is not None
        candle, self.open_candle = self.open_candle, None
        candle.closed_ms = received_ms
        self.closed.append(candle)
        self.say(candle)

    def say(self, candle: OpenCandle) -> None:
        self._said.append((self.instrument.symbol, self.timeframe, candle.start_ms, candle.rev))

    def revise(self, candle: OpenCandle) -> None:
        candle.rev += 1
        self.say(candle)

    def rebase(self, fall: int) -> None:
        """Lowers the cumulative numbers of N and L by `fall`."""
        for candle in (self.open_candle, self.last_closed):
            if candle is not None:
                candle.base -= fall
                candle.cum_end -= fall
                candle.open_cum -= fall

    def _opened(self, start: int, end: int, trade: Trade, is_up: bool) -> OpenCandle:
        base = 0 if self.is_day else trade.cum_before
        # A late opener's own volume may lie below the base: it then brings none, as when it is inserted.
        cum_end = base if trade.cum_now is None else max(trade.cum_now, base)
        return self._new(start, end, trade, is_up, base, cum_end)

    @staticmethod
    def _new(start: int, end: int, trade: Trade, is_up: bool, base: int, cum_end: int) -> OpenCandle:
        candle = OpenCandle(start, end, trade.price, trade.t_ms, is_up)
        candle.base, candle.cum_end, candle.open_cum = base, cum_end, cum_end
        candle.turnover = (cum_end - base) * trade.price
        candle.oi = trade.oi
        candle.widen_to(trade)
        return candle

    @staticmethod
    def _join(now: OpenCandle, trade: Trade) -> None:
        now.widen_to(trade)
        if not trade.late:
            now.become_close(trade)
            if trade.cum_now is not None:
                now.grow(trade.cum_now, trade.price)
        elif now.is_before_open(trade):
            now.become_open(trade)

    def _amend(self, last: OpenCandle, now: OpenCandle | None, trade: Trade) -> None:
        last.widen_to(trade)
        if last.is_before_open(trade):
            last.become_open(trade)
        is_last_of_its_second = not trade.late if trade.cum_now is None else trade.cum_now > last.cum_end
        if trade.t_ms > last.close_t or (trade.t_ms == last.close_t and is_last_of_its_second):
            last.become_close(trade)
        limit = trade.cum_after if now is None else now.open_cum
        if trade.cum_now is not None and min(trade.cum_now, limit) > last.cum_end:
            last.grow(min(trade.cum_now, limit), trade.price)
            if now is not None:
                now.give_up_to(last.cum_end)
        self._counts["amended"] += 1
        self.revise(last)

    def _insert(self, start: int, end: int, now: OpenCandle, trade: Trade, is_up: bool, received_ms: int) -> None:
        base = now.base
        cum_now = base if trade.cum_now is None else trade.cum_now
        # N's open may have been replaced by a packet from below its base: volume is never negative.
        cum_end = max(base, min(max(cum_now, base), now.open_cum))
        candle = self._new(start, end, trade, is_up, base, cum_end)
        candle.closed_ms = received_ms
        now.give_up_to(cum_end)
        self.closed.append(candle)
        self._counts["inserted"] += 1
        self.say(candle)
