"""A soak from its beginning to its verdict: sessions in virtual time, and the same processes through all of them."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pymongo
import requests

from bench.measure import Log
from bench.processes import BenchError, Stage, rss_mb, stage, wait_until
from commands.shared.child_process import ChildProcess
from tests.chaos.soak_bounds import Sample, findings
from tests.chaos.soak_broker import OPEN_MINUTE, PORT_LINE, at_ms
from tests.chaos.soak_plan import FIRST_DAY, JOURNAL_DAYS, STREAM_HOURS, TRIM_HOURS, Plan
from utils.journal.files import journal_days
from utils.keys import Keys
from utils.market.clock import SteppedClock, new_stepped_clock
from utils.market.instruments import SessionClass
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar

OURS = ("connect", "candle_worker", "signal_worker")
BROKER = "broker"
TRIM_SECONDS = 300.0  # of real time, until streams and journal are cut back
MEMORY_READINGS, MEMORY_READINGS_APART_SECONDS = 12, 0.25
READY_SECONDS = 120.0
STILL_SECONDS = 180.0
LOOK_SECONDS = 0.5
SNAPSHOT_SECONDS = 3.0
SAVED_SECONDS = 60.0  # at most, until what has expired is out of hashes and snapshots
PAGE = 20_000


@dataclass
class Soaked:
    """The samples of a soak, and the bounds that it broke, as sentences."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Soak:
    """A soak under way. `published` counts the candles in the closed streams, without revisions, as they grow."""

    plan: Plan
    made: Stage
    clock: SteppedClock
    broker_url: str
    calendar: SessionCalendar
    published: int = 0
    read_to: dict[int, str] = field(default_factory=dict)

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self.broker_url}/status", timeout=30).json()
        return found

    def _post(self, what: str, content: dict[str, str]) -> None:
        requests.post(f"{self.broker_url}/{what}", json=content, timeout=30).raise_for_status()

    def _is_connected(self) -> bool:
        self.check_alive()
        return self.status()["subscribed"] and self.made.health("connector").get("state") == "up"

    def check_alive(self) -> None:
        for name, child in self.made.children.items():
            if not child.is_alive:
                raise BenchError(f"{name} ended with {child.exit_code}: {child.last_lines(6)}")

    def next_day(self) -> date:
        """The next trading day whose session is still to begin."""
        day = ist_date(self.clock.now_ms())
        if self.read_to:
            day += timedelta(days=self.plan.days_apart)
        while at_ms(day, OPEN_MINUTE) < self.clock.now_ms() or not self._trades(day):
            day += timedelta(days=1)
        return day

    def _trades(self, day: date) -> bool:
        return self.calendar.session(SessionClass.EQUITY, day) is not None

    def play(self, log: Log) -> date:
        """Drops the connections as each night, and plays one session until all of it is processed and stored."""
        self._post("drop", {})
        wait_until(self._is_connected, "the connector is subscribed", READY_SECONDS)
        day = self.next_day()
        self._post("play", {"day": day.isoformat()})
        self._wait_while_it_moves(lambda: self._is_played(day), self.clock.now_ms, f"the session of {day} is over")
        log(f"  {day} is over")
        self._wait_while_it_moves(self._is_through, self._done, f"all of {day} is stored")
        wait_until(self._limits_hold, "streams and journal are cut back", TRIM_SECONDS, LOOK_SECONDS)
        with suppress(BenchError):  # the verdict is the judge's
            wait_until(self._is_saved, "all is saved, and what has expired is gone", SAVED_SECONDS, LOOK_SECONDS)
        return day

    def _is_saved(self) -> bool:
        """Whether the candle worker's snapshots are current and the signal worker has removed expired hashes."""
        worker = self.made.health("candle_worker")
        shards = range(self.plan.shards)
        counts: Any = self.made.client.mget([Keys().candle_state_counts(n) for n in shards])
        positions = [(count or b"", worker.get(f"position_{n}")) for n, count in enumerate(counts)]
        are_saved = all(stored.decode().split(" ")[0] == position for stored, position in positions)
        return are_saved and self._live_hashes() <= self.plan.live_hashes

    def _live_hashes(self) -> int:
        found = 0
        for name in self.made.client.scan_iter(count=5_000):
            found += name.startswith((b"tick:", b"candle:", b"indicators:"))
        return found

    def _snapshot_bytes(self) -> int:
        return sum(int(self.made.client.strlen(Keys().candle_state(shard))) for shard in range(self.plan.shards))

    def _wait_while_it_moves(self, is_over: Callable[[], bool], progress: Callable[[], object], what: str) -> None:
        """BenchError when there was no progress for STILL_SECONDS."""
        while not is_over():
            before = progress()
            wait_until(lambda before=before: is_over() or progress() != before, what, STILL_SECONDS)  # type: ignore[misc]

    def _is_played(self, day: date) -> bool:
        self.check_alive()
        return day.isoformat() in self.status()["played"]

    def _done(self) -> tuple[str, ...]:
        """Positions and counts that change while entries are still processed."""
        self.check_alive()
        worker, signals = self.made.health("candle_worker"), self.made.health("signal_worker")
        shards = range(self.plan.shards)
        positions = [report.get(f"position_{shard}", "") for report in (worker, signals) for shard in shards]
        return (*positions, worker.get("archive_written", ""))

    def _is_through(self) -> bool:
        """Whether the last frames of the stopped market are sent, aggregated, evaluated and stored."""
        return all(self._is_shard_through(shard) for shard in range(self.plan.shards)) and self._is_stored()

    def _is_shard_through(self, shard: int) -> bool:
        feed, worker, signals = (self.made.health(name) for name in ("connector", "candle_worker", "signal_worker"))
        last = feed.get(f"shard{shard}_journal_last_id", "0-0")
        stands_still = last.startswith(f"{self.clock.now_ms()}-") and feed.get(f"shard{shard}_sent_to") == last
        self._read_closed()
        read_to = self.read_to.get(shard, "0-0")
        return (
            stands_still and worker.get(f"position_{shard}") == last and signals.get(f"position_{shard}") == read_to
        )

    def _is_stored(self) -> bool:
        groups: list[Any] = [self.made.client.xinfo_groups(Keys().closed(shard)) for shard in range(self.plan.shards)]
        return all(group["lag"] == 0 == group["pending"] for found in groups for group in found)

    def _limits_hold(self) -> bool:
        self.check_alive()
        days = len(journal_days(self.made.directory / "journal"))
        return self._ticks_hours() <= STREAM_HOURS + TRIM_HOURS and days <= self.plan.limits.journal_days

    def _ticks_hours(self) -> float:
        oldest: list[Any] = [
            self.made.client.xrange(Keys().ticks(shard), count=1) for shard in range(self.plan.shards)
        ]
        first_ms = min(int(entries[0][0].split(b"-")[0]) for entries in oldest)
        return round((self.clock.now_ms() - first_ms) / 3_600_000, 2)

    def _read_closed(self) -> None:
        for shard in range(self.plan.shards):
            while True:
                after = f"({self.read_to[shard]}" if shard in self.read_to else "-"
                page: Any = self.made.client.xrange(Keys().closed(shard), after, "+", count=PAGE)
                if not page:
                    break
                self.read_to[shard] = page[-1][0].decode()
                self.published += sum(orjson.loads(fields[b"json"])["rev"] == 0 for _, fields in page)

    def sample(self, session: int, day: date) -> Sample:
        client, pids = self.made.client, {name: self.made.pids[name] for name in OURS}
        shards = range(self.plan.shards)
        journal = self.made.directory / "journal"
        return Sample(
            session=session,
            day=day.isoformat(),
            rss_mb={name: round(rss_mb(pid), 1) for name, pid in pids.items()},
            descriptors={name: _count(pid, "fd") for name, pid in pids.items()},
            threads={name: _count(pid, "task") for name, pid in pids.items()},
            redis_mb=_redis_mb(client, [Keys().ticks(n) for n in shards]),
            keys=int(client.dbsize()),
            ticks_entries=sum(int(client.xlen(Keys().ticks(n))) for n in shards),
            ticks_hours=self._ticks_hours(),
            closed_entries=sum(int(client.xlen(Keys().closed(n))) for n in shards),
            rows=int(self.made.health("candle_worker")["instruments"]),
            live_hashes=self._live_hashes(),
            snapshot_bytes=self._snapshot_bytes(),
            published=self.published,
            documents=_documents(self.made.mongo_url),
            mongo_bytes=_bytes_under(self.made.directory / "mongo"),
            journal_days=len(journal_days(journal)),
            journal_mb=round(_bytes_under(journal) / 2**20, 1),
        )


