"""Checks before anything is timed: whether all sides make the same candles of the same ticks."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from bench.candle_loop import as_trades
from bench.candle_sets import CandleSet, difference, only
from bench.ours import BareKernel, closed_candles, new_engine
from bench.peers import Peers
from bench.results import Check
from bench.synthetic import OPEN_MS, frame_entries, instruments, seconds_of_ticks

INSTRUMENTS = 10
MINUTES = 121  # two hours' candles close, and a minute more for those who close at the next tick
FOUR = ("1m", "5m", "15m", "1h")
LAST_MS = OPEN_MS + (MINUTES - 1) * 60_000
OPEN_S = OPEN_MS // 1000


def check_candles(peers: Peers) -> list[Check]:
    """One baseline tick each before the open, then one tick a second for two hours and a minute."""
    return _Comparison(peers).run()


class _Comparison:
    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._named = instruments(INSTRUMENTS)
        self._seconds = list(seconds_of_ticks(INSTRUMENTS, MINUTES * 60 + 1, OPEN_S - 1))
        self._trades = np.concatenate(self._seconds[1:])
        self._ours: CandleSet = {}

    def run(self) -> list[Check]:
        entries = [
            entry
            for index, ticks in enumerate(self._seconds)
            for entry in frame_entries(ticks, 50, (OPEN_S - 1 + index) * 1000 + 400)
        ]
        closed = closed_candles(new_engine(INSTRUMENTS), entries)
        self._ours = only(closed, FOUR, OPEN_MS, LAST_MS)
        checks = [self._compare("our engine, by plain arithmetic", self._plain, FOUR)]
        checks.append(self._compare("our bare kernel", self._kernel, FOUR))
        for name, side, timeframes, how in (
            ("kiteconnect + dict", self._tutorial, FOUR, ""),
            ("nautilus_trader", self._nautilus, FOUR, "with right-open intervals and an origin offset for 1h"),
            ("vnpy", self._vnpy, ("1m", "5m", "15m"), "its 1h follows the clock's hours, not the session's"),
            ("polars (batch)", self._polars, FOUR, ""),
        ):
            if self._peers.get(name) is not None:
                checks.append(self._compare(name, side, timeframes, how))
        if self._peers.get("cryptofeed") is not None:
            checks.append(self._cryptofeed())
        return checks

    def _compare(self, name: str, side: Callable[[], CandleSet], timeframes: Iterable[str], how: str = "") -> Check:
        timeframes = tuple(timeframes)
        ours = only(self._ours, timeframes, OPEN_MS, LAST_MS)
        found = difference(ours, only(side(), timeframes, OPEN_MS, LAST_MS))
        detail = f"{len(ours)} candles in {', '.join(timeframes)}" + (f"; {how}" if how else "")
        return Check(f"same candles: {name}", not found, found or detail)

    def _plain(self) -> CandleSet:
        """Group by bucket in plain Python: shares nothing with the engine."""
        found: CandleSet = {}
        for row, price, quantity, second in self._trades[["row", "price", "quantity", "trade_s"]].tolist():
            for name, length in (("1m", 60), ("5m", 300), ("15m", 900), ("1h", 3600)):
                key = (self._named[row].symbol, name, (OPEN_S + (second - OPEN_S) // length * length) * 1000)
                p = price / 100
                o, h, low, _, v = found.get(key, (p, p, p, p, 0.0))
                found[key] = (o, max(h, p), min(low, p), p, v + quantity)
        return found

    def _kernel(self) -> CandleSet:
        kernel = BareKernel(INSTRUMENTS, self._seconds[0])
        kernel.process(as_trades(self._trades), 100)
        return kernel.candles()

    def _tutorial(self) -> CandleSet:
        module = self._peers.get("kiteconnect + dict")
        assert module is not None
        side = module.TutorialAggregator({instrument.token: instrument.symbol for instrument in self._named})
        for ticks in self._seconds:
            for entry in frame_entries(ticks, 50, 0):
                side.receive(entry.payload)
        found: CandleSet = side.candles(OPEN_MS)
        return found

    def _nautilus(self) -> CandleSet:
        module = self._peers.get("nautilus_trader")
        assert module is not None
        side = module.NautilusBars(self._named, OPEN_S)
        for second, ticks in enumerate(self._seconds[1:]):
            side.process(OPEN_S + second, module.trade_ticks(self._named, ticks))
        found: CandleSet = side.candles()
        return found

    def _vnpy(self) -> CandleSet:
        module = self._peers.get("vnpy")
        assert module is not None
        side = module.VnpyBars(self._named)
        for ticks in self._seconds:
            side.process(module.tick_data(self._named, ticks))
        found: CandleSet = side.candles()
        return found

    def _polars(self) -> CandleSet:
        module = self._peers.get("polars (batch)")
        assert module is not None
        frames = module.group(module.frame_of(self._trades), OPEN_MS)
        found: CandleSet = module.candles(frames, self._named, OPEN_MS)
        return found

    def _cryptofeed(self) -> Check:
        """cryptofeed's window covers the full first hour, and is compared with our first 1h candle."""
        module = self._peers.get("cryptofeed")
        assert module is not None
        side = module.CryptofeedCandles()
        first_hour: NDArray[np.void] = self._trades[self._trades["trade_s"] < OPEN_S + 3600]
        side.process(module.trades_of(self._named, first_hour))
        ours = {key: candle for key, candle in self._ours.items() if key[1] == "1h" and key[2] == OPEN_MS}
        theirs = {(symbol, "1h", OPEN_MS): value for symbol, value in side.full_window().items()}
        found = difference(ours, theirs)
        how = "one window around the first hour: its windows follow the wall clock and know no session"
        return Check("same candles: cryptofeed", not found, found or f"{len(ours)} candles; {how}")
