"""Plays the day by a running clock, or in steps, each received by every client before the next begins.

In steps a day is the same on a machine of any speed: a frame is received at the market time at which it was sent.
"""

from __future__ import annotations

import asyncio
import time

from simulator.exchange import Exchange, PlayOrder
from utils.market.clock import SteppedClock


async def played(exchange: Exchange) -> None:
    """Plays until cancelled."""
    if isinstance(exchange.clock, SteppedClock):
        await _in_steps(exchange, exchange.clock)
    else:
        await exchange.play()


async def _in_steps(exchange: Exchange, clock: SteppedClock) -> None:
    exchange.begin()
    while True:
        await exchange.order.wait(clock.now_ms())
        await exchange.until_received()  # subscriptions from before the order are answered first
        pace = _Pace(exchange.order, clock.now_ms())
        while clock.now_ms() < exchange.order.until_ms:
            await exchange.refill()
            step_ms = min(exchange.next_ms(), exchange.order.until_ms)
            await pace.until(step_ms)
            clock.step_to(step_ms)
            exchange.send_due()
            exchange.beat_each_second()
            await exchange.until_received()


class _Pace:
    """Limits the play to the order's speed. Lost time is not caught up."""

    def __init__(self, order: PlayOrder, market_ms: int) -> None:
        self._order = order
        self._market_ms = market_ms
        self._due = time.monotonic()

    async def until(self, market_ms: int) -> None:
        now, speed = time.monotonic(), self._order.speed
        real_seconds = (market_ms - self._market_ms) / 1000 / speed if speed else 0.0
        self._due = max(now, self._due + real_seconds)
        self._market_ms = market_ms
        if self._due > now:
            await asyncio.sleep(self._due - now)
