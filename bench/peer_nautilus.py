"""nautilus_trader's time bars, as its data engine makes them: a `TimeBarAggregator` an instrument and timeframe, fed
with trade ticks, its timers driven by a `TestClock` (its clock for backtests), which is moved on once a second.

Set up to mean what we mean: intervals closed on the left, stamped with their start, none without trades, hours that
begin at a quarter past (`time_bars_origin_offset`). The trade ticks are made before the watch starts. To its
advantage 100 instruments share a clock: on one clock for all, 36 000 timers take minutes to set.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from nautilus_trader.common.component import TestClock
from nautilus_trader.data.aggregation import TimeBarAggregator
from nautilus_trader.model.data import BarType, TradeTick
from nautilus_trader.model.enums import AggressorSide
from nautilus_trader.model.identifiers import InstrumentId, TradeId
from nautilus_trader.model.objects import Price, Quantity
from nautilus_trader.test_kit.providers import TestInstrumentProvider
from numpy.typing import NDArray

from bench.candle_sets import CandleSet
from utils.market.instruments import Instrument

SPECIFICATIONS = {"1m": "1-MINUTE", "5m": "5-MINUTE", "15m": "15-MINUTE", "1h": "1-HOUR"}
INSTRUMENTS_ON_A_CLOCK = 100
_NS = 1_000_000_000


class NautilusBars:
    """Four aggregators an instrument; making them takes a millisecond each, so one set serves all repetitions."""

    def __init__(self, named: list[Instrument], start_s: int) -> None:
        self.bars: list[Any] = []
        self._clocks = [TestClock() for _ in range(-(-len(named) // INSTRUMENTS_ON_A_CLOCK))]
        for clock in self._clocks:
            clock.set_time(start_s * _NS)
        self._aggregators = [
            self._of(instrument, self._clocks[row // INSTRUMENTS_ON_A_CLOCK]) for row, instrument in enumerate(named)
        ]

    def _of(self, instrument: Instrument, clock: Any) -> tuple[Any, ...]:
        equity = TestInstrumentProvider.equity(symbol=instrument.tradingsymbol, venue="NSE")
        return tuple(self._aggregator(equity, clock, name, text) for name, text in SPECIFICATIONS.items())

    def _aggregator(self, equity: Any, clock: Any, name: str, text: str) -> Any:
        offset = pd.Timedelta(minutes=45) if name == "1h" else None  # 09:15 IST is 03:45 UTC
        return TimeBarAggregator(
            instrument=equity,
            bar_type=BarType.from_str(f"{equity.id}-{text}-LAST-INTERNAL"),
            handler=self.bars.append,
            clock=clock,
            interval_type="right-open",
            timestamp_on_close=False,
            build_with_no_updates=False,
            time_bars_origin_offset=offset,
        )

    def process(self, second: int, ticks: list[tuple[int, Any]]) -> None:
        """The ticks of one second, each with its row. First the clock, which builds the bars that are over."""
        for clock in self._clocks:
            for event in clock.advance_time(second * _NS):
                event.handle()
        aggregators = self._aggregators
        for row, tick in ticks:
            for aggregator in aggregators[row]:
                aggregator.handle_trade_tick(tick)

    def candles(self) -> CandleSet:
        names = {text: name for name, text in SPECIFICATIONS.items()}
        found: CandleSet = {}
        for bar in self.bars:
            symbol, step, unit, *_ = str(bar.bar_type).split("-")
            name = names[f"{step}-{unit}"]
            key = (f"NSE:{symbol.partition('.')[0]}", name, bar.ts_event // 1_000_000)
            found[key] = (float(bar.open), float(bar.high), float(bar.low), float(bar.close), float(bar.volume))
        return found


def trade_ticks(named: list[Instrument], ticks: NDArray[np.void]) -> list[tuple[int, Any]]:
    """Rows and trade ticks; the time within the second only matters to the clock."""
    ids = [InstrumentId.from_str(f"{instrument.tradingsymbol}.NSE") for instrument in named]
    side, trade_id = AggressorSide.NO_AGGRESSOR, TradeId("1")
    made = []
    for row, price, quantity, second in ticks[["row", "price", "quantity", "trade_s"]].tolist():
        at = second * _NS
        trade = TradeTick(ids[row], Price(price / 100, 2), Quantity.from_int(quantity), side, trade_id, at, at)
        made.append((row, trade))
    return made
