"""talipp's incremental indicators: ten objects an instrument, each given every candle, as documented."""

from __future__ import annotations

from typing import Any

from talipp.indicators import ATR, EMA, MACD, RSI, SMA, VWAP, SuperTrend
from talipp.ohlcv import OHLCV

from bench.bars import Bars


class TalippRows:
    """The indicators of all instruments; VWAP is that of the full series (talipp has no sessions)."""

    def __init__(self, bars: Bars, before: int) -> None:
        self._rows = [_made() for _ in range(bars.instruments)]
        for at in range(before):
            self.add(_candles(bars, at))

    def add(self, candles: list[Any]) -> None:
        """One candle of each instrument."""
        for (closes, candle_fed), candle in zip(self._rows, candles, strict=True):
            for close in closes:
                close.add(candle.close)
            for value in candle_fed:
                value.add(candle)

    def value(self, row: int) -> dict[str, float]:
        """The last values, by our names."""
        closes, candle_fed = self._rows[row]
        macd, trend = closes[4][-1], candle_fed[1][-1]
        return {
            "sma_20": closes[0][-1],
            "sma_200": closes[1][-1],
            "ema_9": closes[2][-1],
            "rsi_14": closes[3][-1],
            "macd": macd.macd,
            "macd_signal": macd.signal,
            "macd_histogram": macd.histogram,
            "atr_14": candle_fed[0][-1],
            "supertrend": trend.value,
            "vwap": candle_fed[2][-1],
        }


def _made() -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    return (SMA(20), SMA(200), EMA(9), RSI(14), MACD(12, 26, 9)), (ATR(14), SuperTrend(10, 3), VWAP())


def _candles(bars: Bars, at: int) -> list[Any]:
    columns = (bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [OHLCV(*values) for values in zip(*(column[at].tolist() for column in columns), strict=True)]


def candles_at(bars: Bars, at: int) -> list[Any]:
    """talipp's own candle objects of one close."""
    return _candles(bars, at)
