"""The signal worker: closed candles in, indicator values and signals out. Of several one works, the others wait."""

from __future__ import annotations

import os
import socket
import time

import structlog

from utils.access_token import AccessTokens
from utils.health import HealthReport
from utils.indicators.compiling import compile_indicator_kernels
from utils.indicators.snapshot import SnapshotError
from utils.instruments import Instrument
from utils.keys import SIGNALS_COLLECTION, Keys
from utils.kite_history import HistoryStopped, KiteHistory
from utils.lifecycle import EXIT_OK, StopRequest, run_script
from utils.log import BoundLogger, hide_secret
from utils.pacing import Pacing
from utils.retry_delay import RetryDelay
from utils.sessions import SessionCalendar
from utils.settings import Settings
from utils.signal_file import SignalFile
from utils.signal_progress import SignalProgress, Taken, missed_a_session
from utils.signals import SignalEngine
from utils.stores.archive import StreamArchiver
from utils.stores.archive_thread import ArchiveThread
from utils.stores.lease import Lease
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import RedisError, open_redis
from utils.stores.signal_store import SignalStore
from utils.strategies import load_strategies
from utils.warmup import WarmUp

PROCESS = "signal_worker"
STARTING, STANDING_BY = "starting", "standing by"
ENTRIES_AT_ONCE = 1_000
WAIT_MS = 500
IDLE_SECONDS = 0.5
HEALTH_SECONDS = 1.0
PROGRESS_SECONDS = 10.0
WARM_AGAIN_SECONDS = 300.0
INSTRUMENTS_SECONDS = 60.0  # so long some of the instruments may be missing before we begin without them


class _LeaseLost(Exception):
    """Another worker has taken over."""


