"""One candle in wire integers, open or closed (CANDLES.md, section 5)."""

from __future__ import annotations

from tests.reference.trade import DayFacts, Trade

# Earlier than any trade: an open that the exchange itself gave is not replaced by a late packet.
THE_EXCHANGES_OWN_OPEN_MS = 0


class OpenCandle:
    """Names of the page: `cum_end` is `end`, `open_t` is `open_T`, `close_t` is `close_T`; `end_ms`: the bucket's."""

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

    def begin(self, trade: Trade, base: int, cum_end: int) -> None:
        """Starts with the first trade; volume is the difference of the two cumulative numbers."""
        self.base, self.cum_end, self.open_cum = base, cum_end, cum_end
        self.turnover = (cum_end - base) * trade.price
        self.oi = trade.oi
        if not trade.dated:
            self.close_t = self.start_ms
        self.widen_to(trade)

    def move_to(self, start_ms: int, end_ms: int, complete: bool) -> None:
        """Moves a candle without volume to the bucket in which its prices were traded."""
        self.start_ms, self.end_ms, self.complete = start_ms, end_ms, complete
        self.open_t = self.close_t = start_ms

    def widen(self, high: int, low: int) -> None:
        """Widens to a high and a low, where above 0."""
        self.high = max(self.high, high)
        if 0 < low < self.low:
            self.low = low

    def widen_to(self, trade: Trade) -> None:
        self.widen(trade.price, trade.price)
        self.widen(trade.high_extension, trade.low_extension)
        self.by_receive = self.by_receive or trade.by_receive
        self.has_volume = self.has_volume or trade.cum_now is not None
        self.ticks += 1

    def follow(self, day: DayFacts) -> None:
        """Applies the exchange's own open and range to a candle that has all trades of the day."""
        if day.day_open > 0:
            self.open, self.open_t = day.day_open, THE_EXCHANGES_OWN_OPEN_MS
            self.widen(day.day_open, day.day_open)
        self.widen(day.day_high, day.day_low)

    def grow(self, cum_now: int, price: int) -> None:
        """Adds the volume up to `cum_now`, traded at `price`."""
        if cum_now > self.cum_end:
            self.turnover += (cum_now - self.cum_end) * price
            self.cum_end = cum_now

    def give_up_to(self, cum: int) -> None:
        """Removes the volume up to `cum`, which belongs to the candle before."""
        cum = min(cum, self.cum_end)
        if self.base < cum:
            self.turnover -= (cum - self.base) * self.open
            self.base = cum

    def is_before_open(self, trade: Trade) -> bool:
        if trade.cum_now is None:
            return trade.placed_ms < self.open_t
        return (trade.placed_ms, trade.cum_now) < (self.open_t, self.open_cum)

    def become_open(self, trade: Trade) -> None:
        self.open, self.open_t = trade.price, trade.placed_ms
        if trade.cum_now is not None:
            self.open_cum = trade.cum_now

    def become_close(self, trade: Trade) -> None:
        self.close = trade.price
        if trade.dated:
            self.close_t = trade.placed_ms
        if trade.oi is not None:
            self.oi = trade.oi

    def is_closed_by(self, trade: Trade) -> bool:
        """Whether a trade that amends this candle is its close."""
        if not trade.dated or trade.placed_ms > self.close_t:
            return True
        is_last_of_its_second = not trade.late if trade.cum_now is None else trade.cum_now > self.cum_end
        return trade.placed_ms == self.close_t and is_last_of_its_second
