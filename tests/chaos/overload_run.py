"""One overload run from its beginning to its verdict: real servers, real workers, and a feed that is too fast."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pymongo

from bench.measure import Log
from bench.processes import BenchError, Stage, rss_mb, stage, wait_until
from bench.synthetic import DAY
from commands.shared.child_process import ChildProcess
from tests.chaos.overload_bounds import (
    Sample,
    Scenario,
    caught_up_seconds,
    lag_findings,
    loss_findings,
    memory_findings,
    order_findings,
)
from tests.chaos.overload_feed import Offer
from tests.chaos.overload_judging import (
    FORCED_OUT,
    NOT_STORED,
    Document,
    announcement_findings,
    announcements,
    judge_shard,
    log_lines,
    logged_sum,
    since_start,
    stored_findings,
)
from tests.chaos.overload_readers import DeafReaders
from utils.keys import Keys
from utils.market.clock import MarketClock, parse_market_clock
from utils.runtime.settings import Settings

BEGIN = "10:00:00"
READY_SECONDS = 3.0
LOOK_SECONDS = 0.25
STILL_SECONDS = 120.0
LONGEST_SECONDS = 1_800.0
WORKER, SIGNALS, FEED = "candle_worker", "signal_worker", "feed"


@dataclass
class Played:
    """The figures of a run, and the bounds that it broke, as sentences."""

    name: str
    seed: int
    figures: dict[str, Any] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Run:
    """A stage under way."""

    scenario: Scenario
    made: Stage
    clock: MarketClock
    offer: Offer
    environment: dict[str, str]
    began: float
    worker_ahead_ms: float
    samples: list[Sample] = field(default_factory=list)
    returned_at: float = 0.0
    killed_ms: int = 0  # market time

    @property
    def feed(self) -> ChildProcess:
        return self.made.children[FEED]

    def now(self) -> float:
        return time.monotonic() - self.began

    def look(self) -> Sample:
        """Samples everything once."""
        worker, feed = self.made.health(WORKER), self.made.health("connector")
        used: Any = self.made.client.info("memory")
        sizes = [
            int(self.made.client.memory_usage(Keys().ticks(n), samples=20) or 0) for n in range(self.scenario.shards)
        ]
        alive = WORKER in self.made.children
        sample = Sample(
            round(self.now(), 2),
            int(feed.get("part", -1)),
            self._worker_lag_ms(worker) if alive else -1.0,
            float(feed.get("late_ms", 0)),
            int(feed.get("backlog_bytes", 0)) / 2**20,
            tuple(round(size / 2**20, 1) for size in sizes),
            round(used["used_memory"] / 2**20, 1),
            {name: round(rss_mb(pid), 1) for name, pid in self.made.pids.items()},
            int(worker.get("last_entry_ms", 0)) if alive else 0,
        )
        self.samples.append(sample)
        return sample

    def _worker_lag_ms(self, report: Mapping[str, str]) -> float:
        """-1: the worker has not begun to read, or is not running."""
        has_begun = report.get("last_entry_ms", "0") != "0"
        return max(0.0, float(report["lag_ms"]) - self.worker_ahead_ms) if has_begun else -1.0

    def watch(self, condition: Callable[[], bool], what: str, seconds: float = LONGEST_SECONDS) -> None:
        """Samples until the condition is true. BenchError: not in time, or a process died."""
        deadline = time.monotonic() + seconds
        while not condition():
            for name, child in self.made.children.items():
                if not child.is_alive and (name != FEED or child.exit_code):
                    raise BenchError(f"{name} ended with {child.exit_code}: {child.last_lines(6)}")
            if time.monotonic() > deadline:
                raise BenchError(f"not within {seconds:g} s: {what}")
            self.look()
            time.sleep(LOOK_SECONDS)


def play(scenario: Scenario, seed: int, directory: Path, log: Log) -> Played:
    """The directory is removed when all held."""
    played, began = Played(scenario.name, seed), time.monotonic()
    log(f"{scenario.name}: seed {seed}, {scenario.instruments} instruments in {scenario.shards} shards")
    try:
        with stage(directory) as made:
            _play_on(_begin(scenario, seed, made), played, log)
    except BenchError as error:
        played.findings.append(f"not through: {error}")
    played.figures["seconds in all"] = round(time.monotonic() - began, 1)
    if not played.findings:
        shutil.rmtree(directory, ignore_errors=True)
    return played


def _begin(scenario: Scenario, seed: int, made: Stage) -> Run:
    offer = Offer(scenario.instruments, scenario.shards, seed, BEGIN, scenario.parts)
    made.write_instruments([instrument.symbol for members in offer.members() for instrument in members])
    environment = made.environment(
        MARKET_CLOCK=_clock(scenario),
        TIMEFRAMES=scenario.timeframes,
        CONNECTIONS=str(scenario.shards),
        WARMUP="false",
        SNAPSHOT_SECONDS="1",
        **dict(scenario.settings),
    )
    for name in (WORKER, SIGNALS):
        made.start(name, environment)
    for name in (WORKER, SIGNALS):
        made.wait_for(name, scenario.shards, is_warm=False)
    # The workers are ready only now, and the market begins now: their clocks are ahead of it by `ahead_ms`.
    clock = _clock(scenario)
    ahead_ms = parse_market_clock(environment["MARKET_CLOCK"]).at(0) - parse_market_clock(clock).at(0)
    made.client.delete(*(f"health:{name}" for name in (WORKER, SIGNALS)))
    began = time.monotonic() + READY_SECONDS
    return Run(
        scenario, made, parse_market_clock(clock), offer, environment | {"MARKET_CLOCK": clock}, began, ahead_ms
    )


def _clock(scenario: Scenario) -> str:
    """A MARKET_CLOCK that reaches BEGIN in READY_SECONDS."""
    return f"{DAY.isoformat()}T{BEGIN}+05:30@{scenario.speed:g}@{time.time() + READY_SECONDS:.3f}"


def _play_on(run: Run, played: Played, log: Log) -> None:
    scenario, made = run.scenario, run.made
    result = made.directory / "feed.json"
    _start_feed(run, result)
    deaf = DeafReaders(made.redis_users["reader"], scenario.shards)
    if scenario.mongo_hangs:
        os.kill(made.pids["mongodb"], signal.SIGSTOP)
    try:
        if scenario.away_seconds:
            _be_away(run, log)
        if scenario.has_deaf_readers:
            half = 1000 * sum(seconds for seconds, _ in scenario.parts) / 2
            run.watch(lambda: run.clock.now_ms() > run.offer.begin_ms + half, "the first half")
            deaf.begin()
            log("  the deaf readers are there")
        run.watch(lambda: not run.feed.is_alive, "all is offered and sent")
    finally:
        if scenario.mongo_hangs:
            os.kill(made.pids["mongodb"], signal.SIGCONT)
    fed_at, fed = run.now(), len(run.samples)
    log(f"  all is offered and sent after {fed_at:.0f} s")
    _drain(run)
    log(f"  all is processed and stored after {run.now():.0f} s")
    played.figures |= json.loads(result.read_text())
    played.figures |= _figures(run, fed_at, deaf.dropped(made.client) if scenario.has_deaf_readers else 0)
    deaf.end()
    health = {name: made.health(name) for name in (WORKER, SIGNALS)}
    played.findings += memory_findings(scenario, run.samples)
    played.findings += lag_findings(scenario, run.samples[:fed])
    played.findings += order_findings([sample for sample in run.samples if sample.at > run.returned_at])
    _judge(run, health[WORKER], played, log)


def _start_feed(run: Run, result: Path) -> None:
    run.made.children[FEED] = child = ChildProcess(
        FEED,
        [sys.executable, "-m", "tests.chaos.overload_feed", run.offer.as_json(), str(result)],
        log_path=run.made.directory / "feed.log",
        environment=run.environment,
        directory=run.made.directory / "work",
    )
    run.made.pids[FEED] = child.pid


def _be_away(run: Run, log: Log) -> None:
    """Kills the worker, and starts it again `away_seconds` of market time later."""
    scenario, client = run.scenario, run.made.client
    begin_ms = run.offer.begin_ms

    def has_begun() -> bool:
        position = int(run.made.health(WORKER).get("last_entry_ms", 0))
        return position > begin_ms + 1000 * scenario.leave_after_seconds and client.exists("state:{a}") == 1

    run.watch(has_begun, "the worker has begun")
    run.made.children.pop(WORKER).kill()
    client.delete(f"health:{WORKER}")
    run.killed_ms = left_ms = run.clock.now_ms()
    log(f"  the worker is away for {scenario.away_seconds:.0f} s of market")
    run.watch(lambda: run.clock.now_ms() >= left_ms + 1000 * scenario.away_seconds, "it is time to return")
    run.returned_at, run.worker_ahead_ms = run.now(), 0.0
    run.made.start(WORKER, run.environment)


def _drain(run: Run) -> None:
    """Waits until every entry is in MongoDB. BenchError: no progress for STILL_SECONDS."""
    while left := _left(run):
        run.watch(lambda left=left: _left(run) != left, f"progress ({left})", STILL_SECONDS)  # type: ignore[misc]


def _left(run: Run) -> list[str]:
    left = []
    for name, stream in ((WORKER, Keys().ticks), (SIGNALS, Keys().closed)):
        report = run.made.health(name)
        for shard in range(run.scenario.shards):
            last, position = _last_id(run, stream(shard)), report.get(f"position_{shard}", "")
            left += [f"{name} {shard} at {position}"] if position != last else []
        backlog = report.get("archive_backlog", "-1")
        left += [f"{name} has {backlog} to store"] if backlog != "0" else []
    return left


def _last_id(run: Run, stream: str) -> str:
    newest: Any = run.made.client.xrevrange(stream, count=1)
    return str(newest[0][0].decode()) if newest else "0-0"


def _figures(run: Run, fed_at: float, dropped: int) -> dict[str, Any]:
    samples, scenario = run.samples, run.scenario
    lags = [sample.worker_lag_ms / scenario.speed for sample in samples if sample.worker_lag_ms >= 0]
    peak = {name: max(sample.rss_mb.get(name, 0.0) for sample in samples) for name in samples[-1].rss_mb}
    found: dict[str, Any] = {
        "fed after seconds": round(fed_at, 1),
        "stored after seconds": round(run.now(), 1),
        "worst lag in real ms": round(max(lags, default=-1.0)),
        "median lag in real ms": round(sorted(lags)[len(lags) // 2]) if lags else -1,
        "largest stream MB": max(size for sample in samples for size in sample.stream_mb),
        "Redis at most MB": max(sample.redis_mb for sample in samples),
        "most unsent MB": round(max(sample.unsent_mb for sample in samples), 1),
        "resident at most MB": peak,
    }
    if scenario.away_seconds:
        found["caught up after seconds"] = caught_up_seconds(scenario, samples, run.returned_at)
    if scenario.has_deaf_readers:
        found["deaf readers dropped"] = dropped
    return found


def _judge(run: Run, health: Mapping[str, str], played: Played, log: Log) -> None:
    scenario, logs = run.scenario, run.made.directory / "logs"
    lines = log_lines(logs / f"{WORKER}.log")
    announced = announcements(lines)
    forced_logged = logged_sum(log_lines(logs / "connector.log"), FORCED_OUT, "entries")
    played.findings += announcement_findings(
        announcements(since_start(lines)), health, played.figures["forced_out"], forced_logged
    )
    archive_lost = int(health.get("archive_lost", 0))
    if archive_lost != logged_sum(since_start(lines), NOT_STORED, "count"):
        played.findings.append(f"archive_lost is {archive_lost}, and the log has another number")
    played.findings += loss_findings(scenario, sum(value.entries for value in announced), archive_lost)
    settings = _settings(run)
    final: dict[str, Document] = {}
    totals = {"entries": 0, "published": 0, "published before a kill, of entries then dropped": 0}
    for shard in range(scenario.shards):
        published = _closed(run, shard)
        verdict = judge_shard(
            settings.journal_dir, shard, settings, announced, published, played.findings, run.killed_ms
        )
        log(f"  shard {shard} is judged: {verdict.published} entries published, {len(verdict.lost)} losses announced")
        final |= verdict.final
        totals["entries"] += verdict.entries
        totals["published"] += verdict.published
        totals["published before a kill, of entries then dropped"] += verdict.early
    if not final:
        played.findings.append("no candle came out: nothing was judged")
    totals["incomplete"] = sum(not document["complete"] for document in final.values())
    played.findings += stored_findings(final, _stored(run), archive_lost)
    played.figures |= totals | {
        "candles": len(final),
        "lost_entries": sum(value.entries for value in announced),
        "lost_ms": sum(outage.lost_ms for outage in announced),
        "archive_lost": archive_lost,
    }


def _settings(run: Run) -> Settings:
    given = {name.lower(): value for name, value in run.environment.items()}
    wanted = {name: given[name] for name in given.keys() & Settings.model_fields.keys()}
    return Settings(_env_file=None, **wanted)  # type: ignore[arg-type, call-arg]


def _closed(run: Run, shard: int) -> dict[str, Document]:
    raw: Any = run.made.client.xrange(Keys().closed(shard))
    return {entry.decode(): orjson.loads(fields[b"json"]) for entry, fields in raw}


def _stored(run: Run) -> dict[str, Document]:
    with pymongo.MongoClient[Document](run.made.mongo_url) as database:
        return {document["_id"]: document for document in database["candlewick"]["candles"].find(batch_size=5_000)}


__all__ = ["Played", "Scenario", "play", "wait_until"]
