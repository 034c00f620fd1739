"""Row 4, second half: frame to live hash by load, with the CPU and memory of each process."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.live_probe import Latencies, LiveProbe, latencies
from bench.load import SENT_KEY, Load
from bench.measure import Log
from bench.processes import PROJECT, BenchError, Stage, Usage, market_clock, wait_until
from bench.results import Row, single
from bench.synthetic import instruments
from commands.shared.child_process import ChildProcess
from utils.market.clock import parse_market_clock

EIGHT_TIMEFRAMES = "1m,2m,3m,5m,15m,30m,1h,1d"
SEVEN_TIMEFRAMES = "1m,3m,5m,15m,30m,1h,1d"
WATCHED = 20
WARM_UP_MS = 2_000.0
AFTERWARDS_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Point:
    """One load: instruments, ticks a second of each, timeframes; and the bound of its p99 in ms, 0 for none."""

    instruments: int
    rate: float
    timeframes: str
    p99_target_ms: float = 0.0

    @property
    def name(self) -> str:
        count = self.timeframes.count(",") + 1
        ticks = self.instruments * self.rate
        return f"{self.instruments} instruments, {self.rate:g}/s each = {ticks:,.0f} ticks/s, {count} timeframes"


FULL_GRID = tuple(
    Point(count, rate, SEVEN_TIMEFRAMES, {(9_000, 4): 1_000.0, (500, 4): 150.0}.get((count, rate), 0.0))
    for count in (50, 500, 3_000, 9_000, 27_000)
    for rate in (1, 2, 4)
) + tuple(Point(3_000, 1, ",".join(EIGHT_TIMEFRAMES.split(",")[:count])) for count in (1, 2, 4, 8))
QUICK_GRID = (
    Point(500, 4, SEVEN_TIMEFRAMES, 150.0),
    Point(9_000, 4, SEVEN_TIMEFRAMES, 1_000.0),
)


def shards_of(count: int) -> int:
    """The number of shards for so many instruments: one each 3 000, at most the broker's three connections."""
    return min(3, -(-count // 3_000))


def latency_rows(stage: Stage, grid: tuple[Point, ...], seconds: float, log: Log) -> list[Row]:
    """Measures each point with an empty Redis and a fresh worker."""
    rows = []
    for point in grid:
        log(f"4. frame to live hash: {point.name}")
        found, usage, sent = measure(stage, point, seconds)
        rows.append(_row(point, found, usage, sent, seconds))
    return rows


def measure(stage: Stage, point: Point, seconds: float) -> tuple[Latencies, dict[str, Usage], dict[str, float]]:
    """Runs one load; returns the latencies, each process's usage, and the generator's figures."""
    stage.client.flushall()
    clock = market_clock(10, 5, 10)
    shards = shards_of(point.instruments)
    environment = stage.environment(MARKET_CLOCK=clock, TIMEFRAMES=point.timeframes, CONNECTIONS=str(shards))
    stage.start("candle_worker", environment)
    try:
        stage.wait_for("candle_worker", shards)
        return _under_load(stage, point, clock, shards, seconds)
    finally:
        stage.end()


def _under_load(
    stage: Stage, point: Point, clock: str, shards: int, seconds: float
) -> tuple[Latencies, dict[str, Usage], dict[str, float]]:
    step = max(1, point.instruments // WATCHED)
    watched = tuple(range(0, point.instruments, step))[:WATCHED]
    sent_path = stage.directory / "sent.npy"
    load = Load(
        stage.redis_url,
        clock,
        point.instruments,
        shards,
        point.rate,
        seconds + WARM_UP_MS / 1000,
        watched,
        str(sent_path),
    )
    symbols = {row: f"NSE:S{row:05d}" for row in watched}
    assert symbols[0] == instruments(1)[0].symbol
    generator = start_generator(stage, load)
    probe = LiveProbe(stage.client, parse_market_clock(clock), symbols)
    wait_until(lambda: stage.client.exists(SENT_KEY) == 1, "the load begins", 60)
    probe.watch(WARM_UP_MS / 1000)
    stage.mark()
    probe.watch(seconds)
    usage = stage.usage()
    probe.watch(AFTERWARDS_SECONDS)
    sent = wait_for_generator(generator, sent_path)
    return latencies(probe, np.load(sent_path), WARM_UP_MS), usage, sent


def start_generator(stage: Stage, load: Load) -> ChildProcess:
    result = Path(load.log_path).with_suffix(".json")
    result.unlink(missing_ok=True)
    child = ChildProcess(
        "load",
        [sys.executable, "-m", "bench.load", load.as_json()],
        log_path=stage.directory / "load.log",
        environment=stage.environment(),
        directory=PROJECT,
    )
    stage.children["load"], stage.pids["load"] = child, child.pid
    return child


def wait_for_generator(generator: ChildProcess, sent_path: Path, seconds: float = 60.0) -> dict[str, float]:
    """The generator's figures. BenchError: it failed, or did not end in time."""
    deadline = time.monotonic() + seconds
    while generator.is_alive and time.monotonic() < deadline:
        time.sleep(0.05)
    if generator.exit_code != 0:
        raise BenchError(f"the load generator ended with {generator.exit_code}: {generator.last_lines(4)}")
    found: dict[str, float] = json.loads(sent_path.with_suffix(".json").read_text())
    return found


def _row(point: Point, found: Latencies, usage: dict[str, Usage], sent: dict[str, float], seconds: float) -> Row:
    worker_ns = usage["candle_worker"].cpu / (point.instruments * point.rate) * 1e9
    lag = "lag flat" if found.is_flat else f"LAG GROWS ({found.never} ticks never seen)"
    note = (
        f"p50 {found.p50:.0f}, p99.9 {found.p999:.0f} ms over {found.count} ticks; {lag}; {described_usage(usage)}; "
        f"worker {worker_ns:,.0f} ns/tick; generator at most {sent['late_ms']:.0f} ms late"
    )
    targets = {"": point.p99_target_ms} if point.p99_target_ms else {}
    figures = found.as_figures() | usage_figures(usage) | {"worker_ns_per_tick": worker_ns}
    name = f"frame to live hash p99: {point.name}"
    return Row("4", name, "ms", single(found.p99), {}, targets, False, note, figures)


def described_usage(usage: dict[str, Usage]) -> str:
    """Core share and memory of each process, for a row's note."""
    return ", ".join(
        f"{name} {process_usage.cpu:.1%} of a core {process_usage.rss_mb:.0f} MB"
        for name, process_usage in usage.items()
    )


def usage_figures(usage: dict[str, Usage]) -> dict[str, float]:
    """Core share and memory of each process, for a row's figures."""
    return {f"{name}_core_share": process_usage.cpu for name, process_usage in usage.items()} | {
        f"{name}_mb": process_usage.rss_mb for name, process_usage in usage.items()
    }
