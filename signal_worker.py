"""The signal worker: closed candles in, indicator values and signals out.

Several may run; each shard is held by one of them at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog

from strategies import load_strategies
from utils.connector.instrument_watch import shard_of
from utils.indicators.compiling import compile_indicator_kernels
from utils.keys import SIGNALS_COLLECTION, Keys
from utils.kite.history_access import BrokerHistory
from utils.market.entry_limit import read_entry_limit, silenced
from utils.market.hours_kept import hours_kept
from utils.market.instruments import Instrument
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar
from utils.runtime.garbage_collection import GarbageSearch
from utils.runtime.health import STANDING_BY, worst_state
from utils.runtime.lifecycle import EXIT_OK, StopRequest, run_script
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.runtime.timing import Pacing, RetryDelay
from utils.runtime.trading_calendar import calendar_of
from utils.signals.engine import SignalEngine
from utils.signals.file import SignalFile
from utils.signals.price_scale import PriceScale
from utils.signals.shard import ENTRIES_AT_ONCE, ShardSignals
from utils.signals.tools import SignalTools
from utils.stores.archive import StreamArchiver
from utils.stores.archive_thread import ShardArchives
from utils.stores.health import SharedHealth
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import RedisError, open_redis
from utils.stores.redis_failure import failure_of
from utils.stores.redis_guard import RedisGuard, check_at_start
from utils.stores.redis_server import ServerCheck
from utils.stores.shard_leases import Change, ShardLeases
from utils.stores.signal_store import SignalStore

PROCESS = "signal_worker"
WAIT_MS = 500
IDLE_SECONDS = 0.5
WARMING_SECONDS = 0.05
HEALTH_SECONDS = 1.0
PROGRESS_SECONDS = 10.0
WARMUP_END_SECONDS = 1.0
COUNTED = (
    "signals",
    "candles",
    "skipped",
    "unreadable",
    "strategy_faults",
    "cut_off",
    "file_lost",
    "history_refused",
)


class SignalWorker:
    """One loop: hold shards, warm up what is cold, take closed candles, save now and then.

    After any fault of Redis everything is loaded again, exactly as after a restart.
    """

    def __init__(self, settings: Settings, stop: StopRequest, log: BoundLogger, server: ServerCheck) -> None:
        self._settings = settings
        self._clock = settings.market_clock
        self._stop = stop
        self._log = log
        self._client = open_redis(settings.redis_url.get_secret_value())
        self._keys = keys = Keys(settings.redis_prefix)
        self._history = BrokerHistory(settings, lambda: len(self._leases.owners), stop)
        self._garbage = GarbageSearch()
        self._tools = self._make_tools()
        self._store, self._mongo = self._tools.store, self._tools.mongo
        self._signals = {shard: ShardSignals(shard, self._tools) for shard in range(settings.shards)}
        self._leases = ShardLeases(self._client, keys, PROCESS, settings.shards, settings.lease_seconds)
        self._health = SharedHealth(self._client, keys, PROCESS, self._leases.owner, settings.health_ttl_seconds)
        self._redis = RedisGuard(server, log, self._report)
        self._held: dict[int, ShardSignals] = {}
        self._stands_by = False
        self._archives = ShardArchives("archive-signals", self._make_archiver)
        self._delay = RetryDelay(0.1, 2.0)
        self._pacing = Pacing(
            hold=settings.lease_seconds / 3,
            save=settings.snapshot_seconds,
            health=HEALTH_SECONDS,
            progress=PROGRESS_SECONDS,
        )

    def _make_tools(self) -> SignalTools:
        settings, symbols = self._settings, self._settings.symbols
        of: dict[int, list[str]] = {shard: [] for shard in range(settings.shards)}
        for position, symbol in enumerate(symbols):
            of[shard_of(position, len(symbols), settings.shards)].append(symbol)
        strategies = load_strategies(settings.strategy_names)
        calendar, instruments = calendar_of(settings), dict[str, Instrument]()
        _log_silenced(settings, calendar, self._log)
        limit = read_entry_limit(settings.no_new_entries_after, calendar, instruments)
        return SignalTools(
            settings=settings,
            symbols_of=of,
            make_engine=lambda: SignalEngine(strategies, limit, scale=PriceScale(calendar)),
            calendar=calendar,
            instruments=instruments,
            store=SignalStore(self._client, self._keys, settings.shards, settings.signals_max_per_shard),
            mongo=MongoStore(settings.mongo_url.get_secret_value(), settings.mongo_db),
            file=SignalFile(settings.log_dir),
            history=self._history.for_warm_up,
        )

    def run(self) -> int:
        """Until asked to stop."""
        try:
            while not self._stop.requested:
                self._run_guarded()
        except BaseException:
            self._held.clear()  # what was taken may not have been said: no snapshot may go beyond it
            raise
        finally:
            self._shutdown()
        return EXIT_OK

    def _run_guarded(self) -> None:
        """A lost Redis is waited for; then all is loaded again. FatalError."""
        try:
            self._run_once()
            self._delay.reset()
        except RedisError as error:
            self._held.clear()
            for signals in self._signals.values():
                signals.let_go()
            self._pacing.make_due("hold")
            self._redis.on_error(error)
            self._stop.wait(self._delay.next_seconds())

    def _run_once(self) -> None:
        self._redis.check()
        if self._pacing.is_due("hold", time.monotonic()):
            self._hold_shards()
        is_amid_a_crowd = any(signals.is_amid_a_crowd for signals in self._held.values())
        if not is_amid_a_crowd and self._pacing.is_due("save", time.monotonic()):
            self._save()
        ready = [shard for shard, signals in self._held.items() if signals.prepare(time.monotonic())]
        if ready:
            self._take(ready)
        else:
            self._stop.wait(WARMING_SECONDS if self._held else IDLE_SECONDS)
        if self._pacing.is_due("health", time.monotonic()):
            self._report()
        self._tell_progress()

    # ---- shards

    def _hold_shards(self) -> None:
        become = {Change.OURS: self._recover, Change.LOST: self._let_go, Change.SPARE: self._give_up}
        for shard, change in self._leases.changes(self._held):
            become[change](shard)
        if not self._held and not self._stands_by:
            self._log.info("stands by: other workers hold all shards")
        self._stands_by = not self._held

    def _recover(self, shard: int) -> None:
        self._signals[shard].load(time.monotonic())
        self._held[shard] = self._signals[shard]
        self._archives.start(shard)

    def _give_up(self, shard: int) -> None:
        """There are others to share with."""
        signals = self._held.pop(shard, None)
        if signals is not None:
            signals.save()
            self._log.info("leaves a shard to another worker", shard=shard)
        self._leave(shard)
        self._leases.release(shard)

    def _let_go(self, shard: int) -> None:
        if self._held.pop(shard, None) is not None:
            self._log.warning("another worker took the shard over", shard=shard)
        self._leave(shard)

    def _leave(self, shard: int) -> None:
        self._signals[shard].let_go()
        self._archives.stop(shard)

    def _make_archiver(self, shard: int) -> StreamArchiver:
        return StreamArchiver(
            self._client,
            self._keys.signals(shard),
            SIGNALS_COLLECTION,
            self._mongo.upsert_signals,
            self._keys.archive_rejected(shard),
            self._settings.rejected_max_per_shard,
            ping=self._mongo.ping,
        )

    # ---- candles

    def _take(self, ready: list[int]) -> None:
        positions = {shard: self._held[shard].position for shard in ready}
        now_seconds = time.monotonic()
        is_idle = len(ready) == len(self._held)
        wait_seconds = self._pacing.seconds_left("hold", now_seconds) if is_idle else WARMING_SECONDS
        wait_ms = max(1, min(WAIT_MS, round(1000 * wait_seconds)))
        # The file waits until every candle at hand is taken.
        has_unwritten = any(self._held[shard].has_unwritten for shard in ready)
        found = self._store.read_closed(positions, ENTRIES_AT_ONCE, 0 if has_unwritten else wait_ms)
        for shard, read in found.items():
            self._held[shard].take(read, now_seconds)
        for signals in self._covered(found):
            signals.send_values()
        if has_unwritten and (not found or any(self._held[shard].has_waited(now_seconds) for shard in ready)):
            self._write(ready)

    def _write(self, ready: list[int]) -> None:
        """The values of all shards before the first file."""
        covered = self._covered(ready)
        for signals in covered:
            signals.write_values()
        for signals in covered:
            signals.write()
        self._store.settle()

    def _save(self) -> None:
        for signals in self._covered(self._held):
            signals.save()
        self._garbage.run(time.monotonic())

    def _covered(self, shards: Iterable[int]) -> list[ShardSignals]:
        """Those that are surely ours still: after a standstill another may have newer values and a newer snapshot."""
        now_seconds = time.monotonic()
        covered = {shard: self._leases.cover(shard, now_seconds) for shard in shards}
        if not all(covered.values()):
            self._pacing.make_due("hold")
        return [self._held[shard] for shard, is_covered in covered.items() if is_covered]

    # ---- the rest

    def _tell_progress(self) -> None:
        for signals in self._held.values():
            progress = signals.warmup_progress
            if progress is not None and self._pacing.is_due("progress", time.monotonic()):
                done, of, requests = progress
                self._log.info("warming up", shard=signals.shard, done=done, of=of, history_requests=requests)

    def _report(self) -> None:
        held, now_ms = self._held.values(), self._clock.now_ms()
        last_ms = max((signals.position.ms for signals in held), default=0)
        state = worst_state(signals.state for signals in held)
        self._health.write(
            {
                "instruments": sum(signals.instrument_count for signals in held),
                **{name: self._tools.counts[name] for name in COUNTED},
                "jumped": ";".join(filter(None, (signals.jumped for signals in held))),
                "file_waiting": sum(signals.waiting_lines for signals in held),
                **self._history.health_fields(),
                "last_entry_ms": last_ms,
                "lag_ms": now_ms - last_ms if last_ms else 0,
                "warm_rows": sum(signals.warm_rows() for signals in held),
                **{f"position_{signals.shard}": str(signals.position) for signals in held},
                **self._archives.health_fields(),
                "market_ms": now_ms,
                "state": state if held else STANDING_BY,
                "rows": sum(signals.row_count for signals in held),
                "shards": ",".join(str(shard) for shard in sorted(self._held)),
                "all_shards": len(self._signals),
                "redis_fault": self._redis.fault,
            },
            self._leases.owners,
        )

    def _shutdown(self) -> None:
        """First what is known is saved, then the archive writes what is still there, last the shards are let go."""
        try:
            for shard, signals in self._held.items():
                if self._leases.hold(shard):
                    signals.save()
        except RedisError as error:
            reason = failure_of(error).sentence
            self._log.warning("no snapshot at the end: the next start reads on from the last one", reason=reason)
        for signals in self._held.values():
            signals.let_go()
        waiting = sum(signals.waiting_lines for signals in self._held.values())
        if waiting:
            self._log.warning("LOG_DIR's file still lacks signals: the next start writes them", signals=waiting)
        self._tools.turn.join(WARMUP_END_SECONDS)
        if not self._archives.close():
            self._log.warning("MongoDB does not answer: what is not written yet waits in the signals stream")
        self._leases.leave()


def _log_silenced(settings: Settings, calendar: SessionCalendar, log: BoundLogger) -> None:
    today = ist_date(settings.market_clock.now_ms())
    kept = hours_kept(settings.symbols, {}, calendar)
    quiet = silenced(settings.no_new_entries_after, kept, calendar, today)
    if quiet:
        log.warning(
            f"NO_NEW_ENTRIES_AFTER={settings.no_new_entries_after} is one time for all exchanges: after it there "
            f"are no signals on {', '.join(quiet)}, nor in an evening session such as Muhurat's; "
            "15m means 15 minutes before each instrument's own close"
        )


def main(settings: Settings, stop: StopRequest) -> int:
    log: BoundLogger = structlog.get_logger(PROCESS)
    server = check_at_start(settings, log)
    compile_indicator_kernels()  # before a shard is held: compiling takes longer than a lease lasts
    return SignalWorker(settings, stop, log, server).run()


if __name__ == "__main__":
    run_script(PROCESS, main)
