"""One moment of a running pipeline, as values: what the live view and the progress line show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ProcessLine:
    """One process. `lag_ms` is market time, None when there is none; `note` is what the process does now."""

    name: str
    alive: bool
    lag_ms: int | None
    note: str


@dataclass(frozen=True, slots=True)
class LiveCandle:
    """An instrument's candle as it forms, its last closes before it, and the change since the first of the day."""

    symbol: str
    timeframe: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    ticks: int
    closes: tuple[float, ...]
    complete: bool


@dataclass(frozen=True, slots=True)
class ShownSignal:
    """One signal as it is shown."""

    at_ms: int
    symbol: str
    timeframe: str
    direction: str
    entry: float
    stop: float
    target: float

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> ShownSignal:
        return cls(
            at_ms=int(document["t"]),
            symbol=document["symbol"],
            timeframe=document["timeframe"],
            direction=document["direction"],
            entry=float(document["entry"]),
            stop=float(document["stop"]),
            target=float(document["target"]),
        )


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is made ready: how far it has come, of how much (0: unknown), and a note."""

    name: str
    done: int
    of: int
    note: str

    @property
    def is_over(self) -> bool:
        return 0 < self.of <= self.done


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything at one moment. Rates are per real second."""

    title: str
    market_ms: int
    from_ms: int
    until_ms: int
    packets: int
    packets_a_second: float
    candles: dict[str, int]
    candles_a_second: float
    revisions: int
    signals_published: int
    live: tuple[LiveCandle, ...] = ()
    signals: tuple[ShownSignal, ...] = ()
    processes: tuple[ProcessLine, ...] = ()
    rejected: dict[str, int] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    @property
    def progress(self) -> float:
        """0 at the start of the stretch, 1 at its end."""
        share = (self.market_ms - self.from_ms) / (self.until_ms - self.from_ms)
        return min(1.0, max(0.0, share))
