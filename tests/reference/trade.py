"""A trade, made from a packet by its instrument and passed to each timeframe."""

from __future__ import annotations

from typing import NamedTuple


class DayFacts(NamedTuple):
    """The exchange's own open and range of its day in a packet; 0: absent."""

    day_open: int
    day_high: int
    day_low: int


class Trade(NamedTuple):
    """Wire integers; an extension of 0 is none.

    placed_ms: `P` of the page. dated: `P` is the trade time; undated, the price came first, `P` is the exchange time.
    cum_before: the instrument's cumulative volume before the packet (after a rebase); cum_after: after it.
    day: None where the packet has no such facts. is_first: the instrument's first volume of the date.
    """

    placed_ms: int
    price: int
    cum_now: int | None
    oi: int | None
    cum_before: int
    cum_after: int
    dated: bool = True
    late: bool = False
    by_receive: bool = False
    high_extension: int = 0
    low_extension: int = 0
    day: DayFacts | None = None
    is_first: bool = False

    @property
    def shows_volume(self) -> bool:
        """Whether the trade dates the volume up to it."""
        return self.dated and not self.late and self.cum_now is not None

    def undated(self) -> Trade:
        """The same trade where the price came first: without volume of its own and without day facts."""
        return self._replace(cum_now=self.cum_after, cum_before=self.cum_after, day=None, is_first=False)
