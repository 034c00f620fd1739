"""cryptofeed's OHLCV aggregation: a callback for trades, one a window, awaited for every trade as its feeds do.

Its windows follow the wall clock and begin when the object is made, whatever the trades' own times: they cannot be
anchored to a session. The comparison is of one window with all trades.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import numpy as np
from cryptofeed.backends.aggregate import OHLCV
from cryptofeed.types import Trade
from numpy.typing import NDArray

from bench.candle_sets import Values
from utils.market.instruments import Instrument

WINDOWS_SECONDS = (60, 300, 900, 3600)


async def _ignore(candles: Any) -> None:
    return


class CryptofeedCandles:
    """Four windows side by side."""

    def __init__(self) -> None:
        self._windows = [OHLCV(_ignore, window=seconds) for seconds in WINDOWS_SECONDS]

    def process(self, trades: list[Any]) -> None:
        asyncio.run(self._process(trades))

    async def _process(self, trades: list[Any]) -> None:
        windows = self._windows
        for trade in trades:
            for window in windows:
                await window(trade, trade.timestamp)

    def full_window(self) -> dict[str, Values]:
        """The longest window's candle of each symbol."""
        return {
            symbol: (
                float(window["open"]),
                float(window["high"]),
                float(window["low"]),
                float(window["close"]),
                float(window["volume"]),
            )
            for symbol, window in self._windows[-1].data.items()
        }


def trades_of(named: list[Instrument], ticks: NDArray[np.void]) -> list[Any]:
    """cryptofeed's own trade objects."""
    return [
        Trade("BENCH", named[row].symbol, "buy", Decimal(quantity), Decimal(price) / 100, float(second))
        for row, price, quantity, second in ticks[["row", "price", "quantity", "trade_s"]].tolist()
    ]
