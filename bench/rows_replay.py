"""Row 5: a recorded stretch of a day through Redis and the candle worker, as fast as both go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from bench.measure import Log
from bench.processes import BenchError, Stage, market_clock, wait_until
from bench.results import Row, of
from bench.rows_latency import SEVEN_TIMEFRAMES, described_usage, shards_of
from bench.synthetic import OPEN_MS, frames_of, full_packets, instruments, seconds_of_ticks, subscription
from utils.journal.entries import EntryId, clock_mark
from utils.keys import Keys

PER_FRAME = 50


@dataclass(frozen=True, slots=True)
class Replay:
    """How much is replayed, how often, and the time limit."""

    instruments: int
    seconds: int
    repetitions: int
    longest_seconds: float

    @property
    def ticks(self) -> int:
        return self.instruments * self.seconds


def replay_rows(stage: Stage, size: Replay, log: Log) -> list[Row]:
    """Fills the streams while the bench owns the leases, then releases them to the worker."""
    rates: list[float] = []
    note = ""
    amount = f"{size.seconds} s of {size.instruments} instruments = {size.ticks:,} ticks"
    for index in range(size.repetitions):
        log(f"5. replay of {amount}, time {index + 1}")
        rate, note = _replay(stage, size)
        rates.append(rate)
    day = 22_500 * 9_000 / of(rates).median / 60
    note += f"; a day of 9 000 x 1/s (202 million) would take {day:,.1f} min"
    name = (
        f"replay through Redis and the candle worker, {size.instruments} instruments x {size.seconds} s, 7 timeframes"
    )
    return [Row("5", name, "ticks/s", of(rates), {}, {"": 1_000_000.0}, True, note)]


def _replay(stage: Stage, size: Replay) -> tuple[float, str]:
    """Ticks a second, and the usage of each process as text."""
    stage.client.flushall()
    shards = shards_of(size.instruments)
    leases = [Keys().lease("candle_worker", shard) for shard in range(shards)]
    for name in leases:
        stage.client.set(name, "bench", px=600_000)
    environment = stage.environment(
        MARKET_CLOCK=market_clock(15, 0, 0), TIMEFRAMES=SEVEN_TIMEFRAMES, CONNECTIONS=str(shards)
    )
    stage.start("candle_worker", environment)
    try:
        last_ms = _fill(stage, size.instruments, size.seconds, shards)
        wait_until(lambda: bool(stage.health("candle_worker")), "the candle worker is there", 180)
        stage.client.delete(*leases)
        wait_until(lambda: stage.client.exists(*leases) > 0, "the candle worker acquires a shard", 180, 0.002)
        return _timed(stage, size, shards, last_ms)
    finally:
        stage.end()


def _timed(stage: Stage, size: Replay, shards: int, last_ms: int) -> tuple[float, str]:
    began = time.monotonic()
    stage.client.config_resetstat()
    stage.mark()
    try:
        wait_until(lambda: _is_through(stage, shards, last_ms), "through", size.longest_seconds, 0.005)
        ticks, end = size.ticks, ""
    except BenchError:
        ticks, end = int(stage.health("candle_worker").get("packets", 0)), " NOT THROUGH, given up;"
    elapsed = time.monotonic() - began
    live = f"each live hash that changed was written every {_seconds_of_a_round(stage, size, elapsed):.1f} s of it"
    return ticks / elapsed, f"{elapsed:.1f} s;{end} {live}; {described_usage(stage.usage())}"


def _seconds_of_a_round(stage: Stage, size: Replay, elapsed_seconds: float) -> float:
    """Seconds between two writes of a live hash: an instrument has one of its tick and one of each timeframe."""
    statistics: Any = stage.client.info("commandstats")
    written = statistics.get("cmdstat_hset", {"calls": 1})["calls"]
    hashes = size.instruments * (1 + len(SEVEN_TIMEFRAMES.split(",")))
    return elapsed_seconds * hashes / float(max(1, written))


def _fill(stage: Stage, count: int, seconds: int, shards: int) -> int:
    """Writes marks, ticks, and a last mark after the minute's end that closes all of 1m; returns its market ms."""
    named = instruments(count)
    shard_of = [row * shards // count for row in range(count)]
    for shard in range(shards):
        mark = subscription([instrument for row, instrument in enumerate(named) if shard_of[row] == shard])
        stage.client.xadd(Keys().ticks(shard), {b"m": mark.payload}, id=str(mark.id))
    start_s = OPEN_MS // 1000 + 60
    for index, ticks in enumerate(seconds_of_ticks(count, seconds, start_s)):
        pipeline = stage.client.pipeline(transaction=False)
        for shard in range(shards):
            of_shard = ticks[ticks["row"] * shards // count == shard]
            for at, frame in enumerate(frames_of(full_packets(of_shard), PER_FRAME)):
                name: Any = Keys().ticks(shard)
                pipeline.xadd(name, {b"f": frame}, id=str(EntryId((start_s + index) * 1000 + 400, at)))
        pipeline.execute()
    last_ms = (start_s + seconds) * 1000 + 120_000
    for shard in range(shards):
        stage.client.xadd(Keys().ticks(shard), {b"m": clock_mark()}, id=str(EntryId(last_ms, 0)))
    return last_ms


def _is_through(stage: Stage, shards: int, last_ms: int) -> bool:
    """Whether every shard has published what closes at the last mark."""
    for shard in range(shards):
        newest: Any = stage.client.xrevrange(Keys().closed(shard), count=1)
        if not newest or EntryId.parse(newest[0][0]).ms < last_ms:
            return False
    return True