def _redis_mb(client: Any, ticks: list[str]) -> float:
    """Redis' memory in MB without the streams of ticks, which have a bound of their own.

    The least of several readings: a snapshot in transit or a long reply is in memory for a moment only.
    """
    readings: list[int] = []
    for _ in range(MEMORY_READINGS):
        of_ticks = sum(int(client.memory_usage(name, samples=0) or 0) for name in ticks)
        readings.append(int(client.info("memory")["used_memory"]) - of_ticks)
        time.sleep(MEMORY_READINGS_APART_SECONDS)
    return round(min(readings) / 2**20, 1)


def _count(pid: int, kind: str) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/{kind}").iterdir())


def _bytes_under(directory: Path) -> int:
    sizes = 0
    for path in directory.rglob("*"):
        try:
            sizes += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:  # a journal that was compressed a moment ago
            continue
    return sizes


def _documents(url: str) -> int:
    with pymongo.MongoClient[dict[str, Any]](url) as database:
        return int(database["candlewick"]["candles"].count_documents({}))


def soak(plan: Plan, directory: Path, log: Log) -> Soaked:
    """The directory is removed when all held."""
    soaked, began = Soaked(plan), time.monotonic()
    try:
        with stage(directory) as made:
            _play(_begin(plan, made), soaked, log)
    except BenchError as error:
        soaked.findings.append(f"not through: {error}")
    soaked.findings += findings(soaked.samples, plan.bounds, plan.limits, plan.sessions)
    soaked.figures["seconds in all"] = round(time.monotonic() - began, 1)
    if not soaked.findings:
        shutil.rmtree(directory, ignore_errors=True)
    return soaked


