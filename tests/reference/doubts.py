"""The packet that is held until the next one judges it (CANDLES.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from tests.reference.packets import Packet
from tests.reference.price_window import PriceWindow
from tests.reference.readings import Reading

RANGE, ZSCORE = "range", "zscore"


class Doubt(NamedTuple):
    """Why a trade is in doubt (None: no doubt), and whether its price is far from those of the window."""

    reason: str | None
    is_far: bool


NO_DOUBT = Doubt(None, False)


@dataclass(frozen=True)
class Standing:
    """The state of an instrument when a judge comes: its newest price and the range of its day (0: none)."""

    price: int
    day_low: int
    day_high: int
    tick: int
    accept_after: int

    @property
    def has_range(self) -> bool:
        return self.day_low > 0 and self.day_high > 0

    def includes(self, price: int) -> bool:
        return self.has_range and self.day_low <= price <= self.day_high


@dataclass(frozen=True)
class Held:
    """A doubted trade in order. `count` of the packets in a row that showed its level, itself among them."""

    reading: Reading
    doubt: Doubt
    count: int

    @property
    def packet(self) -> Packet:
        return self.reading.packet

    def is_judged_by(self, judge: Packet) -> bool:
        """Whether a judge that is not late has a price, and is not older than the held packet."""
        if judge.price == 0 or judge.exchange_s == 0:
            return False
        if judge.exchange_s is None or self.packet.exchange_s is None:
            return True
        return judge.exchange_s >= self.packet.exchange_s

    def verdict(self, judge: Packet, standing: Standing) -> str | None:
        """The evidence for the held trade: `range` or `book` of the judge, `been_there`, `stands`, `on_the_way` or
        `persists`. None: no evidence."""
        price = self.packet.price
        if not standing.includes(price) and 0 < judge.day_low <= price <= judge.day_high:
            return "range"
        if standing.includes(price) and not judge.has_book:
            return "been_there"
        if judge.has_book_near(price, standing.tick):
            return "book"
        if self.stands(judge):
            return "stands"
        if self.is_on_the_way(judge, standing):
            return "on_the_way"
        is_enough = self.count + 1 >= standing.accept_after
        return "persists" if is_enough and self.persists(judge, standing) else None

    def stands(self, judge: Packet) -> bool:
        """Whether the judge shows the same trade: no misprint is sent twice."""
        same = (judge.price, judge.quantity) == (self.packet.price, self.packet.quantity)
        return judge.volume is not None and same and not judge.is_outside_its_day_range

    def is_on_the_way(self, judge: Packet, standing: Standing) -> bool:
        """Whether the held price lies between the price before and the far side of the judge's book."""
        if standing.price == 0 or judge.best_bid == 0 or not judge.has_book:
            return False
        lowest, highest = min(standing.price, judge.best_bid), max(standing.price, judge.best_ask)
        return self.packet.price % standing.tick == 0 and lowest <= self.packet.price <= highest

    def persists(self, judge: Packet, standing: Standing) -> bool:
        """Whether the judge is at the held level, and near its own book if it has one."""
        if judge.has_book and not judge.has_book_near(judge.price, standing.tick):
            return False
        is_nearer = abs(judge.price - self.packet.price) < abs(judge.price - standing.price)
        return standing.price > 0 and is_nearer


def doubt_of(packet: Packet, standing: Standing, window: PriceWindow) -> Doubt:
    """The first reason that applies. `is_far` is computed in any case: it counts warnings."""
    is_far = window.is_far(packet.price)
    if packet.is_outside_its_day_range or _is_new_to_the_day(packet, standing):
        return Doubt(RANGE, is_far)
    return Doubt(ZSCORE, is_far) if is_far or window.doubts_by_book(packet) else NO_DOUBT


def _is_new_to_the_day(packet: Packet, standing: Standing) -> bool:
    """Whether a packet with a book has a new extreme of the day: a misprint may drag its own range along."""
    return packet.has_book and standing.has_range and not standing.includes(packet.price)
