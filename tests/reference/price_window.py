"""The rolling z-score of one instrument (CANDLES.md, section 4)."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from tests.reference.inputs import ReferenceSettings


class Suspect(NamedTuple):
    """A rejected price that may turn out to be the new level."""

    price: int
    t_ms: int
    cum_now: int | None
    times: int


class PriceWindow:
    """The last prices of in-order trades. Sums are Python integers: exact, whatever leaves the window."""

    def __init__(self, settings: ReferenceSettings, tick_units: int) -> None:
        self._settings = settings
        self._tick_floor = float(settings.z_floor_ticks * max(tick_units, 1))
        self._prices: deque[int] = deque()
        self._total = 0
        self._squares = 0
        self._suspect: Suspect | None = None
        self.warned = 0
        self.accepted = 0

    def admits(self, price: int, t_ms: int, cum_now: int | None, late: bool) -> bool:
        """Whether this would-be trade stands. In order it then joins the window; a late one leaves no trace."""
        if len(self._prices) >= self._settings.z_min_ticks and self._is_outlier(price, t_ms, cum_now, late):
            return False
        if not late:
            self._suspect = None
            self._push(price)
        return True

    def _is_outlier(self, price: int, t_ms: int, cum_now: int | None, late: bool) -> bool:
        mean, width = self._mean_and_width()
        z = abs(price - mean) / width
        if z > self._settings.z_warn:
            self.warned += 1
        if z <= self._settings.z_reject:
            return False
        return late or not self._has_persisted(price, t_ms, cum_now, self._settings.z_reject * width)

    def _mean_and_width(self) -> tuple[float, float]:
        held = len(self._prices)
        mean = self._total / held
        deviation = math.sqrt((held * self._squares - self._total * self._total) / (held * held))
        return mean, max(deviation, self._tick_floor, mean * self._settings.z_floor_bps / 10_000)

    def _has_persisted(self, price: int, t_ms: int, cum_now: int | None, reach: float) -> bool:
        before = self._suspect
        if before is not None and (t_ms, cum_now) == (before.t_ms, before.cum_now):
            return False
        is_near = before is not None and abs(price - before.price) <= reach
        count = before.times + 1 if before is not None and is_near else 1
        self._suspect = Suspect(price, t_ms, cum_now, count)
        if count < self._settings.z_accept_after:
            return False
        self._prices.clear()
        self._total = self._squares = 0
        self.accepted += 1
        return True

    def _push(self, price: int) -> None:
        self._prices.append(price)
        self._total += price
        self._squares += price * price
        if len(self._prices) > self._settings.z_window:
            gone = self._prices.popleft()
            self._total -= gone
            self._squares -= gone * gone
