"""Row 5: a recorded stretch of a day through Redis and the candle worker, as fast as both go."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from bench.processes import Stage, market_clock, wait_until
from bench.results import Row, single
from bench.rows_latency import SEVEN_TIMEFRAMES, shards_of
from bench.synthetic import OPEN_MS, frames_of, full_packets, instruments, seconds_of_ticks, subscription
from utils.feed import EntryId, clock_mark

PER_FRAME = 50
Say = Callable[[str], None]


def replay_rows(stage: Stage, count: int, seconds: int, say: Say) -> list[Row]:
    """The stream is filled while another owner's lease keeps the worker off; then it is let go."""
    say(f"5. replay of {seconds} s of {count} instruments = {count * seconds:,} ticks")
    stage.client.flushall()
    shards = shards_of(count)
    for shard in range(shards):
        stage.client.set(f"lease:candle_worker:{shard}", "bench", px=600_000)
    environment = stage.environment(
        MARKET_CLOCK=market_clock(15, 0, 0), TIMEFRAMES=SEVEN_TIMEFRAMES, CONNECTIONS=str(shards)
    )
    stage.start("candle_worker", environment)
    try:
        last_ms = _fill(stage, count, seconds, shards)
        for shard in range(shards):
            stage.client.delete(f"lease:candle_worker:{shard}")
        wait_until(lambda: _held(stage, shards), "the candle worker takes the shards", 180, 0.002)
        began = time.monotonic()
        stage.mark()
        wait_until(lambda: _is_through(stage, shards, last_ms), "the replay is through", 600, 0.005)
        taken = time.monotonic() - began
        used = stage.usage()
    finally:
        stage.end()
    cpu = ", ".join(f"{name} {one.cpu:.0%} of a core {one.rss_mb:.0f} MB" for name, one in used.items())
    rate = count * seconds / taken
    day = 22_500 * 9_000 / rate / 60
    note = f"{taken:.1f} s; {cpu}; a day of 9 000 x 1/s (202 million) would take {day:,.0f} min"
    name = f"replay through Redis and the candle worker, {count} instruments x {seconds} s, 7 timeframes"
    return [Row("5", name, "ticks/s", single(rate), {}, {"": 1_000_000.0}, True, note)]


def _fill(stage: Stage, count: int, seconds: int, shards: int) -> int:
    """Marks, ticks, and a last mark after the minute's end, at which everything of 1m closes; returns its time."""
    named = instruments(count)
    shard_of = [row * shards // count for row in range(count)]
    for shard in range(shards):
        mark = subscription([one for row, one in enumerate(named) if shard_of[row] == shard])
        stage.client.xadd(f"ticks:{shard}", {b"m": mark.payload}, id=str(mark.id))
    start_s = OPEN_MS // 1000 + 60
    for nth, ticks in enumerate(seconds_of_ticks(count, seconds, start_s)):
        pipeline = stage.client.pipeline(transaction=False)
        for shard in range(shards):
            of_shard = ticks[ticks["row"] * shards // count == shard]
            for at, frame in enumerate(frames_of(full_packets(of_shard), PER_FRAME)):
                name: Any = f"ticks:{shard}"
                pipeline.xadd(name, {b"f": frame}, id=str(EntryId((start_s + nth) * 1000 + 400, at)))
        pipeline.execute()
    last_ms = (start_s + seconds) * 1000 + 120_000
    for shard in range(shards):
        stage.client.xadd(f"ticks:{shard}", {b"m": clock_mark()}, id=str(EntryId(last_ms, 0)))
    return last_ms


def _held(stage: Stage, shards: int) -> bool:
    return all(stage.client.exists(f"lease:candle_worker:{shard}") for shard in range(shards))


def _is_through(stage: Stage, shards: int, last_ms: int) -> bool:
    """Whether what closes at the last mark was said in every shard."""
    for shard in range(shards):
        newest: Any = stage.client.xrevrange(f"closed:{shard}", count=1)
        if not newest or EntryId.parse(newest[0][0]).ms < last_ms:
            return False
    return True