class SignalWorker:
    """One loop: be the one who works, warm up what is cold, take closed candles, save now and then.

    After any fault of Redis everything is loaded again, exactly as after a restart.
    """

    def __init__(self, settings: Settings, stop: StopRequest, log: BoundLogger) -> None:
        self._settings = settings
        self._clock = settings.market_clock
        self._stop = stop
        self._log = log
        self._calendar = SessionCalendar.load()
        self._strategies = load_strategies(settings.strategy_names)
        self._client = open_redis(settings.redis_url.get_secret_value())
        self._keys = Keys(settings.redis_prefix)
        self._store = SignalStore(self._client, self._keys, settings.shards, settings.signals_max_entries)
        self._mongo = MongoStore(settings.mongo_url.get_secret_value(), settings.mongo_db)
        self._file = SignalFile(settings.log_dir)
        self._tokens = AccessTokens(settings.access_token.get_secret_value(), settings.access_token_file)
        owner = f"{socket.gethostname()}:{os.getpid()}"
        self._lease = Lease(self._client, self._keys, PROCESS, 0, owner, settings.lease_seconds)
        self._health = HealthReport(self._client, self._keys, PROCESS, settings.health_ttl_seconds)
        self._timeframes = {one.name: one for one in settings.timeframes}
        self._wanted = [(symbol, name) for symbol in settings.symbols for name in self._timeframes]
        self._pacing = Pacing(
            save=settings.snapshot_seconds,
            health=HEALTH_SECONDS,
            progress=PROGRESS_SECONDS,
            warm_again=WARM_AGAIN_SECONDS,
        )
        self._delay = RetryDelay(0.1, 2.0)
        self._progress: SignalProgress | None = None
        self._archive: ArchiveThread | None = None
        self._loaded_at = 0.0
        self._state = STARTING
        self._counts = {"signals": 0, "candles": 0, "skipped": 0, "unreadable": 0, "strategy_faults": 0}

    def run(self) -> int:
        """Until asked to stop."""
        try:
            while not self._stop.requested:
                self._run_guarded()
        finally:
            self._shutdown()
        return EXIT_OK

    def _run_guarded(self) -> None:
        try:
            self._run_once()
            self._delay.reset()
        except RedisError as error:
            self._log.warning("Redis does not answer, all is loaded again when it does", error=str(error))
            self._progress = None
            self._state = "waiting for Redis"
            self._stop.wait(self._delay.next_seconds())
        except (_LeaseLost, HistoryStopped):
            self._progress = None

    def _run_once(self) -> None:
        if self._pacing.is_due("health", time.monotonic()) and not self._another_reports():
            self._report()
        if not self._lease.hold():
            self._stand_by()
            return
        if self._progress is None or self._lease.was_taken:
            self._progress = self._load()
        progress = self._progress
        if self._is_ready(progress):
            self._state = "running"
            self._take(progress)
            if self._pacing.is_due("save", time.monotonic()):
                self._store.save_snapshot(progress.dump())

    def _stand_by(self) -> None:
        if self._progress is not None:
            self._log.warning("another worker took over, this one stands by")
        elif self._state != STANDING_BY:
            self._log.info("stands by: another worker has the lease")
        self._progress = None
        self._state = STANDING_BY
        self._stop_archive()
        self._stop.wait(IDLE_SECONDS)

    # ---- where we are

    def _load(self) -> SignalProgress:
        self._start_archive()
        progress = self._restored()
        if progress is None:
            # The ids first: a candle closed in between is known to come by the stream.
            progress = SignalProgress.fresh(self._make_engine, self._store.last_ids(), self._clock.now_ms())
            self._store.save_snapshot(progress.dump())
            self._log.info("starts fresh", after=_positions(progress))
        self._pacing.make_due("warm_again")
        self._loaded_at = time.monotonic()
        return progress

    def _restored(self) -> SignalProgress | None:
        packed = self._store.load_snapshot()
        if packed is None:
            return None
        try:
            progress = SignalProgress.restore(self._make_engine, packed)
        except SnapshotError as error:
            self._log.warning("the snapshot is of no use", reason=str(error))
            return None
        if self._store.is_cut_off(progress.positions):
            self._log.warning("closed candles left their stream before they were read: all is warmed up again")
            return None
        upcoming = self._store.closed_after(progress.positions, 1)
        next_ms = min((one.id.ms for one in upcoming), default=self._clock.now_ms())
        if missed_a_session(progress.seen_ms(), next_ms, self._calendar):
            self._log.warning("a session passed without this worker's candles: all is warmed up again")
            return None
        self._log.info("goes on", after=_positions(progress))
        return progress

    def _make_engine(self) -> SignalEngine:
        hours, minutes = self._settings.no_new_entries_after.split(":")
        return SignalEngine(self._strategies, int(hours) * 60 + int(minutes))

    # ---- warm-up

    def _is_ready(self, progress: SignalProgress) -> bool:
        """Warms up what is cold. Before the first warm-up is through, no entry is taken."""
        cold = progress.cold(self._wanted)
        if progress.was_warmed_up and (not cold or not self._pacing.is_due("warm_again", time.monotonic())):
            return True
        instruments = self._instruments(progress)
        if instruments:
            self._warm_up(progress, instruments)
        elif not progress.was_warmed_up:
            self._state = "waiting for the instruments"
            self._stop.wait(IDLE_SECONDS)
        return progress.was_warmed_up

    def _instruments(self, progress: SignalProgress) -> list[Instrument]:
        """Those with cold rows, as the connector made them known; empty while it is worth waiting for them."""
        known = self._store.instruments()
        symbols = dict.fromkeys(symbol for symbol, _ in progress.cold(self._wanted))
        found = [known[symbol] for symbol in symbols if symbol in known]
        if len(found) == len(symbols) or progress.was_warmed_up or not found:
            return found
        return found if time.monotonic() - self._loaded_at > INSTRUMENTS_SECONDS else []

    def _warm_up(self, progress: SignalProgress, instruments: list[Instrument]) -> None:
        symbols = {one.symbol for one in instruments}
        pairs = [pair for pair in progress.cold(self._wanted) if pair[0] in symbols]
        self._log.info("warms up", instruments=len(instruments), rows=len(pairs))
        history = self._history() if self._settings.warmup else None
        warm_up = WarmUp(self._store, self._mongo, history, self._calendar, self._on_warmup_progress)
        cut = progress.next_cut(self._clock.now_ms())
        result = warm_up.run(progress.engine, instruments, self._timeframes, pairs, cut)
        progress.note_warmed(result.done if self._settings.warmup else pairs)
        self._store.save_snapshot(progress.dump())
        self._store.write_values(progress.engine.latest())
        self._log.info(
            "is warm",
            warm_rows=progress.engine.warm_rows(),
            rows=len(self._wanted),
            tried_again_later=len(result.again) if self._settings.warmup else 0,
            fetched_candles=result.fetched,
        )

    def _history(self) -> KiteHistory:
        return KiteHistory(
            self._settings.kite_api_url, self._authorization, self._settings.history_requests_per_second, self._stop
        )

    def _authorization(self) -> str:
        self._tokens.look()
        token = self._tokens.current()
        hide_secret(token)
        return f"token {self._settings.api_key.get_secret_value()}:{token}"

    def _on_warmup_progress(self, done: int, of: int, requests: int) -> None:
        self._state = f"warming up {done}/{of}"
        if self._stop.requested:
            raise HistoryStopped
        if not self._lease.hold():
            raise _LeaseLost
        now_seconds = time.monotonic()
        if self._pacing.is_due("health", now_seconds):
            self._report()
        if self._pacing.is_due("progress", now_seconds):
            self._log.info("warming up", done=done, of=of, history_requests=requests)

    # ---- candles in, signals out

    def _take(self, progress: SignalProgress) -> None:
        entries = self._store.closed_after(progress.positions, ENTRIES_AT_ONCE, WAIT_MS)
        if not entries:
            return
        taken = progress.take(entries)
        self._counts["signals"] += self._store.say(taken.fired)
        self._write_file(taken)
        self._store.write_values(taken.latest)
        self._counts["candles"] += len(entries)
        self._counts["skipped"] += taken.skipped
        self._counts["unreadable"] += taken.unreadable
        self._counts["strategy_faults"] += len(taken.faults)
        for fault in taken.faults:
            self._log.error(fault)

    def _write_file(self, taken: Taken) -> None:
        try:
            self._file.append([signal for _, signal in taken.fired])
        except OSError as error:
            self._log.error("signals are missing in LOG_DIR's file (they are in Redis)", reason=str(error))

    # ---- the rest

    def _start_archive(self) -> None:
        if self._archive is not None:
            return
        archiver = StreamArchiver(
            self._client,
            self._keys.signals(),
            SIGNALS_COLLECTION,
            self._mongo.upsert_signals,
            self._keys.archive_rejected(),
            self._settings.rejected_max_entries,
        )
        self._archive = ArchiveThread("archive-signals", archiver)

    def _stop_archive(self) -> None:
        if self._archive is not None:
            self._archive.request_stop()
        self._archive = None

    def _another_reports(self) -> bool:
        """Who stands by does not write over the report of the one who works."""
        waits = self._progress is None and self._state in (STARTING, STANDING_BY)
        return waits and bool(self._client.exists(self._keys.health(PROCESS)))

    def _report(self) -> None:
        now_ms, fields = self._clock.now_ms(), dict[str, str | int]()
        if self._progress is not None:
            last_ms = max((one.ms for one in self._progress.positions.values()), default=0)
            fields["last_entry_ms"] = last_ms
            fields["lag_ms"] = now_ms - last_ms if last_ms else 0
            fields["warm_rows"] = self._progress.engine.warm_rows()
            fields |= {f"position_{shard}": str(one) for shard, one in self._progress.positions.items()}
        if self._archive is not None:
            fields |= self._archive.health.as_fields()
        fields |= {"market_ms": now_ms, "state": self._state, "rows": len(self._wanted)}
        self._health.write({"instruments": len(self._settings.symbols), **self._counts, **fields})

    def _shutdown(self) -> None:
        """First what is known is saved, then the archive writes what is still there, last the lease is given up."""
        try:
            if self._progress is not None and self._lease.hold():
                self._store.save_snapshot(self._progress.dump())
        except RedisError as error:
            self._log.warning("no snapshot at the end: the next start reads on from the last one", error=str(error))
        if self._archive is not None:
            self._archive.request_stop()
            if not self._archive.join():
                self._log.warning("MongoDB does not answer: what is not written yet waits in the signals stream")
        self._lease.release()


def _positions(progress: SignalProgress) -> str:
    return ", ".join(f"{shard}: {one}" for shard, one in progress.positions.items())


def main(settings: Settings, stop: StopRequest) -> int:
    compile_indicator_kernels()  # before the lease is held: compiling takes longer than it lasts
    return SignalWorker(settings, stop, structlog.get_logger(PROCESS)).run()


if __name__ == "__main__":
    run_script(PROCESS, main)
