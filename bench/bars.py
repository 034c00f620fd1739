"""Candles of one timeframe as columns: what indicators are computed from on all sides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.synthetic import OPEN_MS, SEED
from utils.indicators import kernels
from utils.market.candle import Candle, Source, TimedBy
from utils.market.ist import ist_date

MINUTE_MS = 60_000
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bars:
    """Each (candles, instruments), all of one session, a minute apart."""

    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    start_ms: NDArray[np.int64]

    @property
    def instruments(self) -> int:
        return int(self.close.shape[1])

    @property
    def count(self) -> int:
        return int(self.close.shape[0])

    def first(self, instruments: int) -> Bars:
        """The candles of the first so many instruments."""
        columns = (self.open, self.high, self.low, self.close, self.volume)
        first, high, low, close, volume = (column[:, :instruments].copy() for column in columns)
        return Bars(first, high, low, close, volume, self.start_ms)

    def window(self, row: int, until: int) -> tuple[Floats, Floats, Floats, Floats]:
        """One instrument's first `until` candles: high, low, close, volume."""
        high, low, close, volume = (
            np.ascontiguousarray(column[:until, row]) for column in (self.high, self.low, self.close, self.volume)
        )
        return high, low, close, volume

    def candles(self, at: int) -> list[Candle]:
        """All instruments' candles of one close, as the signal worker gets them."""
        columns = (self.open, self.high, self.low, self.close, self.volume)
        start = int(self.start_ms[at])
        return [
            Candle(
                symbol=f"NSE:S{row:05d}",
                timeframe="1m",
                token=row,
                start_ms=start,
                end_ms=start + MINUTE_MS,
                open=first,
                high=high,
                low=low,
                close=close,
                volume=int(volume),
                oi=None,
                vwap=close,
                ticks=60,
                complete=True,
                source=Source.LIVE,
                rev=0,
                timed_by=TimedBy.EXCHANGE,
            )
            for row, (first, high, low, close, volume) in enumerate(
                zip(*(column[at].tolist() for column in columns), strict=True)
            )
        ]

    def batch(self, at: int) -> kernels.Batch:
        """The close in the form of the kernel's input."""
        n = self.instruments
        start = int(self.start_ms[at])
        return kernels.Batch(
            rows=np.arange(n),
            start_ms=np.full(n, start),
            rev=np.zeros(n, np.int64),
            high=self.high[at],
            low=self.low[at],
            close=self.close[at],
            volume=self.volume[at],
            session_day=np.full(n, ist_date(start).toordinal()),
        )


def random_bars(
    count: int, instruments: int, end_ms: int = OPEN_MS + 375 * MINUTE_MS, prices: Floats | None = None
) -> Bars:
    """Walks from these prices, or from some between 100 and 3000; the last candle ends at `end_ms`."""
    dice = np.random.default_rng(SEED)
    steps = dice.normal(0, 0.001, (count, instruments))
    first_prices = dice.uniform(100, 3_000, instruments) if prices is None else prices
    close = np.round(first_prices * np.exp(np.cumsum(steps, axis=0)), 2)
    first = np.vstack([close[:1], close[:-1]])
    reach = np.abs(dice.normal(0, 0.0005, (2, count, instruments))) * close
    return Bars(
        open=first,
        high=np.round(np.maximum(first, close) + reach[0], 2),
        low=np.round(np.minimum(first, close) - reach[1], 2),
        close=close,
        volume=dice.integers(100, 100_000, (count, instruments)).astype(np.float64),
        start_ms=end_ms - MINUTE_MS * np.arange(count, 0, -1),
    )
