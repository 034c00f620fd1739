"""A replay from start to end: the day's journal, workers of its own, the closing figures beside the live ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import redis

from commands.replay.backlog import HELD_SHARE, ReplayBacklog
from commands.replay.figures import ReplayComparison
from commands.replay.past import copy_past, instruments_of
from commands.shared.child_process import ChildProcess, StartError, end_all
from commands.shared.closed_tally import ClosedTally
from commands.shared.console import sentence_of
from commands.shared.journal_feed import (
    ClosingBound,
    JournalFeed,
    JournalFile,
    ShardEntry,
    batches,
    journal_window_ms,
    merged_entries,
    shown_position,
)
from commands.shared.pipeline_reader import PipelineReader, shown_timeframe
from commands.shared.processes import (
    CANDLE_WORKER,
    SIGNAL_WORKER,
    ChildDied,
    check_alive,
    end_orderly,
    start_script,
)
from commands.shared.readiness import Reports, position_of, workers_ready
from commands.shared.run_directory import clear_prefix
from commands.shared.run_environment import LONGEST_VALUE
from commands.shared.terminal import LINE_SECONDS, Terminal
from commands.shared.waiting import STILL_SECONDS, Interrupted, drain, wait_while_moving
from utils.journal.writer import JournalError
from utils.keys import Keys
from utils.market.clock import MarketClock
from utils.market.ist import DAY_MS
from utils.runtime.lifecycle import EXIT_FAILED, EXIT_OK, StopRequest
from utils.runtime.settings import Settings
from utils.stores.health import read_health
from utils.stores.mongo import MongoStore, StoreError
from utils.stores.redis_connection import open_redis
from utils.stores.redis_server import check_redis
from utils.stores.tick_stream import TickStream

EXIT_INTERRUPTED = 130
WORKER_GRACE_SECONDS = 20.0
_LOOK_SECONDS = 0.25  # the live view, from which positions are known, is hardly written oftener while frames wait
_STEP_SECONDS = 0.1  # so much is sent at once where a speed is kept to
_SHOWN = 10  # so many instruments of a shard are asked for the newest entry that was taken
_START_SECONDS = 120.0
_TALLIED_AT_ONCE = 20_000  # closed candles of a shard
_BURSTS_KEPT = 6  # a closed stream has room for so many times all that its instruments can close at once


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """A day's files, how fast (market seconds in a real one, 0: as fast as it goes), and where to."""

    day: date
    speed: float
    prefix: str
    files: list[JournalFile]

    @property
    def shards(self) -> list[int]:
        return [file.shard for file in self.files]


def run_replay(plan: ReplayPlan, settings: Settings, terminal: Terminal, stop: StopRequest) -> int:
    """Returns the exit code; whatever happens, the processes that it started have ended."""
    try:
        return _Replay(plan, settings, terminal, stop).run()
    except Interrupted:
        terminal.print_line("Stopped; everything that was started has ended. What was replayed so far stays.")
        return EXIT_INTERRUPTED
    except (StartError, ChildDied, StoreError, JournalError, OSError, redis.RedisError) as error:
        terminal.print_line(f"The replay failed: {sentence_of(error)}")
        return EXIT_FAILED


