"""The candle engine over a session's entries: its candles as arrays, as published and in their final state."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_handler import rules_of
from simulator.dice import Ints
from tests.measures.played_day import CALENDAR
from utils.candles.engine import CandleEngine
from utils.candles.engine_output import RejectedPacket
from utils.journal.entries import Entry
from utils.runtime.settings import Settings

BATCH = 256


@dataclass(frozen=True)
class EngineCandles:
    """Parallel arrays. `row`: index of the instrument; `column`: of the timeframe; prices in wire integers."""

    row: Ints
    column: Ints
    start_ms: Ints
    end_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: Ints) -> EngineCandles:
        return EngineCandles(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @property
    def keys(self) -> Ints:
        """One number for each (row, column, start)."""
        return (self.row * 64 + self.column) * (1 << 42) + self.start_ms // 1000


@dataclass(frozen=True)
class EngineDay:
    """`published` in order, revisions included; `final` the last state of each."""

    timeframes: tuple[str, ...]
    published: EngineCandles
    final: EngineCandles
    rejected: list[RejectedPacket]


def engine_day(entries: list[Entry], timeframes: str, zscore_reject: float = 4.0) -> EngineDay:
    """Runs the engine with default settings, except for those given."""
    settings = Settings(_env_file=None, timeframes=timeframes, zscore_reject=zscore_reject)  # type: ignore[arg-type, call-arg]
    engine = CandleEngine(settings.timeframes, rules_of(settings), settings.zscore_window, CALENDAR)
    parts, rejected = [], []
    for first in range(0, len(entries), BATCH):
        output = engine.process(entries[first : first + BATCH])
        parts += [(part.heads, part.candles) for part in output.records]
        rejected += output.rejected
    heads, candles = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
    published = EngineCandles(
        row=heads["row"].astype(np.int64),
        column=heads["column"].astype(np.int64),
        start_ms=candles["start_ms"],
        end_ms=candles["end_ms"],
        open=candles["open"],
        high=candles["high"],
        low=candles["low"],
        close=candles["close"],
        volume=np.where(candles["has_volume"] == 1, candles["end_cum"] - candles["base"], 0),
    )
    return EngineDay(
        tuple(frame.name for frame in settings.timeframes), published, published.select(_last(published)), rejected
    )


def _last(published: EngineCandles) -> Ints:
    """The index of each candle's last revision."""
    _, from_behind = np.unique(published.keys[::-1], return_index=True)
    return np.sort(len(published) - 1 - from_behind)
