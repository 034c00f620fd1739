"""TA-Lib recomputing every instrument's window at a close, as its function interface is meant to be used.

It has neither Supertrend nor VWAP: these follow from its ATR in a compiled loop and from numpy, to its advantage.
"""

from __future__ import annotations

import numba
import numpy as np
import talib
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Window = tuple[Floats, Floats, Floats, Floats]


@numba.njit(cache=True)
def supertrend(high: Floats, low: Floats, close: Floats, atr: Floats, period: int, reach: float) -> float:
    """The last value of TradingView's `ta.supertrend`."""
    upper = lower = 0.0
    direction = -1
    for at in range(period, len(close)):
        middle = (high[at] + low[at]) / 2
        up, down = middle + reach * atr[at], middle - reach * atr[at]
        if at > period:
            if not (up < upper or close[at - 1] > upper):
                up = upper
            if not (down > lower or close[at - 1] < lower):
                down = lower
            turned = close[at] > up if direction < 0 else close[at] < down
            direction = -direction if turned else direction
        upper, lower = up, down
    return lower if direction > 0 else upper


def recompute(window: Window) -> dict[str, float]:
    """All values of one instrument after the candles of its window: high, low, close, volume."""
    high, low, close, volume = window
    macd, signal, histogram = talib.MACD(close, 12, 26, 9)
    typical = (high + low + close) / 3
    return {
        "sma_20": talib.SMA(close, 20)[-1],
        "sma_200": talib.SMA(close, 200)[-1],
        "ema_9": talib.EMA(close, 9)[-1],
        "rsi_14": talib.RSI(close, 14)[-1],
        "macd": macd[-1],
        "macd_signal": signal[-1],
        "macd_histogram": histogram[-1],
        "atr_14": talib.ATR(high, low, close, 14)[-1],
        "supertrend": supertrend(high, low, close, talib.ATR(high, low, close, 10), 10, 3.0),
        "vwap": (typical * volume).sum() / volume.sum(),
    }
