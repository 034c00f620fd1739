"""Between the scripts and the parts: candles of one shard made, published and kept, over Redis and MongoDB.

`ShardCandles` ties the pure engine (utils/candles) to its store. It is crash-only: a restart, a lost connection
and a take-over by another worker are one path, `recover`, which goes back to the last snapshot and reads on. What is
then published again has the ids that it had before, and Redis drops it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from utils.candles.engine import CandleEngine
from utils.candles.engine_output import EngineOutput
from utils.candles.feed_content import FeedContent, Fields
from utils.candles.kernels.layout import Count, Reason, Rules
from utils.candles.refused_state import Left, left_by
from utils.candles.shard_state import StateError, position_in
from utils.journal.entries import Entry, EntryId
from utils.keys import CANDLES_COLLECTION, Keys
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings
from utils.stores.archive import StreamArchiver
from utils.stores.archive_thread import ShardArchives
from utils.stores.candle_store import CandleStore
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import open_redis


def rules_of(settings: Settings) -> Rules:
    """The settings that candles depend on."""
    return Rules(
        grace_ms=round(settings.close_grace_seconds * 1000),
        skew_ms=settings.max_clock_skew_seconds * 1000,
        min_ticks=settings.zscore_min_ticks,
        warn=settings.zscore_warn,
        reject=settings.zscore_reject,
        floor_ticks=settings.zscore_floor_ticks,
        floor_bps=settings.zscore_floor_bps,
        accept_after=settings.zscore_accept_after,
    )


def open_candle_store(settings: Settings) -> CandleStore:
    """The candle worker's store, over a connection of its own."""
    return CandleStore(
        open_redis(settings.redis_url.get_secret_value()),
        Keys(settings.redis_prefix),
        settings.closed_max_entries,
        settings.rejected_max_per_shard,
    )


@dataclass(frozen=True, slots=True)
class Recovery:
    """Where a shard reads on from, and why it could not use a snapshot that was there ('' when all is well).

    `new_hours`: symbols whose hours are others than when the snapshot was made.
    """

    position: EntryId
    snapshot_refused: str = ""
    new_hours: tuple[str, ...] = ()


