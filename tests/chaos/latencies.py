"""Latencies of candles and signals within one run, while MongoDB is up and while it is down."""

from __future__ import annotations

import statistics
import threading
import time
from typing import Any

import orjson
import redis

from tests.chaos.stage import Stage
from tests.e2e.simulated import ist_ms

POLL_MS = 200


class Latencies:
    """Listens to the streams as another program would, and notes the real time at which each entry was there."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._began = time.time()
        self._candles: list[tuple[float, float]] = []
        self._signals: list[tuple[float, float]] = []
        self._candle_at: dict[str, float] = {}
        self._stored_at: list[tuple[float, int]] = []
        self._ending = threading.Event()
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._listen, self._watch_archive)
        ]
        for thread in self._threads:
            thread.start()

    def figures(self, seconds: float) -> dict[str, Any]:
        """Milliseconds by thirds of the run: with MongoDB, without, with it again; seconds until all was stored."""
        self._ending.set()
        for thread in self._threads:
            thread.join(5)
        thirds = {
            "before": (0.0, seconds / 3),
            "away": (seconds / 3, 2 * seconds / 3),
            "after": (2 * seconds / 3, seconds),
        }
        found: dict[str, Any] = {}
        for what, pairs in (("candle", self._candles), ("signal", self._signals)):
            for name, (low, high) in thirds.items():
                found[f"{what} ms, MongoDB {name}"] = _summary([ms for at, ms in pairs if low <= at < high])
        found["stored after its return, seconds"] = self._caught_up_after(2 * seconds / 3)
        found["most that waited for MongoDB"] = max((lag for _, lag in self._stored_at), default=0)
        return found

    def _listen(self) -> None:
        client = redis.Redis.from_url(self._stage.valkey.url, socket_timeout=10)
        positions: dict[Any, Any] = {"closed:{a}": "$", "signals:{a}": "$"}
        while not self._ending.is_set():
            answer: Any = client.xread(positions, block=POLL_MS)
            now = time.time()
            for name, entries in answer or []:
                positions[name.decode()] = entries[-1][0]
                for entry_id, fields in entries:
                    self._note(
                        name == b"closed:{a}", int(entry_id.split(b"-")[0]), orjson.loads(fields[b"json"]), now
                    )
        client.close()

    def _note(self, is_candle: bool, source_ms: int, document: dict[str, Any], now: float) -> None:
        clock, at = self._stage.clock, now - self._began
        if is_candle:
            caused = clock.real_zero + (source_ms - ist_ms(clock.start)) / 1000 / clock.speed
            self._candle_at[document["_id"]] = now
            self._candles.append((at, 1000 * (now - caused)))
            return
        candle = f"{document['symbol']}|{document['timeframe']}|{document['candle_t']:015d}"
        if candle in self._candle_at:
            self._signals.append((at, 1000 * (now - self._candle_at[candle])))

    def _watch_archive(self) -> None:
        client = redis.Redis.from_url(self._stage.valkey.url, socket_timeout=10)
        while not self._ending.wait(0.1):
            groups: Any = client.xinfo_groups("closed:{a}") if client.exists("closed:{a}") else []
            if groups and groups[0]["lag"] is not None:
                lag = int(groups[0]["lag"]) + int(groups[0]["pending"])
                self._stored_at.append((time.time() - self._began, lag))
        client.close()

    def _caught_up_after(self, returned: float) -> float | None:
        """Seconds after MongoDB's return until no more waited than waits at any moment."""
        for at, lag in self._stored_at:
            if at > returned and lag < 100:
                return round(at - returned, 1)
        return None


def _summary(values: list[float]) -> dict[str, float]:
    if len(values) < 2:
        return {"count": len(values)}
    cuts = statistics.quantiles(values, n=100)
    figures = {"median": statistics.median(values), "p95": cuts[94], "p99": cuts[98], "most": max(values)}
    return {"count": len(values), **{name: round(value, 1) for name, value in figures.items()}}
