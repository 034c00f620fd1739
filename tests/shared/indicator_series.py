"""Series of one-minute candles on which indicators are tried: long, torn, constant, and too short for anything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from utils.market.candle import Candle, Source, TimedBy

Floats = NDArray[np.float64]
SEED = 20261120
OPEN_MS = 1_767_325_500_000  # 2026-01-02T09:15+05:30
DAY_MS, MINUTE_MS = 86_400_000, 60_000
CANDLES_A_DAY = 375


def candles_of(
    close: NDArray[Any], reach: NDArray[Any], volume: Sequence[int | None], symbol: str = "NSE:INFY"
) -> list[Candle]:
    """One-minute candles over as many days as it takes, high and low `reach` away at most."""
    rng = np.random.default_rng(SEED)
    high = close + reach * rng.random(len(close))
    low = close - reach * rng.random(len(close))
    return [
        Candle(
            symbol=symbol,
            timeframe="1m",
            token=1,
            start_ms=OPEN_MS + at // CANDLES_A_DAY * DAY_MS + at % CANDLES_A_DAY * MINUTE_MS,
            end_ms=OPEN_MS + at // CANDLES_A_DAY * DAY_MS + (at % CANDLES_A_DAY + 1) * MINUTE_MS,
            open=float(close[at]),
            high=float(high[at]),
            low=float(low[at]),
            close=float(close[at]),
            volume=volume[at],
            oi=None,
            vwap=None,
            ticks=1,
            complete=True,
            source=Source.LIVE,
            rev=0,
            timed_by=TimedBy.EXCHANGE,
        )
        for at in range(len(close))
    ]


def walk(count: int, gaps: bool = False, base: float = 1500.0) -> list[Candle]:
    rng = np.random.default_rng(SEED + count)
    steps = rng.normal(0, 0.8, count)
    if gaps:
        steps[rng.integers(0, count, 40)] += rng.normal(0, 60, 40)
    close = np.round(np.maximum(base + np.cumsum(steps), 1.0), 2)
    return candles_of(close, np.full(count, 1.7), [int(step) for step in rng.integers(0, 5_000, count)])


def _constant(count: int) -> list[Candle]:
    return candles_of(np.full(count, 99.95), np.zeros(count), [10] * count)


def _walk_then_constant() -> list[Candle]:
    close = np.concatenate([np.array([bar.close for bar in walk(400)]), np.full(700, 1499.0)])
    return candles_of(close, np.where(np.arange(len(close)) < 400, 1.0, 0.0), [3] * len(close))


SERIES = {
    "a long walk": walk(6_000),
    "gaps": walk(2_000, gaps=True),
    "large prices": walk(3_000, base=9_000_000.0),
    "a constant price": _constant(600),
    "a walk that goes to sleep": _walk_then_constant(),
    "too short for anything": walk(8),
    "one candle": walk(1),
}


def column(candles: Sequence[Candle], name: str) -> Floats:
    return np.array([getattr(candle, name) for candle in candles], dtype=np.float64)
