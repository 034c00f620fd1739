"""The candle worker: ticks in, candles out. Several may run; each shard is owned by one of them at a time."""

from __future__ import annotations

import time
from collections import deque

import structlog

from data_handler import ShardCandles, candle_archives, open_candle_store
from utils.candles.class_doubts import Doubt, Doubted, doubts_of, sentences
from utils.keys import Keys
from utils.market.class_facts import from_text
from utils.runtime.health import Fields, merged
from utils.runtime.lifecycle import StopRequest, run_script
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.runtime.shard_worker import Coordination, ShardWorker
from utils.runtime.timing import Pacing
from utils.runtime.trading_calendar import calendar_of
from utils.stores.compiling import compile_candle_kernels
from utils.stores.coordination import coordinate
from utils.stores.left_shards import LeftShards
from utils.stores.redis_connection import open_redis

PROCESS = "candle_worker"
ENTRIES_AT_ONCE = 512  # of a shard, while there is a backlog
LIVE_SECONDS = 5.0  # a shard that is further behind does not show how often its instruments are quoted


class CandleWorker(ShardWorker[ShardCandles]):
    """Reads ticks, publishes closed candles, and keeps the live view when nothing closes."""

    def __init__(self, settings: Settings, stop: StopRequest, log: BoundLogger, coordination: Coordination) -> None:
        self._store = open_candle_store(settings)
        calendar = calendar_of(settings)
        shards = {shard: ShardCandles(shard, settings, calendar, self._store) for shard in range(settings.shards)}
        archives = candle_archives(settings, lambda: bool(self._owned) and self._store.is_behind)
        super().__init__(settings, stop, log, shards, archives, coordination)
        client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
        self._left_shards = LeftShards(client, keys, settings.shards)
        self._refresh = Pacing(round=settings.live_refresh_ms / 1000)
        self._refreshing: deque[int] = deque()
        self._is_refresh_late = False
        # A backlog is sent to half of the bound beyond the last snapshot: one in time keeps it flowing.
        self._uncovered_max_bytes = settings.stream_max_bytes // 4
        self._lost = {"lost_entries": 0, "lost_ms": 0}
        self._local_file = settings.sessions_local_file
        self._doubted: Doubted = {}

    # ---- ticks in, candles out

    def _process(self) -> bool:
        positions = {shard: candles.position for shard, candles in self._owned.items()}
        left_seconds = 0.0 if self._refreshing else self._refresh.seconds_left("round", time.monotonic())
        found = self._store.read_ticks(positions, round(1000 * left_seconds), ENTRIES_AT_ONCE)
        has_closed = [self._owned[shard].process(entries).has_closed for shard, entries in found]
        self._log_gaps()
        return any(has_closed)

    def _is_snapshot_urgent(self, shard: int) -> bool:
        return self._store.unsaved_bytes(shard) >= self._uncovered_max_bytes

    def _log_gaps(self) -> None:
        for gap in self._store.new_gaps():
            self._lost["lost_entries"] += gap.entries
            self._lost["lost_ms"] += gap.lost_ms
            self._log.error(
                "entries were dropped from the stream before they were read: their candles have complete=false; "
                "the journal has them; raise STREAM_MAX_MB or STREAM_HOURS",
                shard=gap.shard,
                entries=gap.entries,
                lost_ms=gap.lost_ms,
                after=str(gap.after),
            )

    # ---- the live view

    def _catch_up(self, has_published: bool) -> None:
        """The live view, a portion of each shard at a time. A round that waited for LIVE_REFRESH_MS waits no more."""
        if self._refresh.is_due("round", time.monotonic()):
            self._is_refresh_late = bool(self._refreshing)
            self._refreshing.extend(shard for shard in self._owned if shard not in self._refreshing)
        if has_published and not self._is_refresh_late:
            return
        # One shard in turn while frames wait: who is behind shows less often what is old anyway.
        for _ in range(1 if self._store.is_behind and self._refreshing else len(self._refreshing)):
            shard = self._refreshing.popleft()
            if shard in self._owned and self._owned[shard].refresh_live():
                self._refreshing.append(shard)

    # ---- health

    def _fields(self, now_ms: int) -> Fields:
        counts: dict[str, int] = {}
        for candles in self._owned.values():
            for name, count in candles.counts().items():
                counts[name] = counts.get(name, 0) + count
        return {
            "last_entry_ms": min((candles.position.ms for candles in self._owned.values()), default=0),
            **counts,
            **self._content(now_ms),
            **self._lost,
            **self._left_shards.fields(time.monotonic()),
        }

    def _content(self, now_ms: int) -> Fields:
        """What the packets of all shards show of the feed."""
        furthest_ms = now_ms - 1_000 * LIVE_SECONDS * max(1.0, self._clock.speed)
        return merged([candles.content(candles.position.ms >= furthest_ms) for candles in self._owned.values()])

    def _on_report(self, report: Fields) -> None:
        """Logs what the report of all workers speaks against, as it begins, and a class that trades again.

        Without a shard (an error of Redis is reported so) nothing is known, and nothing of it has changed.
        """
        if not self._owned:
            return
        doubted, before = doubts_of(from_text(str(report.get("classes", "")))), self._doubted
        for _, text in sentences({key: doubted[key] for key in doubted if key not in before}, self._local_file):
            self._log.warning(text)
        for doubt, name in before.keys() - doubted.keys():
            if doubt is Doubt.MUTE:
                self._log.info("no longer halted or mute", of=name)
        self._doubted = doubted


def main(settings: Settings, stop: StopRequest) -> int:
    log: BoundLogger = structlog.get_logger(PROCESS)
    coordination = coordinate(settings, PROCESS, log)
    compile_candle_kernels()  # before a shard is owned: compiling takes longer than a lease lasts
    return CandleWorker(settings, stop, log, coordination).run()


if __name__ == "__main__":
    run_script(PROCESS, main)
