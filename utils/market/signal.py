"""A signal: what a strategy proposes because of one closed candle, as it is published and stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from utils.market.ist import iso_ist

Pair = tuple[str, str]  # symbol, timeframe


class Direction(StrEnum):
    """Buy first, or sell first."""

    LONG = "LONG"
    SHORT = "SHORT"


@dataclass(frozen=True, slots=True)
class Signal:
    """Prices in the quote currency. `at_ms` is the candle's end, `values` has the indicators that are there."""

    strategy: str
    symbol: str
    timeframe: str
    start_ms: int
    at_ms: int
    direction: Direction
    entry: float
    stop: float
    target: float
    conditions: tuple[str, ...]
    values: Mapping[str, float]
    candle_complete: bool
    candle_rev: int

    @property
    def id(self) -> str:
        """The same candle cannot give another: `momentum|NSE:INFY|5m|001767225600000|LONG`."""
        return f"{self.strategy}|{self.symbol}|{self.timeframe}|{self.start_ms:015d}|{self.direction}"

    def as_document(self) -> dict[str, Any]:
        """Flat and JSON-safe; `t` is the signal's time in epoch ms."""
        return {
            "_id": self.id,
            "k": self.id,
            "id": self.id,
            "t": self.at_ms,
            "timestamp": iso_ist(self.at_ms),
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "strategy": self.strategy,
            "direction": str(self.direction),
            "entry": self.entry,
            "stop": self.stop,
            "target": self.target,
            "conditions": list(self.conditions),
            "candle_start": iso_ist(self.start_ms),
            "candle_t": self.start_ms,
            "candle_complete": self.candle_complete,
            "candle_rev": self.candle_rev,
            **self.values,
        }