def _play(under_way: Soak, soaked: Soaked, log: Log) -> None:
    for session in range(1, under_way.plan.sessions + 1):
        day = under_way.play(log)
        soaked.samples.append(under_way.sample(session, day))
        log(f"  {session}: {summary(soaked.samples[-1])}")
    soaked.figures |= {f"broker {name}": value for name, value in under_way.status().items()}


def summary(sample: Sample) -> str:
    """A sample in one line."""
    sizes = ", ".join(
        f"{name} {sample.rss_mb[name]:g} MB {sample.descriptors[name]} files {sample.threads[name]} threads"
        for name in sample.rss_mb
    )
    per_candle = sample.mongo_bytes / max(1, sample.documents)
    return (
        f"{sizes}; Redis {sample.redis_mb:g} MB beside the ticks, {sample.keys} keys, ticks {sample.ticks_entries} "
        f"entries of "
        f"{sample.ticks_hours:g} h, closed {sample.closed_entries} entries; "
        f"{sample.rows} rows, {sample.live_hashes} live hashes, snapshots {sample.snapshot_bytes / 2**20:.2f} MB; "
        f"MongoDB {sample.documents} of {sample.published} candles, {per_candle:.0f} B each; "
        f"journal {sample.journal_days} days {sample.journal_mb:g} MB"
    )


def _begin(plan: Plan, made: Stage) -> Soak:
    clock = new_stepped_clock(made.directory / "market_clock", at_ms(FIRST_DAY, 0))
    made.write_instruments(plan.feed.symbols(plan.sessions))
    broker_url = f"http://127.0.0.1:{_start_broker(plan, made, str(clock))}"
    environment = made.environment(
        **clock.environment,
        KITE_API_URL=broker_url,
        KITE_WS_URL=broker_url.replace("http", "ws", 1),
        TIMEFRAMES=plan.timeframes,
        CONNECTIONS=str(plan.shards),
        CLOSED_MAX_ENTRIES=str(plan.closed_max_entries),
        STREAM_HOURS=str(STREAM_HOURS),
        JOURNAL_DAYS=str(JOURNAL_DAYS),
        SNAPSHOT_SECONDS=str(SNAPSHOT_SECONDS),
        WARMUP="false",
    )
    for name in OURS:
        made.start(name, environment)
    for name in OURS[1:]:
        made.wait_for(name, plan.shards, is_warm=False)
    return Soak(plan, made, clock, broker_url, SessionCalendar.load())


def _start_broker(plan: Plan, made: Stage, clock: str) -> int:
    made.children[BROKER] = child = ChildProcess(
        BROKER,
        [sys.executable, "-m", "tests.chaos.soak_broker", plan.feed.as_json()],
        log_path=made.directory / "broker.log",
        environment=made.environment(MARKET_CLOCK=clock),
        directory=made.directory / "work",
    )
    made.pids[BROKER] = child.pid

    def port() -> int:
        lines = [line for line in child.log_path.read_text().splitlines() if line.startswith(PORT_LINE)]
        return int(lines[0].removeprefix(PORT_LINE)) if lines else 0

    wait_until(lambda: port() > 0, "the broker prints its port", READY_SECONDS)
    return port()
