"""Row 6: the full pipeline with its connector, fed by the simulated exchange; and the bytes of a tick."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import numpy as np
import pymongo
from numpy.typing import NDArray

from bench.live_probe import Latencies, LiveProbe, latencies
from bench.measure import Log
from bench.processes import PROJECT, BenchError, Stage, Usage, market_clock, wait_until, written_bytes
from bench.results import Row, of, single
from bench.rows_day import OURS, SESSION_MS, Stretch, candles_a_session, day_rows, folder_bytes
from bench.rows_latency import WATCHED, described_usage, shards_of, usage_figures
from bench.synthetic import DAY
from commands.demo.exchange import Exchange, wait_for_exchange
from commands.shared.child_process import ChildProcess
from utils.journal.entries import Kind
from utils.journal.files import journal_path
from utils.journal.writer import read_journal
from utils.keys import CANDLES_COLLECTION
from utils.kite.frames import split_frame
from utils.market.clock import parse_market_clock
from utils.market.instruments import Instrument
from utils.runtime.settings import Settings

DEFAULT_INSTRUMENTS = 50
DAY_INSTRUMENTS = 500
WORKERS = OURS[1:]
NOBODY = "127.0.0.1:1"  # no server listens there
START_SECOND = 44  # of a market minute: the measurement includes a minute's end
STARTS = 3


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A run of the full pipeline: instruments, clock and length."""

    instruments: list[Instrument]
    clock: str
    seconds: float

    @property
    def shards(self) -> int:
        return shards_of(len(self.instruments))


@dataclass(frozen=True, slots=True)
class _Bytes:
    """Counts and sizes at one moment; `since` gives the growth between two."""

    packets: int
    stream: int
    journal: int
    redis_disk: int
    logs: int

    def since(self, before: _Bytes) -> _Bytes:
        return _Bytes(
            max(1, self.packets - before.packets),
            self.stream - before.stream,
            self.journal - before.journal,
            self.redis_disk - before.redis_disk,
            self.logs - before.logs,
        )


def start_rows(stage: Stage, log: Log) -> list[Row]:
    """Seconds from a start with cached kernels until a worker owns its shard, or the connector reports."""
    rows = []
    for process in OURS:
        log(f"6. start of {process}, kernels cached")
        environment = stage.environment(
            MARKET_CLOCK=market_clock(11, 0, 0),
            WARMUP="false",
            KITE_API_URL=f"http://{NOBODY}",
            KITE_WS_URL=f"ws://{NOBODY}",
        )
        values = []
        for _ in range(STARTS):
            stage.client.flushall()
            values.append(_seconds_to_ready(stage, process, environment))
            stage.end()
        rows.append(Row("6", f"{process}: start to ready, kernels cached", "s", of(values), {}, {"": 1.0}, False))
    return rows


def _seconds_to_ready(stage: Stage, process: str, environment: dict[str, str]) -> float:
    if process in WORKERS:
        return stage.seconds_to_own(process, environment)
    began = time.monotonic()
    stage.start(process, environment)
    wait_until(lambda: bool(stage.health("connector")), f"{process} reports", 60, 0.002)
    return time.monotonic() - began


def footprint_rows(stage: Stage, counts: tuple[int, ...], seconds: float, log: Log) -> list[Row]:
    """All three processes in the middle of a session; at the default size also the bytes of a tick."""
    rows: list[Row] = []
    for count in counts:
        log(f"6. the full pipeline with {count} instruments for {seconds:g} s")
        rows += _of_size(stage, count, seconds)
    return rows


def _of_size(stage: Stage, count: int, seconds: float) -> list[Row]:
    stage.client.flushall()
    clock = market_clock(11, 0, START_SECOND)
    stage.directory = stage.directory / str(count)
    try:
        exchange = _start_exchange(stage, clock, count)
        run = Pipeline(exchange.instruments()[:count], clock, seconds)
        _start_ours(stage, run, exchange)
        return _measured(stage, run)
    finally:
        stage.end()
        stage.directory = stage.directory.parent


def _start_exchange(stage: Stage, clock: str, count: int) -> Exchange:
    child = ChildProcess(
        "simulator",
        [sys.executable, "-m", "simulator", "--session", DAY.isoformat(), "--instruments", str(count)],
        log_path=stage.directory / "simulator.log",
        environment=stage.environment(MARKET_CLOCK=clock),
        directory=PROJECT,
        pipe_stdout=True,
    )
    stage.children["simulator"], stage.pids["simulator"] = child, child.pid
    return wait_for_exchange(child)


def _start_ours(stage: Stage, run: Pipeline, exchange: Exchange) -> None:
    stage.write_instruments([instrument.symbol for instrument in run.instruments])
    environment = stage.environment(
        MARKET_CLOCK=run.clock,
        KITE_API_URL=exchange.api_url,
        KITE_WS_URL=exchange.ws_url,
        ACCESS_TOKEN="demo-token",
        CONNECTIONS=str(run.shards),
        MONGO_DB=_database(run),
        WARMUP="false",
    )
    for process in OURS:
        stage.start(process, environment)
    for process in WORKERS:
        stage.wait_for(process, run.shards)
    wait_until(lambda: _packets(stage) > len(run.instruments), "ticks flow", 60)


def _database(run: Pipeline) -> str:
    return f"bench_{len(run.instruments)}"


