"""Where the signals of a shard continue: at its last snapshot, the day's first closed candle, or the newest one."""

from __future__ import annotations

from utils.indicators.snapshot import SnapshotError
from utils.journal.entries import EntryId
from utils.market.hours_kept import hours_kept
from utils.market.ist import ist_date, ist_midnight_ms
from utils.runtime.log import BoundLogger
from utils.signals.context import SignalContext
from utils.signals.state import SignalProgress, missed_a_session, rows_of, split


class SignalRecovery:
    """One shard's. Every method: RedisError."""

    def __init__(self, shard: int, context: SignalContext, log: BoundLogger) -> None:
        self._shard = shard
        self._context = context
        self._store = context.store
        self._log = log
        self._symbols = set(context.symbols_of[shard])
        self._timeframes = [timeframe.name for timeframe in context.settings.timeframes]

    def recover(self) -> SignalProgress:
        """As of the last snapshot, if it is of use.

        A Redis without one has lost it, or never had one: then today's closed candles count as new. The connector
        sends the day again, the same candles close again, and their signals have the same ids.
        """
        packed = self._store.load_snapshot(self._shard)
        progress = self._restored(packed)
        if progress is None:
            return self.begin_anew() if packed is not None else self._begin_today()
        self._log.info("resumed", after=str(progress.positions[self._shard]))
        return progress

    def begin_anew(self) -> SignalProgress:
        """As of the newest closed candle."""
        return self._begin_after(self._store.last_id(self._shard))

    def lower_cut(self, progress: SignalProgress) -> None:
        """Before the first warm-up: it ends where the day's entries begin, not where the clock is now.

        MongoDB may have candles that the stream will have again.
        """
        midnight_ms = ist_midnight_ms(ist_date(progress.cut_ms))
        if not progress.was_warmed_up and progress.positions[self._shard].ms < midnight_ms:
            first_ms = self._store.first_ms_since(self._shard, midnight_ms)
            progress.cut_ms = min(progress.cut_ms, first_ms) if first_ms is not None else progress.cut_ms

    def _begin_today(self) -> SignalProgress:
        midnight_ms = ist_midnight_ms(ist_date(self._context.settings.market_clock.now_ms()))
        return self._begin_after(self._store.last_before(self._shard, midnight_ms))

    def _begin_after(self, last: EntryId) -> SignalProgress:
        """With nothing warm; it is stored at once."""
        # The id was read before the clock: a candle closed in between is known to come by the stream.
        position = {self._shard: last}
        now_ms = self._context.settings.market_clock.now_ms()
        progress = SignalProgress.fresh(self._context.make_engine, position, now_ms)
        self._remove_left(self._store.peek_snapshot(self._shard) or b"")
        self._store.save_snapshot(self._shard, progress.snapshot())
        self._log.info("started anew", after=str(position[self._shard]))
        return progress

    def _remove_left(self, packed: bytes) -> None:
        """The new state does not know whose hashes the old one wrote: those that nobody writes any more go."""
        symbols = set().union(*self._context.symbols_of.values())
        for timeframe, of_rows in rows_of(packed).items():
            left = of_rows - symbols if timeframe in self._timeframes else of_rows
            self._store.remove_values(left, [timeframe])

    def note_cut_off(self) -> None:
        """Candles were lost: whoever calls this begins anew."""
        self._context.counts["cut_off"] += 1
        self._log.error(
            "closed candles left their stream before they were read: all is warmed up again; raise CLOSED_MAX_ENTRIES"
        )

    def _restored(self, packed: bytes | None) -> SignalProgress | None:
        try:
            progress = self._own_part(packed or self._store.peek_snapshot(0))
        except SnapshotError as error:
            self._log.warning("snapshot refused", reason=str(error))
            return None
        if progress is None or self._has_hole(progress):
            return None
        wanted = [(symbol, name) for symbol in self._symbols for name in self._timeframes]
        progress.warmed.intersection_update(wanted)  # what comes back later has a hole
        return progress

    def _has_hole(self, progress: SignalProgress) -> bool:
        """Whether candles are missing between the snapshot and what the stream has next."""
        upcoming = self._store.read_closed(progress.positions, 1).get(self._shard)
        if upcoming is not None and upcoming.is_cut_off:
            self.note_cut_off()
            return True
        now_ms = self._context.settings.market_clock.now_ms()
        next_ms = upcoming.entries[0].id.ms if upcoming is not None else now_ms
        kept = hours_kept(self._symbols, self._context.instruments, self._context.calendar)
        if missed_a_session(progress.seen_ms(), next_ms, kept, self._context.calendar):
            self._log.warning("a session passed without this worker's candles: all is warmed up again")
            return True
        return False

    def _own_part(self, packed: bytes | None) -> SignalProgress | None:
        """Of a snapshot that may be of all shards: before each had its own, shard 0's had everything."""
        if packed is None:
            return None
        progress = SignalProgress.restore(self._context.make_engine, packed)
        if self._shard not in progress.positions:
            return None
        symbols = progress.symbols()
        if len(progress.positions) == 1 and symbols <= self._symbols:
            return progress
        parts = split(packed, self._context.symbols_of)
        left = symbols.difference(*self._context.symbols_of.values())
        self._store.remove_values(left, sorted(progress.timeframes().union(self._timeframes)))
        for shard in parts.keys() - {self._shard}:
            self._store.add_missing_snapshot(shard, parts[shard])
        self._log.info("split a snapshot of other instruments")
        return SignalProgress.restore(self._context.make_engine, parts[self._shard])
