"""The candle worker: ticks in, candles out. Several may run; each shard is held by one of them at a time."""

from __future__ import annotations

import time
from collections import deque

import structlog

from commands.compile_kernels import compile_candle_kernels
from data_handler import ShardCandles, candle_archives, open_candle_store
from utils.candles.class_doubts import Doubt, Doubted, doubts_of, sentences
from utils.journal.entries import Entry
from utils.keys import Keys
from utils.market.class_facts import from_text
from utils.runtime.garbage_collection import GarbageSearch
from utils.runtime.health import Fields, merged
from utils.runtime.lifecycle import EXIT_OK, StopRequest, run_script
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.runtime.timing import Pacing, RetryDelay
from utils.runtime.trading_calendar import calendar_of
from utils.stores.health import SharedHealth
from utils.stores.left_shards import LeftShards
from utils.stores.redis_connection import RedisError, open_redis
from utils.stores.redis_failure import failure_of
from utils.stores.redis_guard import RedisGuard, check_at_start
from utils.stores.redis_server import ServerCheck
from utils.stores.shard_leases import Change, ShardLeases

PROCESS = "candle_worker"
ENTRIES_AT_ONCE = 512  # of a shard, while there is a backlog
IDLE_SECONDS = 0.5
HEALTH_SECONDS = 1.0
LIVE_SECONDS = 5.0  # a shard that is further behind does not show how often its instruments are heard
CROWD = 1_000  # closes at once, after which live view and snapshots rest
REST_SECONDS = 0.45
REST_EVERY_SECONDS = 10.0  # at most