def _measured(stage: Stage, run: Pipeline) -> list[Row]:
    probe = _probe(stage, run)
    stage.mark()
    before = _bytes(stage)
    probe.watch(run.seconds)
    usage = stage.usage()
    _check_alive(stage)
    grown = _bytes(stage).since(before)
    if len(run.instruments) in (DEFAULT_INSTRUMENTS, DAY_INSTRUMENTS):
        wait_until(lambda: _closed(stage) > 0, "a minute's candles are in MongoDB", 90)
    seen_until_ms = max((times[-1][1] for times in probe.seen.values() if times), default=0)
    lag = latencies(probe, _received(stage, run, probe, seen_until_ms))
    rows = _usage_rows(run, usage, lag, grown.packets / run.seconds)
    if len(run.instruments) == DEFAULT_INSTRUMENTS:
        rows += _byte_rows(stage, run, grown)
    if len(run.instruments) == DAY_INSTRUMENTS:
        rows += day_rows(stage, _stretch(stage, run, grown))
    return rows


def _stretch(stage: Stage, run: Pipeline, grown: _Bytes) -> Stretch:
    document = _document_bytes(stage, run)
    count = len(run.instruments)
    return Stretch(count, run.seconds, grown.packets, grown.stream, grown.journal, grown.logs, document)


def _probe(stage: Stage, run: Pipeline) -> LiveProbe:
    step = max(1, len(run.instruments) // WATCHED)
    watched = run.instruments[::step][:WATCHED]
    return LiveProbe(
        stage.client, parse_market_clock(run.clock), {instrument.token: instrument.symbol for instrument in watched}
    )


def _received(stage: Stage, run: Pipeline, probe: LiveProbe, until_ms: int) -> NDArray[np.int64]:
    """When the connector received each packet of the watched instruments, from its journal: row, receive ms."""
    first_ms = min((times[0][0] for times in probe.seen.values() if times), default=0)
    found: list[tuple[int, int]] = []
    for shard in range(run.shards):
        path = journal_path(stage.directory / "journal", DAY, shard)
        for entry in read_journal(path) if path is not None else ():
            if entry.kind is Kind.FRAME and first_ms <= entry.id.ms <= until_ms:
                tokens = (int.from_bytes(packet[:4], "big") for packet in split_frame(entry.payload))
                found += [(token, entry.id.ms) for token in tokens if token in probe.symbols]
    return np.array(sorted(found, key=lambda entry: entry[1]), np.int64).reshape(-1, 2)


def _check_alive(stage: Stage) -> None:
    for name, child in stage.children.items():
        if not child.is_alive:
            raise BenchError(f"{name} died: {child.last_lines(4)}")


def _packets(stage: Stage) -> int:
    return int(stage.health("candle_worker").get("packets", 0))


def _closed(stage: Stage) -> int:
    return int(stage.health("candle_worker").get("archive_written", 0))


def _bytes(stage: Stage) -> _Bytes:
    stream: Any = stage.client.memory_usage("ticks:{a}", samples=0)
    journal = journal_path(stage.directory / "journal", DAY, 0)
    logs = folder_bytes(stage.directory / "logs")
    return _Bytes(_packets(stage), int(stream or 0), _size(journal), written_bytes(stage.pids["redis"]), logs)


def _usage_rows(run: Pipeline, each: dict[str, Usage], lag: Latencies, rate: float) -> list[Row]:
    count = len(run.instruments)
    ours = [each[name] for name in OURS]
    targets = {"": 5.0} if count == DEFAULT_INSTRUMENTS else {}
    bound = {"": 600.0} if count == DEFAULT_INSTRUMENTS else {}
    used = f"{run.seconds:g} s with a minute's end in them, at {rate:,.0f} packets/s; {described_usage(each)}"
    name = f"whole pipeline, {count} instruments: "
    percent, memory = single(100 * sum(usage.cpu for usage in ours)), single(sum(usage.rss_mb for usage in ours))
    seen = f"p50 {lag.p50:.0f}, p99.9 {lag.p999:.0f} ms over {lag.count} packets"
    return [
        Row("6", f"{name}our three processes", "% of a core", percent, {}, targets, False, used, usage_figures(each)),
        Row("6", f"{name}memory of our three processes", "MB", memory, {}, bound, False),
        Row(
            *("6", f"{name}received by the connector to live hash, p99", "ms", single(lag.p99)),
            higher_is_better=False,
            note=seen,
            figures=lag.as_figures(),
        ),
    ]


def _byte_rows(stage: Stage, run: Pipeline, grown: _Bytes) -> list[Row]:
    """What a tick (a packet) takes in each place. The wire's own 186 bytes of a full packet are the yardstick."""
    return [
        _bytes_row("the stream (memory)", grown.stream / grown.packets),
        _bytes_row("the journal", grown.journal / grown.packets),
        _bytes_row("what Redis writes to disk", grown.redis_disk / grown.packets),
        _mongo_row(stage, run, grown),
    ]


def _mongo_row(stage: Stage, run: Pipeline, grown: _Bytes) -> Row:
    """Bytes of a candle's BSON document times the candles of a session, divided by its ticks at this rate."""
    a_session = candles_a_session(Settings.load(_env_file=None))
    ticks = grown.packets / run.seconds * SESSION_MS / 1000 / len(run.instruments)
    size = _document_bytes(stage, run)
    note = f"{size:.0f} bytes a document (BSON), {a_session} candles and {ticks:,.0f} ticks a session and instrument"
    return _bytes_row("MongoDB", size * a_session / ticks, note)


def _document_bytes(stage: Stage, run: Pipeline) -> float:
    with pymongo.MongoClient[dict[str, Any]](stage.mongo_url) as mongo:
        sizes = [len(bson.encode(document)) for document in mongo[_database(run)][CANDLES_COLLECTION].find()]
    return sum(sizes) / len(sizes)


def _bytes_row(store: str, value: float, note: str = "") -> Row:
    wire = {"full packet on the wire": single(186.0)}
    return Row("6", f"bytes a tick in {store}", "B", single(value), wire, {}, False, note)


def _size(path: Path | None) -> int:
    return path.stat().st_size if path is not None else 0