class _Replay:
    """The stages of one replay, in the order of `run`."""

    def __init__(self, plan: ReplayPlan, settings: Settings, terminal: Terminal, stop: StopRequest) -> None:
        self._began = time.monotonic()
        self._plan = plan
        self._settings = settings
        self._terminal = terminal
        self._stop = stop
        self._redis_url = settings.redis_url.get_secret_value()
        self._mongo_url = settings.mongo_url.get_secret_value()
        self._client = open_redis(self._redis_url)
        self._keys = Keys(plan.prefix)
        self._database = f"{settings.mongo_db}_replay"
        self._logs = settings.log_dir / "replay"
        self._workers: list[ChildProcess] = []
        self._look_due, self._copied_due = 0.0, self._began + LINE_SECONDS
        of_shard = {file.shard: instruments_of([file]) for file in plan.files}
        self._instruments = [instrument for instruments in of_shard.values() for instrument in instruments]
        self._shown = {
            shard: [instrument.symbol for instrument in found[:_SHOWN]] for shard, found in of_shard.items()
        }
        self._symbols = [instrument.symbol for instrument in self._instruments]
        self._tally = ClosedTally(plan.shards)
        burst = len(settings.timeframes) * max(map(len, of_shard.values()))
        self._closed_max_entries = max(settings.closed_max_entries, _BURSTS_KEPT * burst)
        signals_max = settings.signals_max_entries // len(plan.shards)
        self._backlog = ReplayBacklog(self._client, self._keys, plan.shards, self._closed_max_entries, signals_max)
        self._bound = ClosingBound(
            {shard: len(found) for shard, found in of_shard.items()},
            [timeframe.length_ms or DAY_MS for timeframe in settings.timeframes],
            int(self._closed_max_entries * (1 - HELD_SHARE)),
        )
        self._feed = JournalFeed(self._client, self._keys, self._bound)
        self._window_ms = journal_window_ms(plan.files)
        self._reader = self._new_reader()

    def run(self) -> int:
        plan = self._plan
        self._terminal.print_line(
            f"Replay of {plan.day:%A %Y-%m-%d}, {len(plan.files)} shard(s): keys {plan.prefix}…, database "
            f"{self._database}, logs {self._logs}"
        )
        self._prepare()
        TickStream(self._client, self._keys).store_instruments(self._instruments)
        faults: list[str] = []
        try:
            self._start_workers()
            self._send_all()
            faults += drain(self._client, self._keys, plan.shards, self._stop, self._look)
            reports = read_health(self._client, self._keys)
            self._forget_taken(reports)
            cut_off = int(reports.get(SIGNAL_WORKER, {}).get("cut_off", 0))
        finally:
            for child in self._workers:
                child.ask_to_end()
            for child in self._workers:
                faults += end_orderly(child, WORKER_GRACE_SECONDS)
            end_all(self._workers)
        return self._close(faults, cut_off)

    def _prepare(self) -> None:
        """An empty corner, with the candles from before the day that the live database has."""
        check_redis(self._client)
        clear_prefix(self._client, self._plan.prefix)
        live, own = self._stores()
        own.clear()
        names = [timeframe.name for timeframe in self._settings.timeframes]
        copied = copy_past(live, own, self._symbols, names, self._window_ms[0], self._show_copied)
        self._terminal.print_line(
            f"{copied:,} earlier candles copied from the live database, so that indicators are warm."
            if copied
            else "The live database has no earlier candles: indicators begin cold."
        )

    def _show_copied(self, candles: int, instruments: int) -> None:
        self._check_stop()
        now = time.monotonic()
        if now >= self._copied_due:
            self._copied_due = now + LINE_SECONDS
            self._terminal.print_line(
                f"{candles:,} earlier candles copied, {instruments:,} of {len(self._symbols):,} instruments"
            )

    def _new_reader(self) -> PipelineReader:
        plan, settings = self._plan, self._settings
        title = f"Replay of {plan.day:%A %Y-%m-%d}"
        shown = shown_timeframe(settings.timeframes, plan.speed or 1_000.0).name
        return PipelineReader(
            self._client,
            self._keys,
            self._tally,
            title,
            self._window_ms,
            self._symbols[: self._terminal.rows_for_candles],
            shown,
        )

    def _stores(self) -> tuple[MongoStore, MongoStore]:
        return MongoStore(self._mongo_url, self._settings.mongo_db), MongoStore(self._mongo_url, self._database)

    def _check_stop(self) -> None:
        if self._stop.requested:
            raise Interrupted

    def _start_workers(self) -> None:
        plan, instruments = self._plan, ",".join(self._symbols)
        clock = MarketClock(self._window_ms[0], plan.speed or 1.0, time.time_ns() // 1_000_000)
        environment = os.environ | {
            "REDIS_URL": self._redis_url,
            "REDIS_PREFIX": plan.prefix,
            "MONGO_URL": self._mongo_url,
            "MONGO_DB": self._database,
            "LOG_DIR": str(self._logs),
            "CONNECTIONS": str(max(plan.shards) + 1),
            "CLOSED_MAX_ENTRIES": str(self._closed_max_entries),
            "MARKET_CLOCK": str(clock),
            "WARMUP": "false",  # the broker is not asked for what is long past
        }
        if 0 < len(instruments) < LONGEST_VALUE:
            environment["INSTRUMENTS"] = instruments
        for name in (CANDLE_WORKER, SIGNAL_WORKER):
            self._workers.append(start_script(name, self._logs, environment, Path.cwd()))
        # The signal worker counts what is closed before it is ready as past, and publishes nothing for it.
        if not wait_while_moving(self._workers_are_ready, self._readiness, _START_SECONDS, self._stop):
            raise StartError(
                f"The workers did not become ready: nothing moved for {_START_SECONDS:g} s; their logs are in "
                f"{self._logs}."
            )

    def _workers_are_ready(self) -> bool:
        check_alive(self._workers)
        return workers_ready(read_health(self._client, self._keys))

    def _readiness(self) -> Hashable:
        """Changes while the workers start and the signal worker warms up: with many candles that takes minutes."""
        reports = read_health(self._client, self._keys)
        signals = reports.get(SIGNAL_WORKER, {})
        return tuple(reports), signals.get("state"), signals.get("warm_rows")

    def _send_all(self) -> None:
        """Entry by entry in the order of ids, as fast as asked for and as the worker can take them."""
        span_ms = self._bound.span_at_once_ms
        if self._plan.speed:
            span_ms = min(span_ms, int(1000 * _STEP_SECONDS * self._plan.speed))
        first_ms, began = 0, time.monotonic()
        with self._terminal.view():
            for batch in batches(merged_entries(self._plan.files), span_ms):
                first_ms = first_ms or batch[0].entry.id.ms
                self._wait_for_time(batch[0].entry.id.ms - first_ms, began)
                self._wait_for_readers(batch)
                self._feed.send(batch)
                self._look()

    def _wait_for_time(self, market_ms: int, began: float) -> None:
        if self._plan.speed:
            ahead_seconds = market_ms / 1000 / self._plan.speed - (time.monotonic() - began)
            while ahead_seconds > 0 and not self._stop.wait(min(ahead_seconds, _STEP_SECONDS)):
                self._look()
                ahead_seconds = market_ms / 1000 / self._plan.speed - (time.monotonic() - began)
        self._check_stop()

    def _wait_for_readers(self, batch: list[ShardEntry]) -> None:
        """No more is sent than memory holds, and no more published than its readers keep up with."""
        feed, backlog = self._feed, self._backlog
        if not self._held_back(lambda: feed.is_too_far_ahead(batch), lambda: feed.ahead_entries):
            raise StartError(f"The candle worker does not take the entries; its log is in {self._logs}.")
        if not self._held_back(lambda: backlog.is_too_long, lambda: backlog.position):
            raise StartError(
                f"{backlog.unread[backlog.slowest]:,} entries wait for {backlog.slowest}, which takes none of them; "
                f"the workers' logs are in {self._logs}."
            )

    def _held_back(self, must_wait: Callable[[], bool], position: Callable[[], Hashable]) -> bool:
        """Waits while it must; False when nothing moves any more."""
        return wait_while_moving(lambda: not must_wait(), position, STILL_SECONDS, self._stop, self._look)

    def _look(self) -> None:
        """The workers live; processed entries are released; published candles are counted; the view is drawn."""
        check_alive(self._workers)
        now = time.monotonic()
        if now >= self._look_due:
            self._look_due = now + _LOOK_SECONDS
            reports = read_health(self._client, self._keys)
            self._forget_taken(reports)
            self._tally.read_on(self._client, self._keys, _TALLIED_AT_ONCE)
            self._backlog.look(reports, self._tally.taken)
        last_ms = max(sent.ms for sent in self._feed.last_sent.values())
        self._terminal.show(lambda: self._reader.picture(last_ms, self._workers))

    def _forget_taken(self, reports: Reports) -> None:
        for shard in self._plan.shards:
            shown = shown_position(self._client, self._keys, self._shown[shard])
            self._feed.forget_taken(shard, max(shown, position_of(reports, CANDLE_WORKER, shard)))

    def _close(self, faults: list[str], cut_off: int) -> int:
        live, own = self._stores()
        self._tally.read_on(self._client, self._keys)
        compared = ReplayComparison(live, own, self._tally, self._symbols, self._settings.timeframes, self._plan.day)
        figures = compared.figures(self._client, self._keys, cut_off, self._check_stop)
        for line in figures.lines():
            self._terminal.print_line(line)
        self._terminal.print_line(
            f"took      {time.monotonic() - self._began:.1f} s in all for {self._feed.sent:,} entries of the journal"
        )
        for file in self._plan.files:
            for damage in file.damage:
                faults.append(
                    f"{file.path.name}: {damage.length:,} bytes at {damage.offset:,} are no record, and were skipped."
                )
        faults += figures.faults()
        for fault in faults:
            self._terminal.print_line(f"FAULT: {fault}")
        return EXIT_FAILED if faults else EXIT_OK
