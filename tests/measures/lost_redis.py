"""Redis loses everything at 13:00: how long until all is live again, and whether anything is another.

    python -m tests.measures.lost_redis                        500 instruments from the open to 13:00, some minutes
    python -m tests.measures.lost_redis --instruments 60 --minutes 60 --stream-max-mb 16

The journal of a morning is recorded once, at any speed. Two runs send it through the real sender and workers: one is
undisturbed; the other loses Redis with its data directory, in the middle of the morning and again at its end.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import orjson
import structlog

from bench.processes import Stage, cpu_seconds, wait_until, written_bytes
from bench.synthetic import DAY
from commands.shared.embedded.server import EmbeddedServer
from tests.chaos.overload_feed import Offer, Tape
from tests.shared.servers import mongo_server
from tests.shared.servers import valkey_server as redis_server
from utils.connector.recorder import TickRecorder
from utils.connector.sender import TickSender
from utils.indicators.compiling import compile_indicator_kernels
from utils.journal.entries import EntryId, subscribed_mark, up_mark
from utils.journal.files import journal_path
from utils.keys import Keys
from utils.stores.compiling import compile_candle_kernels
from utils.stores.health import HealthReport
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import TickStream

BEGIN = "09:15:00"
WORKER, SIGNALS = "candle_worker", "signal_worker"
LONGEST_SECONDS = 1_200.0


@dataclass(frozen=True, slots=True)
class Plan:
    """A morning: one packet a second of each instrument, in frames of up to 500."""

    instruments: int = 500
    minutes: int = 225
    stream_max_mb: int = 256
    timeframes: str = "1m,3m,5m,15m,30m,1h,1d"
    seed: int = 20_261_128
    append_only: bool = False

    @property
    def offer(self) -> Offer:
        return Offer(self.instruments, 1, self.seed, BEGIN, ((60.0 * self.minutes, 1.0),))

    @property
    def end_ms(self) -> int:
        return self.offer.begin_ms + 60_000 * self.minutes


@dataclass(slots=True)
class Outcome:
    """What other programs can read at the end, and what it cost.

    `live_after` are real seconds from each loss on, `cpu_after` what sender, workers and Redis worked meanwhile.
    """

    candles: list[tuple[bytes, bytes]] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    stored: int = 0
    live_after: list[float] = field(default_factory=list)
    cpu_after: list[float] = field(default_factory=list)
    drained_after: float = 0.0
    written_bytes: int = 0
    ticks: int = 0


class Morning:
    """The journal, and the sender over it; it is sent anew to every Redis."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self._now_ms = plan.offer.begin_ms - 60_000
        self._log = structlog.get_logger("connector")
        self.recorder = TickRecorder(directory, 0, lambda: self._now_ms, lambda: None, self._log)
        self._members = plan.offer.members()[0]
        self._directory = directory

    def record(self) -> None:
        """The whole morning, second by second."""
        self.recorder.mark(up_mark())
        self.recorder.mark(subscribed_mark("full", self._members))
        tape = Tape(self.plan.offer)
        for second in range(60 * self.plan.minutes):
            self._now_ms = self.plan.offer.begin_ms + 1000 * second
            for _, frame in tape.round(self._now_ms // 1000):
                self.recorder.frame(frame, is_binary=True)

    def heartbeat(self) -> None:
        self.recorder.frame(b"\0", is_binary=True)

    @property
    def journal_bytes(self) -> int:
        path = journal_path(self._directory, DAY, 0)
        return path.stat().st_size if path is not None else 0

    def sender(self, url: str) -> TickSender:
        client, keys = open_redis(url), Keys()
        sender = TickSender(
            client, TickStream(client, keys), [self.recorder], HealthReport(client, keys, "connector", 15),
            lambda: {"state": "up", "sent": sender.sent, "sending_waits_seconds": sender.waiting_seconds},
            48.0, self.plan.stream_max_mb << 20, self._log,
        )  # fmt: skip
        sender.start()
        sender.show_instruments(self._members)
        return sender


@dataclass(slots=True)
class Run:
    """Both servers and both workers over one morning."""

    morning: Morning
    stage: Stage
    redis: EmbeddedServer
    sender: TickSender
    redis_cpu_at_loss: float = 0.0

    def cpu_seconds(self) -> float:
        """Of sender, workers and Redis; MongoDB's archiving comes later in its own time."""
        return time.process_time() + sum(map(cpu_seconds, self.stage.pids.values())) + self._redis_cpu()

    def _redis_cpu(self) -> float:
        return cpu_seconds(self.redis.process.pid) if self.redis.process is not None else 0.0

    def position(self, process: str) -> EntryId:
        return EntryId.parse(self.stage.health(process).get("position_0", "0-0"))

    def is_live(self) -> bool:
        """Everything recorded is sent, in candles, and in signals."""
        last = self.morning.recorder.recorded_to
        if self.position(WORKER) != last:
            return False
        newest: Any = self.stage.client.xrevrange("closed:{a}", count=1)
        return bool(newest) and self.position(SIGNALS) == EntryId.parse(newest[0][0])

    def lose(self) -> None:
        """kill -9, and the data directory is gone."""
        self.redis_cpu_at_loss = self._redis_cpu()
        self.redis.kill()
        for path in self.redis.directory.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.redis.start()

    def written_bytes(self) -> int:
        assert self.redis.process is not None
        return written_bytes(self.redis.process.pid)

    def outcome(self) -> Outcome:
        closed: Any = self.stage.client.xrange("closed:{a}")
        signals: Any = self.stage.client.xrange("signals:{a}")
        return Outcome(
            [(entry_id, fields[b"json"]) for entry_id, fields in closed],
            [orjson.loads(fields[b"json"])["id"] for _, fields in signals],
            int(self.stage.health(WORKER).get("archive_written", 0)),
        )


def play(morning: Morning, directory: Path, loses: bool, report: Callable[[str], object] = print) -> Outcome:
    """One run; with `loses` Redis is lost twice."""
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(directory))
        mongo = stack.enter_context(mongo_server(directory))
        client = open_redis(redis.url)
        stack.callback(client.close)
        stage = Stage(directory, redis.url, mongo.url, client, {}, redis.user_urls())
        stack.callback(stage.end)
        client.config_set("appendonly", "yes" if morning.plan.append_only else "no")
        _start_workers(stage, morning.plan)
        began = time.monotonic()
        run = Run(morning, stage, redis, morning.sender(redis.url_of("connector")))
        stack.callback(run.sender.finish, 1.0)
        found = _watched(run, loses, report)
        found.drained_after = time.monotonic() - began
    return found


