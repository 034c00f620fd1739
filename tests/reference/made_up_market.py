"""One instrument's made-up market, and the feed's packets of it: late, price first, wrong, and repeated.

Not a market: prices and times are drawn to hit the rules' edges (bucket ends, the open, the close, equal seconds).
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass, replace

from tests.reference.case_building import YESTERDAY, CaseInstrument, at

_TRADE_AGES_S = (0, 0, 0, 1, 1, 2, 3, 5, 8, 70)
_FORMS = ("full", "full", "full", "full", "full", "full", "quote", "price", "mixed", "mixed")


@dataclass(frozen=True)
class Shown:
    """The state of a market as a packet shows it, in wire integers."""

    price: int
    quantity: int
    volume: int
    trade_s: int
    day_open: int
    high: int
    low: int
    bid: int
    ask: int


class MadeUpMarket:
    """`packet` plays one step and shows the market; `cached` is the server's packet for a new subscription."""

    def __init__(self, who: CaseInstrument, dice: random.Random, start_ms: int) -> None:
        self._who, self._dice = who, dice
        self._tick = max(1, who.reference.tick_units)
        self._form = dice.choice(_FORMS)
        self._first_trade_s = start_ms // 1000 + dice.choice((-7200, 0, 60, 125, 200))
        price = 90 * who.reference.divisor
        yesterday_s = at("15:29:59", YESTERDAY) // 1000
        wide = 40 * self._tick
        self._true = Shown(price, 1, 500_000, yesterday_s, price, price + wide, price - wide, 0, 0)
        self._has_traded = False
        self._shown = self._true
        self._misprint: tuple[int, int, bool] | None = None
        self.sent: list[bytes] = []

    # -- the market -------------------------------------------------------------------------------------------

    def packet(self, now_ms: int) -> bytes:
        dice, now_s = self._dice, now_ms // 1000
        if self.sent and dice.random() < 0.05:
            return self.sent[-1]
        before = self._true
        if now_s >= self._first_trade_s and dice.random() < 0.5:
            self._trade(now_s)
        shown = self._misprinted(self._lagging(before))
        exchange_s = 0 if dice.random() < 0.003 else now_s - dice.choice((0, 0, 0, 0, 1))
        return self._send(self._written(shown, exchange_s))

    def _trade(self, now_s: int) -> None:
        dice, true = self._dice, self._true
        if not self._has_traded:
            self._has_traded = True
            true = replace(true, volume=0, day_open=true.price, high=true.price, low=true.price)
        price = self._next_price(true.price)
        missed = dice.choice((0, 0, 0, 2)) * self._tick
        volume = true.volume // 2 if dice.random() < 0.006 else true.volume + dice.choice((0, 1, 5, 100))
        high, low = max(true.high, price + missed), min(true.low, price - missed)
        trade_s = now_s - dice.choice(_TRADE_AGES_S)
        bid, ask = price - dice.choice((1, 1, 3, 60)) * self._tick, price + dice.choice((0, 1, 3, 60)) * self._tick
        self._true = Shown(price, dice.choice((1, 75)), volume, trade_s, true.day_open, high, low, bid, ask)

    def _next_price(self, price: int) -> int:
        if self._dice.random() < 0.01:
            return self._on_grid(price * self._dice.choice((0.97, 0.99, 1.01, 1.03)))
        return price + self._dice.choice((-3, -2, -1, 1, 2, 3)) * self._tick

    def _on_grid(self, price: float) -> int:
        return round(price / self._tick) * self._tick

    # -- what the feed shows ----------------------------------------------------------------------------

    def _lagging(self, before: Shown) -> Shown:
        """The state with its price a packet ahead, its range a packet behind, a price soon gone, or unchanged."""
        dice, true = self._dice, self._true
        if true != before and dice.random() < 0.15:
            return replace(before, price=true.price, quantity=true.quantity)
        if (true.high, true.low) != (before.high, before.low) and dice.random() < 0.5:
            return replace(true, high=before.high, low=before.low)
        if true == before and dice.random() < 0.04:
            return replace(true, price=true.price + dice.choice((-2, -1, 1, 2)) * self._tick)
        if dice.random() < 0.02:
            return replace(true, high=0, low=0, day_open=dice.choice((0, true.day_open)))
        return true

    def _misprinted(self, shown: Shown) -> Shown:
        """The state with a bad price for one packet or several, which may drag the day range along."""
        dice = self._dice
        if self._misprint is None and dice.random() < 0.01:
            price = self._on_grid(shown.price * dice.choice((0.9, 0.96, 1.04, 1.1))) + dice.choice((0, 0, 1))
            self._misprint = (dice.choice((1, 1, 1, 2, 3)), price, dice.random() < 0.5)
        if self._misprint is None:
            return shown
        left, price, drags = self._misprint
        self._misprint = (left - 1, price + dice.choice((0, 1)) * self._tick, drags) if left > 1 else None
        shown = replace(shown, price=price)
        if not drags or not shown.high or not shown.low:
            return shown
        return replace(shown, high=max(shown.high, price), low=min(shown.low, price))

    def cached(self, now_ms: int) -> bytes:
        """The last packet again, or the current state; with exchange time 0 before the first trade."""
        if self.sent and self._dice.random() < 0.4:
            return self.sent[-1]
        exchange_s = 0 if not self._has_traded and self._dice.random() < 0.5 else now_ms // 1000
        return self._send(self._written(self._true, exchange_s))

    # -- the wire ---------------------------------------------------------------------------------------------

    def _send(self, packet: bytes) -> bytes:
        self.sent.append(packet)
        return packet

    def _written(self, shown: Shown, exchange_s: int) -> bytes:
        dice, token = self._dice, self._who.token
        token = token if dice.random() > 0.003 else 77
        price = shown.price if dice.random() > 0.004 else 0
        form = self._form if self._form != "mixed" else dice.choice(("full", "full", "full", "quote", "price"))
        if form != "full" and dice.random() < 0.02:
            form = "full"
        if form == "price":
            return struct.pack(">2I", token, price)
        if self._who.reference.is_index:
            index = struct.pack(">7I", token, price, shown.high, shown.low, shown.day_open, 0, 0)
            return index if form == "quote" else index + struct.pack(">I", exchange_s)
        day = (shown.day_open, shown.high, shown.low, 0)
        head = struct.pack(">11I", token, price, shown.quantity, price, shown.volume, 0, 0, *day)
        return head if form == "quote" else head + self._times_and_book(shown, exchange_s)

    def _times_and_book(self, shown: Shown, exchange_s: int) -> bytes:
        dice = self._dice
        odd_s = (0, max(0, exchange_s - 90_000), exchange_s + 500, 5)
        trade_s = shown.trade_s if dice.random() > 0.01 else dice.choice(odd_s)
        bid, ask = (shown.bid, shown.ask) if dice.random() < 0.7 else (0, 0)
        if dice.random() < 0.01:
            bid, ask = ask + self._tick, bid
        sides = (struct.pack(">IIHH", 1, max(0, value), 1, 0) + bytes(48) for value in (bid, ask))
        return struct.pack(">5I", trade_s, dice.randrange(100), 0, 0, exchange_s) + b"".join(sides)
