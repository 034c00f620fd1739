"""The clock: the only place that reads the time of day. `MARKET_CLOCK` bends it for simulations."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime

from utils.candle import IST


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Market time runs from `market_ms` at `speed` times real time since `real_ms` (epoch milliseconds)."""

    market_ms: int = 0
    speed: float = 1.0
    real_ms: int = 0

    def now_ms(self) -> int:
        """Market time now, epoch milliseconds."""
        return self.at(time.time_ns() // 1_000_000)

    def at(self, real_ms: int) -> int:
        """Market time at a real instant."""
        return self.market_ms + round((real_ms - self.real_ms) * self.speed)

    def real_seconds(self, market_seconds: float) -> float:
        """How long a stretch of market time takes for real."""
        return market_seconds / self.speed

    def __str__(self) -> str:
        moment = datetime.fromtimestamp(self.market_ms / 1000, IST)
        return f"{moment.isoformat()}@{self.speed:g}@{self.real_ms / 1000:.3f}"


REAL_TIME = MarketClock()


def parse_market_clock(text: str) -> MarketClock:
    """`2026-11-20T09:00:00+05:30@60@1795000000.5`; empty is real time. A time without an offset is IST."""
    if not text.strip():
        return REAL_TIME
    try:
        moment_text, speed_text, real_text = text.strip().split("@")
        moment = datetime.fromisoformat(moment_text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=IST)
        speed, real_seconds = float(speed_text), float(real_text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not '<market time, ISO 8601>@<speed>@<real epoch seconds at which it was that time>'"
        ) from None
    if not 0 < speed < float("inf"):
        raise ValueError(f"the speed in {text!r} must be above 0")
    return MarketClock(round(moment.timestamp() * 1000), speed, round(real_seconds * 1000))
