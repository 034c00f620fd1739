"""The values of one instrument and timeframe after one candle, as strategies and other programs see them."""

from __future__ import annotations

import math
from typing import NamedTuple

NAN = float("nan")


class IndicatorValues(NamedTuple):
    """NaN is an absent value (not warm yet, or no volume): every comparison with it is False.

    Prices and ATR in the quote currency, RSI 0 to 100 (50 of a price that never moved), `supertrend_direction` +1 up
    and -1 down.
    """

    sma_20: float = NAN
    sma_200: float = NAN
    ema_9: float = NAN
    rsi_14: float = NAN
    macd: float = NAN
    macd_signal: float = NAN
    macd_histogram: float = NAN
    atr_14: float = NAN
    supertrend: float = NAN
    supertrend_direction: float = NAN
    vwap: float = NAN

    def has(self, *names: str) -> bool:
        """Whether all of these are there."""
        return not any(math.isnan(getattr(self, name)) for name in names)

    def as_dict(self) -> dict[str, float]:
        """Those that are there, by name."""
        return {name: value for name, value in zip(self._fields, self, strict=True) if math.isfinite(value)}


class LatestValues(NamedTuple):
    """An instrument's values after its newest candle in a timeframe."""

    symbol: str
    timeframe: str
    start_ms: int
    values: IndicatorValues


INDICATOR_NAMES: tuple[str, ...] = IndicatorValues._fields
ABSENT = IndicatorValues()
