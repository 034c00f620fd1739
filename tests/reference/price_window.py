"""The rolling z-score of one instrument (CANDLES.md, section 4)."""

from __future__ import annotations

import math
from collections import deque

from tests.reference.inputs import ReferenceSettings
from tests.reference.packets import Packet


class PriceWindow:
    """The last prices of in-order trades. Sums are Python integers, and stay exact."""

    def __init__(self, settings: ReferenceSettings, tick: int) -> None:
        self._settings = settings
        self._tick_floor = float(settings.z_floor_ticks * tick)
        self._prices: deque[int] = deque()
        self._total = 0
        self._squares = 0
        self.warned = 0

    @property
    def has_enough(self) -> bool:
        return len(self._prices) >= self._settings.z_min_ticks

    def is_far(self, price: int) -> bool:
        """Whether the z-score against the prices before is above the limit; False with too few prices."""
        if not self.has_enough:
            return False
        mean, width = self._mean_and_width()
        z = abs(price - mean) / width
        self.warned += z > self._settings.z_warn
        return z > self._settings.z_reject

    def doubts_by_book(self, packet: Packet) -> bool:
        """Whether the price is far outside the packet's own book."""
        if not packet.has_book:
            return False
        bid, ask = packet.best_bid, packet.best_ask
        floor = max(self._tick_floor, packet.price * self._settings.z_floor_bps / 10_000)
        reach = max(4 * (ask - bid), ask / 20, floor)
        return max(bid - packet.price, packet.price - ask) > reach

    def _mean_and_width(self) -> tuple[float, float]:
        kept = len(self._prices)
        mean = self._total / kept
        deviation = math.sqrt((kept * self._squares - self._total * self._total) / (kept * kept))
        return mean, max(deviation, self._tick_floor, mean * self._settings.z_floor_bps / 10_000)

    def clear(self) -> None:
        self._prices.clear()
        self._total = self._squares = 0

    def push(self, price: int) -> None:
        self._prices.append(price)
        self._total += price
        self._squares += price * price
        if len(self._prices) > self._settings.z_window:
            gone = self._prices.popleft()
            self._total -= gone
            self._squares -= gone * gone
