"""vnpy's BarGenerator, as its strategies use it: one makes minutes from ticks, and minutes make the longer bars.

Only the minute bar is alive between minutes: 5m, 15m and 1h move when a minute is over, less work than ours and
nautilus_trader's. Its hours are the clock's (10:00), not the session's (10:15): 1h is not compared.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vnpy.trader.constant import Exchange, Interval
from vnpy.trader.object import BarData, TickData
from vnpy.trader.utility import BarGenerator

from bench.candle_sets import CandleSet
from utils.market.instruments import Instrument

IST = timezone(timedelta(hours=5, minutes=30))
COMPARED = ("1m", "5m", "15m")


class _Chain:
    """The generators of one instrument."""

    def __init__(self, symbol: str, bars: list[tuple[str, str, Any]]) -> None:
        self._symbol, self._bars = symbol, bars
        self._five = BarGenerator(self._on_minute, 5, self._keep("5m"))
        self._longer = (
            BarGenerator(self._nothing, 15, self._keep("15m")),
            BarGenerator(self._nothing, 1, self._keep("1h"), Interval.HOUR),
        )
        self.update_tick = self._five.update_tick

    def _keep(self, name: str) -> Any:
        return lambda bar: self._bars.append((self._symbol, name, bar))

    def _nothing(self, bar: BarData) -> None:
        return

    def _on_minute(self, bar: BarData) -> None:
        self._bars.append((self._symbol, "1m", bar))
        self._five.update_bar(bar)
        for name in self._longer:
            name.update_bar(bar)


class VnpyBars:
    """A chain an instrument."""

    def __init__(self, named: list[Instrument]) -> None:
        self.bars: list[tuple[str, str, Any]] = []
        self._chains = [_Chain(instrument.symbol, self.bars) for instrument in named]

    def process(self, ticks: list[tuple[int, Any]]) -> None:
        chains = self._chains
        for row, tick in ticks:
            chains[row].update_tick(tick)

    def candles(self) -> CandleSet:
        return {
            (symbol, name, round(bar.datetime.timestamp()) * 1000): (
                bar.open_price,
                bar.high_price,
                bar.low_price,
                bar.close_price,
                bar.volume,
            )
            for symbol, name, bar in self.bars
        }


def tick_data(named: list[Instrument], ticks: NDArray[np.void]) -> list[tuple[int, Any]]:
    """Rows and ticks with the day's cumulative volume."""
    times: dict[int, datetime] = {}
    made = []
    for row, price, cum, second in ticks[["row", "price", "cum", "trade_s"]].tolist():
        at = times.setdefault(second, datetime.fromtimestamp(second, IST))
        symbol = named[row].tradingsymbol
        tick = TickData("bench", symbol, Exchange.LOCAL, at, volume=cum, last_price=price / 100)
        made.append((row, tick))
    return made
