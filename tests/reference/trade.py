"""A trade, as an instrument makes it of a packet and hands it to its timeframes."""

from __future__ import annotations

from typing import NamedTuple


class DayFacts(NamedTuple):
    """The exchange's own account of its day in a packet; 0: not there."""

    day_open: int
    day_high: int
    day_low: int


class Trade(NamedTuple):
    """Wire integers; 0 in an extension: there is none.

    placed_ms: `P` of the page. dated: `P` is the trade time; undated, the price came first, `P` is the exchange time.
    cum_before: the instrument's cumulative volume before the packet (after a rebase); cum_after: after it.
    day: None where the packet cannot say. is_first: in this packet the instrument's volume of the date began.
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
        """A trade that dates what was traded up to it."""
        return self.dated and not self.late and self.cum_now is not None

    def undated(self) -> Trade:
        """The same, where the price came first: no volume of its own, and no account of the day."""
        return self._replace(cum_now=self.cum_after, cum_before=self.cum_after, day=None, is_first=False)