def _watched(run: Run, loses: bool, report: Callable[[str], object]) -> Outcome:
    after: list[tuple[float, float]] = []
    if loses:
        half_ms = run.morning.plan.end_ms - 30_000 * run.morning.plan.minutes
        wait_until(lambda: run.position(WORKER).ms > half_ms, "half of the morning", LONGEST_SECONDS)
        for when in ("in the middle of it", "at its end"):
            after.append(_live_after_a_loss(run))
            report("  lost {}; live after {:.1f} s, with {:.1f} s of CPU".format(when, *after[-1]))
    wait_until(run.is_live, "all is live", LONGEST_SECONDS)
    written = run.written_bytes()
    found = run.outcome()
    found.live_after, found.cpu_after = [seconds for seconds, _ in after], [cpu for _, cpu in after]
    found.written_bytes = written
    found.ticks = 60 * run.morning.plan.minutes * run.morning.plan.instruments
    return found


def _live_after_a_loss(run: Run) -> tuple[float, float]:
    """Real seconds and seconds of CPU."""
    before, began = run.cpu_seconds(), time.monotonic()
    run.lose()
    before -= run.redis_cpu_at_loss
    run.morning.heartbeat()  # as each second: what is sent meets the empty stream
    run.sender.wake()
    wait_until(run.is_live, "all is live again", LONGEST_SECONDS)
    return time.monotonic() - began, run.cpu_seconds() - before


def _start_workers(stage: Stage, plan: Plan) -> None:
    stage.write_instruments([instrument.symbol for instrument in plan.offer.members()[0]])
    hours, minutes = divmod(9 * 60 + 15 + plan.minutes, 60)
    environment = stage.environment(
        MARKET_CLOCK=f"{DAY.isoformat()}T{hours:02}:{minutes:02}:00+05:30@1@{time.time():.3f}",
        TIMEFRAMES=plan.timeframes,
        WARMUP="false",
        STREAM_MAX_MB=str(plan.stream_max_mb),
    )
    for name in (WORKER, SIGNALS):
        stage.start(name, environment)
    for name in (WORKER, SIGNALS):
        stage.wait_for(name, 1, is_warm=False)


def differences(step: Outcome, other: Outcome) -> list[str]:
    """What is not the same in two runs, as sentences."""
    found = []
    if step.candles != other.candles:
        changed = len(set(step.candles) ^ set(other.candles))
        found.append(f"{changed} candles differ, of {len(step.candles)} and {len(other.candles)}")
    if step.signals != other.signals:
        changed = len(set(step.signals) ^ set(other.signals))
        found.append(f"{changed} signals differ, of {len(step.signals)} and {len(other.signals)}")
    return found


@click.command()
@click.option("--instruments", default=500, show_default=True)
@click.option("--minutes", default=225, show_default=True, help="From 09:15 on.")
@click.option("--stream-max-mb", default=256, show_default=True)
@click.option("--timeframes", default="1m,3m,5m,15m,30m,1h,1d", show_default=True)
@click.option("--seed", default=20_261_128, show_default=True)
@click.option("--append-only", is_flag=True, help="With Redis' append-only file: what it would write.")
def main(instruments: int, minutes: int, stream_max_mb: int, timeframes: str, seed: int, append_only: bool) -> None:
    """Exit code 1 when the lost run differs from the undisturbed one."""
    compile_candle_kernels()
    compile_indicator_kernels()
    plan = Plan(instruments, minutes, stream_max_mb, timeframes, seed, append_only)
    with tempfile.TemporaryDirectory(prefix="lost-redis-") as folder:
        morning = Morning(plan, Path(folder) / "journal")
        morning.record()
        print(f"{plan}\n  journal {morning.journal_bytes >> 20} MB")
        runs = [play(morning, _made(Path(folder) / name), name == "lost") for name in ("undisturbed", "lost")]
    for name, run in zip(("undisturbed", "lost"), runs, strict=True):
        a_tick = run.written_bytes / max(1, run.ticks)
        print(
            f"  {name}: {len(run.candles)} candles, {len(run.signals)} signals; {run.drained_after:.1f} s in all; "
            f"Redis wrote {run.written_bytes / 1e6:.1f} MB to disk since its start, {a_tick:.2f} bytes a tick"
        )
    found = differences(*runs)
    print(*(found or ["  no difference"]), sep="\n")
    raise SystemExit(bool(found))


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


if __name__ == "__main__":
    main()
