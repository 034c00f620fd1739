"""From frame to live hash, as a reader of the live view sees it: some instruments' hashes are read every 10 ms."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import redis
from numpy.typing import NDArray

from bench.measure import percentile
from utils.market.clock import MarketClock

POLL_SECONDS = 0.010


@dataclass
class LiveProbe:
    """Records for each row when a receive time was first readable: `seen` has (market ms, receive ms)."""

    client: redis.Redis
    clock: MarketClock
    symbols: dict[int, str]
    seen: dict[int, list[tuple[int, int]]] = field(default_factory=dict)

    def watch(self, seconds: float) -> None:
        """Polls every POLL_SECONDS, which is the resolution."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            began = time.monotonic()
            self._look()
            time.sleep(max(0.0, POLL_SECONDS - (time.monotonic() - began)))

    def _look(self) -> None:
        pipeline = self.client.pipeline(transaction=False)
        for symbol in self.symbols.values():
            pipeline.hget(f"tick:{symbol}", "t")
        values: list[Any] = pipeline.execute()
        now_ms = self.clock.now_ms()
        for row, value in zip(self.symbols, values, strict=True):
            known = self.seen.setdefault(row, [])
            if value is not None and (not known or known[-1][1] != int(value)):
                known.append((now_ms, int(value)))


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from the receive time of a tick until a hash with it, or a later one, was readable."""

    p50: float
    p99: float
    p999: float
    count: int
    never: int
    first_half: float
    second_half: float

    @property
    def is_flat(self) -> bool:
        """Whether the lag did not grow from the first half to the second."""
        return self.never == 0 and self.second_half <= 1.5 * self.first_half + 50

    def as_figures(self) -> dict[str, float]:
        return {
            "p50_ms": self.p50,
            "p99_ms": self.p99,
            "p99_9_ms": self.p999,
            "ticks_watched": self.count,
            "ticks_never_seen": self.never,
            "lag_is_flat": float(self.is_flat),
        }


def latencies(probe: LiveProbe, sent: NDArray[np.int64], skip_ms: float = 0.0) -> Latencies:
    """Latencies of the watched ticks (`sent`: row, receive ms) after the first `skip_ms` of start-up."""
    begin = sent[:, 1].min() + skip_ms if len(sent) else 0
    end = max((times[-1][0] for times in probe.seen.values() if times), default=0)
    found, never = [], 0
    for row, sent_ms in sent[sent[:, 1] >= begin].tolist():
        at = next((at for at, value in probe.seen.get(row, []) if value >= sent_ms), None)
        never += at is None
        found.append((at if at is not None else end) - sent_ms)
    half = len(found) // 2
    return Latencies(
        percentile(found, 0.5),
        percentile(found, 0.99),
        percentile(found, 0.999),
        len(found),
        never,
        percentile(found[:half], 0.5),
        percentile(found[half:], 0.5),
    )
