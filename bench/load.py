"""The load generator, a process of its own: synthetic frames into `ticks:{shard}` under the time they are sent at.

    python -m bench.load '{"redis_url": …, "instruments": 500, "rate": 2, …}'

Every instrument ticks `rate` times a second. `burst`: all ticks of a second at once, as a feed of snapshots does;
otherwise evenly over slices of 50 ms. With `step_seconds` the rate grows by `growth` after each of them.
The count of ticks sent is in the key `bench:sent`. At its end the generator writes the sending times of the watched
instruments.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.synthetic import Market, frames_of, full_packets, instruments, subscription
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.market.clock import parse_market_clock
from utils.stores.redis_connection import open_redis

SLICE_MS = 50
SENT_KEY = "bench:sent"


@dataclass(frozen=True, slots=True)
class Load:
    """`watched` rows have their sending times written to `log_path` (npy: row, receive ms)."""

    redis_url: str
    market_clock: str
    instruments: int
    shards: int
    rate: float
    seconds: float
    watched: tuple[int, ...]
    log_path: str
    burst: bool = False
    per_frame: int = 50
    step_seconds: float = 0.0
    growth: float = 1.0

    def as_json(self) -> str:
        return json.dumps(asdict(self))


class Generator:
    """Sends slice after slice; a late slice is sent at once, with ids of that time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._clock = parse_market_clock(load.market_clock)
        self._client = open_redis(load.redis_url)
        named = instruments(load.instruments)
        self._tokens = np.array([instrument.token for instrument in named], np.int64)
        self._shard_of = np.arange(load.instruments) * load.shards // load.instruments
        self._market = Market.of(load.instruments)
        self._last_ids = [EntryId(0, 0)] * load.shards
        self._watched = np.zeros(load.instruments, bool)
        self._watched[list(load.watched)] = True
        self._log: list[tuple[int, int]] = []
        self.sent = 0
        self.late_ms = 0
        for shard in range(load.shards):
            members = [instrument for row, instrument in enumerate(named) if self._shard_of[row] == shard]
            self._add(shard, b"m", subscription(members).payload)
        self._send(np.arange(load.instruments))  # the cached value of each instrument: its baseline

    def _add(self, shard: int, kind: bytes, payload: bytes) -> None:
        self._client.xadd(Keys().ticks(shard), {kind: payload}, id=str(self._next_id(shard)))

    def _next_id(self, shard: int) -> EntryId:
        self._last_ids[shard] = self._last_ids[shard].after(self._clock.now_ms())
        return self._last_ids[shard]

    def _send(self, rows: NDArray[np.int64]) -> None:
        """One tick of each of these rows (each at most once), now."""
        now_ms = self._clock.now_ms()
        ticks = self._market.step(rows, now_ms // 1000, self._tokens)
        pipeline = self._client.pipeline(transaction=False)
        for shard in range(self._load.shards):
            of_shard = ticks[self._shard_of[rows] == shard]
            for frame in frames_of(full_packets(of_shard), self._load.per_frame):
                pipeline.xadd(Keys().ticks(shard), {b"f": frame}, id=str(self._next_id(shard)))
        self._log += [(row, now_ms) for row in rows[self._watched[rows]].tolist()]
        self.sent += len(rows)
        pipeline.set(SENT_KEY, self.sent)
        pipeline.execute()

    def run(self) -> None:
        load, at = self._load, 0.0
        period_ms = 1000 / load.rate if load.burst else SLICE_MS
        began_ms = self._clock.now_ms()
        for index in range(round(load.seconds * 1000 / period_ms)):
            wait_ms = began_ms + index * period_ms - self._clock.now_ms()
            self.late_ms = max(self.late_ms, round(-wait_ms))
            time.sleep(max(0.0, wait_ms / 1000))
            until = at + load.instruments * (1.0 if load.burst else self._rate_at(index) * SLICE_MS / 1000)
            # Each row is at most once in a batch.
            for first in range(int(at), int(until), load.instruments):
                self._send(np.arange(first, min(int(until), first + load.instruments)) % load.instruments)
            at = until

    def _rate_at(self, slice_index: int) -> float:
        load = self._load
        steps = int(slice_index * SLICE_MS / 1000 / load.step_seconds) if load.step_seconds else 0
        return float(load.rate * load.growth**steps)

    def finish(self) -> dict[str, Any]:
        np.save(self._load.log_path, np.array(self._log, np.int64).reshape(-1, 2))
        return {"sent": self.sent, "late_ms": self.late_ms, "cpu_seconds": time.process_time()}


def main() -> None:
    content = json.loads(sys.argv[1])
    load = Load(**{**content, "watched": tuple(content["watched"])})
    generator = Generator(load)
    generator.run()
    result = Path(load.log_path).with_suffix(".json")
    result.write_text(json.dumps(generator.finish()), encoding="utf-8")


if __name__ == "__main__":
    main()