class ShardCandles:
    """The candles of one shard, from entries to what other programs read."""

    def __init__(self, shard: int, settings: Settings, calendar: SessionCalendar, store: CandleStore) -> None:
        self.shard = shard
        self._settings = settings
        self._calendar = calendar
        self._store = store
        self._timeframe_names = [timeframe.name for timeframe in settings.timeframes]
        self._engine = self._new_engine()
        self._content = self._new_content()
        self._saved_at = self._engine.position
        self._published_over: object = None
        self._log = structlog.get_logger("candle_worker").bind(shard=shard)

    def _new_engine(self) -> CandleEngine:
        settings = self._settings
        return CandleEngine(settings.timeframes, rules_of(settings), settings.zscore_window, self._calendar)

    def _new_content(self) -> FeedContent:
        settings = self._settings
        is_full = settings.subscribe_mode == "full"
        speed = settings.market_clock.speed
        return FeedContent(self.shard, settings.symbols, speed, is_full, self._calendar)

    @property
    def position(self) -> EntryId:
        """The last entry that was applied."""
        return self._engine.position

    @property
    def instrument_count(self) -> int:
        return len(self._engine.instruments)

    def recover(self) -> Recovery:
        """Back to the last snapshot, or to the beginning. RedisError when Redis is away."""
        content = self._store.load_state(self.shard)
        self._engine = self._new_engine()
        self._content = self._new_content()
        self._published_over = None
        refused = ""
        if content is not None:
            try:
                self._engine.restore(content)
            except StateError as error:
                refused = str(error)
                self._engine = self._new_engine()
                self._store.end_source(self.shard, position_in(content))
                self._remove_live_of(left_by(content))
        self._saved_at = self._engine.position
        recovery = Recovery(self.position, refused, tuple(self._engine.new_hours))
        self._log_recovery(recovery)
        return recovery

    def _log_recovery(self, recovery: Recovery) -> None:
        if recovery.snapshot_refused:
            self._log.warning("snapshot refused, starting anew", reason=recovery.snapshot_refused)
        if recovery.new_hours:
            self._log.warning(
                "the hours of the day were edited: they apply from here on",
                instruments=len(recovery.new_hours),
                first=recovery.new_hours[0],
            )

    def _remove_live_of(self, left: Left) -> None:
        """The new state does not know who leaves it: hashes that nobody writes any more would stay for ever."""
        dropped = [name for name in left.timeframes if name not in self._timeframe_names]
        self._store.remove_timeframes(left.symbols, dropped)
        self._store.remove_live(left.symbols, self._timeframe_names)

    def process(self, entries: Sequence[Entry]) -> EngineOutput:
        """Apply entries and publish what came of them. After a RedisError only `recover` may follow."""
        output = self._engine.process(entries)
        self._store.publish_closed(self.shard, output.records)
        self._store.publish_rejected(self.shard, output.rejected)
        # Before the next snapshot: a worker that resumes from an earlier one meets this day's begin again.
        self._store.remove_live([symbol.symbol for symbol in output.gone], self._timeframe_names)
        for day in self._new_unknown_days():
            self._log.warning("the session table does not know this day: ordinary hours are assumed", day=day)
        return output

    def refresh_live(self) -> bool:
        """Write a portion of what changed to the live view; returns whether more of this round is left.

        Nothing while another worker's is newer: what changed meanwhile is written when we are as far.
        """
        view = self._store.live_view(self.shard, self.position)
        if view is None:
            return False
        if self._published_over is None:
            self._engine.forget_published()
        elif view is not self._published_over:  # another worker wrote meanwhile, or the server lost what it had
            self._engine.mark_all_changed()
        self._published_over = view
        candles, ticks = self._engine.next_live()
        self._store.write_live(self.shard, self._engine.rows, candles, ticks, self.position)
        return not self._engine.is_live_round_done

    def snapshot(self) -> None:
        """Store the state, if something was applied since the last time."""
        if self._saved_at != self.position:
            self._store.save_state(self.shard, self._engine.snapshot())
            self._saved_at = self.position

    def release(self) -> None:
        """Nothing is kept open for a shard."""

    def counts(self) -> dict[str, int]:
        """What was counted since the state began, by name; rejections as `rejected_<reason>`."""
        shard = self._engine.shard
        counted = {count.name.lower(): int(shard.counts[count]) for count in Count}
        return counted | {f"rejected_{reason.name.lower()}": int(shard.rejected[reason]) for reason in Reason}

    def content(self, is_live: bool) -> Fields:
        """What the packets show of the feed, for the health report; once a second, `is_live` when nothing waits."""
        return self._content.look(self._engine.shard, self._engine.rows, self.position.ms, is_live)

    def _new_unknown_days(self) -> list[str]:
        """Dates met since the last call for which the session table only guesses ordinary hours."""
        days = sorted(str(day) for day in self._engine.unknown_days)
        self._engine.unknown_days.clear()
        return days


def candle_archives(settings: Settings, is_behind: Callable[[], bool]) -> ShardArchives:
    """Brings the closed candles of the owned shards to MongoDB.

    While `is_behind` (frames wait), MongoDB waits, too, until a quarter of the closed stream is to be stored: long
    before anything is dropped unstored. Without it a replay has 0.98 million ticks/s instead of 1.58 (bench).
    """
    room, keys = settings.closed_max_entries // 4, Keys(settings.redis_prefix)
    mongo = MongoStore(settings.mongo_url.get_secret_value(), settings.mongo_db)

    def make(shard: int) -> StreamArchiver:
        return StreamArchiver(
            open_redis(settings.redis_url.get_secret_value()),
            keys.closed(shard),
            CANDLES_COLLECTION,
            mongo.upsert_candles,
            keys.archive_rejected(shard),
            settings.rejected_max_per_shard,
            is_to_back_off=lambda backlog: 0 <= backlog < room and is_behind(),
            ping=mongo.ping,
        )

    return ShardArchives("archive", make)
