"""The invariants of every candle, for any input."""

from __future__ import annotations

import math

from utils.market.candle import Candle


def check_candle(candle: Candle) -> None:
    """No NaN, high and low around open and close, no negative volume, start before end."""
    prices = (candle.open, candle.high, candle.low, candle.close)
    assert all(math.isfinite(price) and price > 0 for price in prices), candle
    assert candle.low <= min(candle.open, candle.close), candle
    assert candle.high >= max(candle.open, candle.close), candle
    assert candle.volume is None or candle.volume >= 0, candle
    assert candle.oi is None or candle.oi >= 0, candle
    assert candle.vwap is None or math.isfinite(candle.vwap), candle
    assert candle.start_ms < candle.end_ms, candle
    assert candle.ticks >= 0 <= candle.rev, candle
