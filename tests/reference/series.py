"""The candles of one instrument in one timeframe (CANDLES.md, section 5)."""

from __future__ import annotations

from collections import Counter

from tests.reference.candle import OpenCandle
from tests.reference.inputs import ReferenceInstrument
from tests.reference.readings import Now
from tests.reference.trade import Trade

Event = tuple[str, str, int, int]


class CandleSeries:
    """N (`open_candle`), L (`last_closed`) and everything closed before, of one instrument and timeframe."""

    def __init__(
        self, instrument: ReferenceInstrument, timeframe: tuple[str, int], events: list[Event], counts: Counter[str]
    ) -> None:
        self.instrument = instrument
        self.timeframe, self._length_ms = timeframe
        self._events = events
        self._counts = counts
        self.open_candle: OpenCandle | None = None
        self.closed: list[OpenCandle] = []

    @property
    def is_day(self) -> bool:
        return self._length_ms == 0

    @property
    def last_closed(self) -> OpenCandle | None:
        return self.closed[-1] if self.closed else None

    def bucket(self, placed_ms: int) -> tuple[int, int] | None:
        """Start and end of the bucket of a trade; None where this timeframe does not count it."""
        opens, closes, day_end = self.instrument.open_ms, self.instrument.close_ms, self.instrument.day_end_ms
        if opens is None or closes is None or day_end is None:
            return None
        if self.is_day:
            return opens, day_end
        if not opens <= placed_ms < closes:
            return None
        start = opens + (placed_ms - opens) // self._length_ms * self._length_ms
        return start, min(start + self._length_ms, closes)

    def process(self, trade: Trade, now: Now) -> None:
        """Applies a trade: moves the open candle back, joins, closes and opens, amends, inserts or drops."""
        bucket = self.bucket(trade.placed_ms)
        if bucket is None:
            return
        if trade.shows_volume and not self.is_day:
            self._go_back(bucket, now)
        start = bucket[0]
        candle, last = self.open_candle, self.last_closed
        if candle is not None and candle.start_ms == start:
            self._join(candle, trade)
            self._follow_the_exchange(candle, trade)
        elif candle is not None and candle.start_ms < start:
            self.close(now.ms)
            self._open(bucket, trade, now)
        elif last is not None and last.start_ms == start:
            self._amend(last, trade)
        elif last is not None and last.start_ms > start:
            self._counts["late"] += 1
        elif candle is not None:
            self._insert(bucket, candle, trade, now)
        else:
            self._open(bucket, trade, now)

    # -- what a trade changes ------------------------------------------------------------------------------

    def _go_back(self, bucket: tuple[int, int], now: Now) -> None:
        """Moves back or withdraws an open candle without volume: its prices were traded by the time of this trade."""
        candle, last, start = self.open_candle, self.last_closed, bucket[0]
        if candle is None or candle.start_ms <= start or candle.cum_end != candle.base:
            return
        if last is None or last.start_ms < start:
            self._counts["moved_back"] += 1
            candle.move_to(*bucket, now.is_complete_from(start))
        elif last.start_ms == start:
            self._counts["withdrawn"] += 1
            last.widen(candle.high, candle.low)
            self.open_candle = None

    def _open(self, bucket: tuple[int, int], trade: Trade, now: Now) -> None:
        base = 0 if self.is_day else trade.cum_before
        # A late opener's volume may lie below the base: the candle then has none, as an inserted one.
        cum_end = base if trade.cum_now is None else max(trade.cum_now, base)
        self.open_candle = self._new(bucket, trade, now)
        self.open_candle.begin(trade, base, cum_end)
        self._follow_the_exchange(self.open_candle, trade)

    @staticmethod
    def _new(bucket: tuple[int, int], trade: Trade, now: Now) -> OpenCandle:
        return OpenCandle(*bucket, trade.price, trade.placed_ms, now.is_complete_from(bucket[0]))

    @staticmethod
    def _join(candle: OpenCandle, trade: Trade) -> None:
        candle.widen_to(trade)
        if not trade.late:
            candle.become_close(trade)
            if trade.cum_now is not None:
                candle.grow(trade.cum_now, trade.price)
        elif candle.is_before_open(trade):
            candle.become_open(trade)

    def _follow_the_exchange(self, candle: OpenCandle, trade: Trade) -> None:
        """Applies the exchange's open and range: to the day candle on each dated trade, else on the day's first."""
        day = trade.day
        if day is None or not (self.is_day or (trade.is_first and day.day_open > 0)):
            return
        self._counts["first_of_day"] += not self.is_day
        candle.follow(day)

    def _amend(self, last: OpenCandle, trade: Trade) -> None:
        candle = self.open_candle
        last.widen_to(trade)
        if trade.late and last.is_before_open(trade):
            last.become_open(trade)
        if last.is_closed_by(trade):
            last.become_close(trade)
        limit = trade.cum_after if candle is None else candle.open_cum
        if trade.cum_now is not None:
            last.grow(min(trade.cum_now, limit), trade.price)
            if candle is not None:
                candle.give_up_to(last.cum_end)
        self._counts["amended"] += 1
        self.revise(last)

    def _insert(self, bucket: tuple[int, int], candle: OpenCandle, trade: Trade, now: Now) -> None:
        cum_now = candle.base if trade.cum_now is None else trade.cum_now
        # N's open may have been replaced by a packet from below its base: volume is never negative.
        cum_end = max(candle.base, min(cum_now, candle.open_cum))
        inserted = self._new(bucket, trade, now)
        inserted.begin(trade, candle.base, cum_end)
        inserted.closed_ms = now.ms
        candle.give_up_to(cum_end)
        self.closed.append(inserted)
        self._counts["inserted"] += 1
        self._publish(inserted)

    # -- closing, revisions -----------------------------------------------------------------------------------

    def close(self, received_ms: int) -> None:
        """N becomes L and is published."""
        assert self.open_candle is not None
        candle, self.open_candle = self.open_candle, None
        candle.closed_ms = received_ms
        self.closed.append(candle)
        self._publish(candle)

    def _publish(self, candle: OpenCandle) -> None:
        self._events.append((self.instrument.symbol, self.timeframe, candle.start_ms, candle.rev))

    def revise(self, candle: OpenCandle) -> None:
        candle.rev += 1
        self._publish(candle)

    def rebase(self, fall: int) -> None:
        """Lowers the cumulative numbers of N and L by `fall`."""
        for candle in (self.open_candle, self.last_closed):
            if candle is not None:
                candle.base -= fall
                candle.cum_end -= fall
                candle.open_cum -= fall