class CandleWorker:
    """One loop: hold shards, take their entries, refresh the live view, save now and then."""

    def __init__(self, settings: Settings, stop: StopRequest, log: BoundLogger, server: ServerCheck) -> None:
        self._clock = settings.market_clock
        self._stop = stop
        self._log = log
        client = open_redis(settings.redis_url.get_secret_value())
        keys = Keys(settings.redis_prefix)
        calendar, shards = calendar_of(settings), range(settings.shards)
        self._garbage = GarbageSearch()
        self._store = open_candle_store(settings)
        self._candles = {n: ShardCandles(n, settings, calendar, self._store) for n in shards}
        self._leases = ShardLeases(client, keys, PROCESS, settings.shards, settings.lease_seconds)
        self._archives = candle_archives(settings, lambda: bool(self._held) and self._store.is_behind)
        self._health = SharedHealth(client, keys, PROCESS, self._leases.owner, settings.health_ttl_seconds)
        self._left_shards = LeftShards(client, keys, settings.shards)
        self._redis = RedisGuard(server, log, self._report)
        self._held: dict[int, ShardCandles] = {}
        self._refreshing: deque[int] = deque()
        self._rest_until = 0.0
        self._unsaved: set[int] = set()
        self._lost = {"lost_entries": 0, "lost_ms": 0}
        self._local_file = settings.sessions_local_file
        self._doubted: Doubted = {}
        self._delay = RetryDelay(0.1, 2.0)
        self._pacing = Pacing(
            hold=settings.lease_seconds / 3,
            refresh=settings.live_refresh_ms / 1000,
            save=settings.snapshot_seconds,
            health=HEALTH_SECONDS,
            rest=REST_EVERY_SECONDS,
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
        """A lost Redis is waited for; then everything is recovered, as after a restart. FatalError."""
        try:
            self._run_once()
            self._delay.reset()
        except RedisError as error:
            self._held.clear()
            self._pacing.make_due("hold")
            self._redis.on_error(error)
            self._stop.wait(self._delay.next_seconds())

    def _run_once(self) -> None:
        self._redis.check()
        if self._pacing.is_due("hold", time.monotonic()):
            self._hold_shards()
        if self._held:
            self._take(self._read_entries())
        else:
            self._stop.wait(IDLE_SECONDS)
        now_seconds = time.monotonic()
        self._rest_after_closes(now_seconds)
        if self._pacing.is_due("refresh", now_seconds) and now_seconds >= self._rest_until:
            self._refreshing.extend(shard for shard in self._held if shard not in self._refreshing)
        if not self._store.is_behind:
            self._refresh_live()
        if self._pacing.is_due("save", now_seconds):
            self._unsaved |= set(self._held)
        if now_seconds >= self._rest_until:
            self._save_next()
        if self._pacing.is_due("health", now_seconds):
            self._report()

    def _hold_shards(self) -> None:
        become = {Change.OURS: self._recover, Change.LOST: self._let_go, Change.SPARE: self._give_up}
        for shard, change in self._leases.changes(self._held):
            become[change](shard)

    def _recover(self, shard: int) -> None:
        recovery = self._candles[shard].recover()
        self._held[shard] = self._candles[shard]
        self._archives.start(shard)
        self._log.info("holds a shard", shard=shard, after=str(recovery.position))
        if recovery.snapshot_refused:
            self._log.warning("starts the shard anew", shard=shard, reason=recovery.snapshot_refused)
        if recovery.new_hours:
            self._log.warning(
                "the hours of the day were edited: they hold from here on",
                shard=shard,
                instruments=len(recovery.new_hours),
                first=recovery.new_hours[0],
            )

    def _give_up(self, shard: int) -> None:
        """There are others to share with."""
        candles = self._held.pop(shard, None)
        if candles is not None:
            candles.save()
            self._log.info("leaves a shard to another worker", shard=shard)
        self._archives.stop(shard)
        self._leases.release(shard)

    def _let_go(self, shard: int) -> None:
        if self._held.pop(shard, None) is not None:
            self._log.warning("another worker took the shard over", shard=shard)
        self._archives.stop(shard)

    def _read_entries(self) -> list[tuple[int, list[Entry]]]:
        positions = {shard: candles.position for shard, candles in self._held.items()}
        left_seconds = 0.0 if self._refreshing else self._pacing.seconds_left("refresh", time.monotonic())
        wait_ms = round(1000 * left_seconds)
        return self._store.read_ticks(positions, wait_ms, ENTRIES_AT_ONCE)

    def _take(self, found: list[tuple[int, list[Entry]]]) -> None:
        if self._store.is_behind:
            self._refresh_live()  # now: Redis writes it while these entries are worked on
        for shard, entries in found:
            candles = self._held[shard]
            candles.take(entries)
            for day in candles.new_unknown_days():
                self._log.warning("the session table does not know this day: ordinary hours are assumed", day=day)
        self._tell_gaps()

    def _tell_gaps(self) -> None:
        for gap in self._store.new_gaps():
            self._lost["lost_entries"] += gap.entries
            self._lost["lost_ms"] += gap.lost_ms
            self._log.error(
                "entries were dropped from the stream before they were read: their candles say complete=false; "
                "the journal has them; raise STREAM_MAX_MB or STREAM_HOURS",
                shard=gap.shard,
                entries=gap.entries,
                lost_ms=gap.lost_ms,
                after=str(gap.after),
            )

    def _rest_after_closes(self, now_seconds: float) -> None:
        """After a crowd of closes nearly every live hash is news: the signal worker has Redis first."""
        closed = sum(candles.new_closes() for candles in self._held.values())
        if closed >= CROWD and self._pacing.is_due("rest", now_seconds):
            self._refreshing.clear()
            self._rest_until = now_seconds + REST_SECONDS

    def _refresh_live(self) -> None:
        """A portion of each shard whose round is under way: between two of them ticks are taken."""
        # One shard in turn while frames wait: who is behind shows less often what is old anyway.
        for _ in range(1 if self._store.is_behind and self._refreshing else len(self._refreshing)):
            shard = self._refreshing.popleft()
            if shard in self._held and self._held[shard].refresh_live():
                self._refreshing.append(shard)

    def _save_next(self) -> None:
        """One shard's snapshot: between two of them ticks are taken."""
        if self._unsaved:
            shard = self._unsaved.pop()
            if shard in self._held:
                self._held[shard].save()
            self._garbage.run(time.monotonic())

    def _save_all(self) -> None:
        for candles in self._held.values():
            candles.save()

    def _report(self) -> None:
        counts: dict[str, int] = {}
        for candles in self._held.values():
            for name, count in candles.counts().items():
                counts[name] = counts.get(name, 0) + count
        now_ms = self._clock.now_ms()
        last_ms = min((candles.position.ms for candles in self._held.values()), default=0)
        whole = self._health.write(
            {
                "market_ms": now_ms,
                "last_entry_ms": last_ms,
                "lag_ms": now_ms - last_ms if last_ms else 0,
                "shards": ",".join(str(shard) for shard in sorted(self._held)),
                "instruments": sum(candles.instrument_count for candles in self._held.values()),
                **{f"position_{shard}": str(candles.position) for shard, candles in self._held.items()},
                **counts,
                **self._content(now_ms),
                **self._lost,
                **self._archives.health_fields(),
                **self._left_shards.fields(time.monotonic()),
                "redis_fault": self._redis.fault,
            },
            self._leases.owners,
        )
        if whole is not None:
            self._log_doubts(whole)

    def _content(self, now_ms: int) -> Fields:
        """What the packets of all shards say of the feed."""
        furthest_ms = now_ms - 1_000 * LIVE_SECONDS * max(1.0, self._clock.speed)
        return merged([one.content(one.position.ms >= furthest_ms) for one in self._held.values()])

    def _log_doubts(self, whole: Fields) -> None:
        """What the report of all workers speaks against, as it begins; a class that is heard again is logged, too.

        Without a shard (an error of Redis is reported so) nothing is known, and nothing of it has changed.
        """
        if not self._held:
            return
        doubted, before = doubts_of(from_text(str(whole.get("classes", "")))), self._doubted
        for _, text in sentences({key: doubted[key] for key in doubted if key not in before}, self._local_file):
            self._log.warning(text)
        for doubt, name in before.keys() - doubted.keys():
            if doubt is Doubt.MUTE:
                self._log.info("no longer halted or mute", of=name)
        self._doubted = doubted

    def _shutdown(self) -> None:
        """First what is known is saved, then the archives write what is still there, last the shards are let go."""
        try:
            self._save_all()
        except RedisError as error:
            reason = failure_of(error).sentence
            self._log.warning("no snapshot at the end: the next start reads on from the last one", reason=reason)
        if not self._archives.close():
            self._log.warning("MongoDB does not answer: what is not written yet waits in the closed stream")
        self._leases.leave()


def main(settings: Settings, stop: StopRequest) -> int:
    log: BoundLogger = structlog.get_logger(PROCESS)
    server = check_at_start(settings, log)
    compile_candle_kernels()  # before a shard is held: compiling takes longer than a lease lasts
    return CandleWorker(settings, stop, log, server).run()


if __name__ == "__main__":
    run_script(PROCESS, main)
