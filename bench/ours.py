"""Our own sides of the comparisons, in process: the engine as the candle worker uses it, and the bare kernel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.candle_loop import BareState, process_trades
from bench.candle_sets import CandleSet, Key
from bench.synthetic import instruments, subscription
from candle_worker import ENTRIES_AT_ONCE
from data_handler import rules_of
from tests.shared.engine_candles import engine_candles
from utils.candles.engine import CandleEngine
from utils.candles.kernels.layout import new_output
from utils.journal.entries import Entry
from utils.market.candle import Candle
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframes
from utils.runtime.settings import Settings

FOUR_TIMEFRAMES = "1m,5m,15m,1h"
_EVENTS = 1 << 16  # slots for closed candles in the bare kernel's buffers

_CALENDAR = SessionCalendar.load()
_SETTINGS = Settings.load(_env_file=None)


def empty_engine(timeframes: str = FOUR_TIMEFRAMES) -> CandleEngine:
    """An engine with all rules and no instruments."""
    return CandleEngine(parse_timeframes(timeframes), rules_of(_SETTINGS), _SETTINGS.zscore_window, _CALENDAR)


def new_engine(count: int, timeframes: str = FOUR_TIMEFRAMES) -> CandleEngine:
    """An engine with all rules, subscribed to `count` instruments."""
    engine = empty_engine(timeframes)
    engine.process([subscription(instruments(count))])
    return engine


def process_all(engine: CandleEngine, entries: Sequence[Entry]) -> int:
    """Processes entries in the worker's batches; returns how many candles closed (records, as in the worker)."""
    closed = 0
    for at in range(0, len(entries), ENTRIES_AT_ONCE):
        closed += sum(map(len, engine.process(entries[at : at + ENTRIES_AT_ONCE]).records))
    return closed


def closed_candles(engine: CandleEngine, entries: Sequence[Entry]) -> CandleSet:
    """The closed candles, each in its last revision, for the comparison with others."""
    return as_set(engine_candle.candle for engine_candle in engine_candles(engine.process(entries)))


def as_set(candles: Iterable[Candle]) -> CandleSet:
    found: CandleSet = {}
    for candle in candles:
        key: Key = (candle.symbol, candle.timeframe, candle.start_ms)
        found[key] = (candle.open, candle.high, candle.low, candle.close, float(candle.volume or 0))
    return found


class BareKernel:
    """Decoded trades into candles, in batches; closed candles are copied when the kernel's buffers are full."""

    def __init__(self, count: int, first: NDArray[np.void], timeframes: str = FOUR_TIMEFRAMES) -> None:
        self._engine = new_engine(count, timeframes)
        shard = self._engine.shard
        shard.instruments["cum"][first["row"]] = first["cum"]
        self._grace_ms = rules_of(_SETTINGS).grace_ms
        self._out = new_output(_EVENTS, 1)
        self._state = BareState.of(shard, self._out)
        self._closed: list[tuple[NDArray[np.void], NDArray[np.void]]] = []

    def process(self, trades: NDArray[np.void], batch: int) -> None:
        state, grace_ms, fullest = self._state, self._grace_ms, _EVENTS - 2 * len(self._engine.timeframes) * batch
        for at in range(0, len(trades), batch):
            if process_trades(*state, grace_ms, trades[at : at + batch]) > fullest:
                self._drain()

    def _drain(self) -> None:
        count = int(self._out.filled[0])
        self._closed.append((self._out.heads[:count].copy(), self._out.candles[:count].copy()))
        self._out.filled[0] = 0

    def forget_closed(self) -> None:
        self._closed.clear()
        self._out.filled[0] = 0

    def candles(self) -> CandleSet:
        """The candles closed so far."""
        self._drain()
        found: CandleSet = {}
        for heads, candles in self._closed:
            for head, candle in zip(heads, candles, strict=True):
                symbol = self._engine.instruments[head["row"]].symbol
                timeframe = self._engine.timeframes[head["column"]].name
                prices = (float(candle[name]) / 100 for name in ("open", "high", "low", "close"))
                volume = float(candle["end_cum"] - candle["base"])
                found[symbol, timeframe, int(candle["start_ms"])] = (*prices, volume)  # type: ignore[assignment]
        return found
