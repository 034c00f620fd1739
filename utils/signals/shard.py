"""The signals of one shard: its warm-up, and what comes of its closed candles."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import date

import structlog

from utils.journal.entries import ZERO_ID, EntryId
from utils.market.instruments import Instrument
from utils.market.ist import ist_date
from utils.market.signal import Pair
from utils.runtime.health import RUNNING
from utils.runtime.timing import Pacing
from utils.signals.context import SignalContext
from utils.signals.jump_marks import JumpMarks
from utils.signals.recovery import SignalRecovery
from utils.signals.state import Processed, SignalProgress
from utils.signals.values import PendingValues
from utils.signals.warmup import OnProgress, WarmUp, WarmupResult
from utils.signals.warmup_thread import WarmupThread
from utils.stores.signal_store import ClosedRead

ENTRIES_AT_ONCE = 1_000
BURST_READS = 30  # full ones, one after the other: an hour's end has so many
LOOK_SECONDS = 0.5
WARM_AGAIN_SECONDS = 300.0
INSTRUMENTS_SECONDS = 60.0  # so long some of the instruments may be missing before we begin without them


class ShardSignals:
    """`recover` begins it, and after a RedisError only `recover` may follow. Then, again and again, `prepare`, and
    when that allows it, `process`. While a warm-up is on its way there is no `process` and no snapshot."""

    def __init__(self, shard: int, context: SignalContext) -> None:
        self.shard = shard
        self.state = "starting"
        self._warm_rows = 0
        self._context = context
        self._store = context.store
        self._timeframes = {timeframe.name: timeframe for timeframe in context.settings.timeframes}
        self._symbols = set(context.symbols_of[shard])
        self._wanted = [(symbol, name) for symbol in context.symbols_of[shard] for name in self._timeframes]
        self._progress = SignalProgress.fresh(context.make_engine, {shard: ZERO_ID}, 0)
        self._saved_at: EntryId | None = None
        self._full_reads = 0
        self._dropped_on: date | None = None
        self._values = PendingValues(self._store, shard)
        self._warmup: WarmupThread | None = None
        self._history_failed: set[str] = set()  # symbols; they come last in the next warm-up
        self._loaded_seconds = 0.0
        self._pacing = Pacing(warm_again=WARM_AGAIN_SECONDS, look=LOOK_SECONDS)
        self._log = structlog.get_logger("signal_worker").bind(shard=shard)
        self._marks = JumpMarks(context.mongo, self._log)
        self._jumped = ""
        self._recovery = SignalRecovery(shard, context, self._log)

    @property
    def position(self) -> EntryId:
        """The last entry that is in the engine."""
        return self._progress.positions[self.shard]

    @property
    def instrument_count(self) -> int:
        return len(self._symbols)

    @property
    def row_count(self) -> int:
        return len(self._wanted)

    def warm_rows(self) -> int:
        """Rows with every indicator warm; what it was before it while a warm-up is on its way."""
        if self._warmup is None:
            self._warm_rows = self._progress.engine.warm_rows()
        return self._warm_rows

    # ---- where we are

    def recover(self, now_seconds: float | None = None) -> None:
        """Back to the last snapshot, or to the day's first closed candle. RedisError."""
        self.release()
        self._context.look_up()
        self._set(self._recovery.recover(), time.monotonic() if now_seconds is None else now_seconds)

    def snapshot(self) -> None:
        """Store the state, if it changed since the last time. OutboxMovedError, RedisError."""
        if self._warmup is not None:
            return
        self.write_values()
        self._drop_expired()
        if self._saved_at == self.position:
            self._store.check(self.shard)
            return
        self._store.save_snapshot(self.shard, self._progress.snapshot())
        self._saved_at = self.position

    def _drop_expired(self) -> None:
        """Once a day: instruments that the connector does not watch any more, a day after their last candle."""
        day = ist_date(self.position.ms)
        if day == self._dropped_on:
            return
        self._drop_timeframes()
        watched = self._store.instruments()
        expired = self._progress.expired(watched, self.position.ms) if watched else set()
        self._dropped_on = day if watched else None
        if expired:
            self._store.remove_values(expired, list(self._timeframes))
            self._progress.drop(expired)
            self._context.forget(expired)
            self._saved_at = None
            self._log.info("instruments that are not watched any more were dropped", instruments=len(expired))

    def _drop_timeframes(self) -> None:
        """Those that left TIMEFRAMES: their hashes would stay for ever."""
        left = self._progress.timeframes() - self._timeframes.keys()
        if left:
            self._store.remove_values(self._progress.symbols(), sorted(left))
            self._progress.drop_timeframes(left)
            self._saved_at = None
            self._log.info("timeframes that are not in TIMEFRAMES any more were dropped", timeframes=sorted(left))

    def release(self) -> None:
        """Another worker owns it, or nobody for now."""
        if self._warmup is not None:
            self._warmup.cancel()
        self._warmup, self.state = None, "starting"

    def _set(self, progress: SignalProgress, now_seconds: float) -> None:
        self._progress, self._saved_at = progress, None
        self._dropped_on = None
        self._values = PendingValues(self._store, self.shard)
        self._loaded_seconds = now_seconds
        self._pacing.make_due("warm_again")
        self._pacing.make_due("look")

    # ---- warm-up

    def prepare(self, now_seconds: float) -> bool:
        """Warm up what is cold; whether entries may be processed. Before the end of the first warm-up none are.

        RedisError.
        """
        if self._warmup is not None:
            if not self._warmup.is_over:
                self.state = "warming up {}/{}".format(*self._warmup.progress)
                return False
            self._end_warm_up(self._warmup)
        if not self._is_warm_enough(now_seconds):
            self._begin_warm_up(now_seconds)
        is_ready = self._warmup is None and self._progress.was_warmed_up
        if is_ready:
            self.state = RUNNING
            self._marks.look(self._progress.engine, now_seconds)
        return is_ready

    @property
    def jumped(self) -> str:
        """Jumps of the price scale behind which rows are not warm again; as before while a warm-up is on its way."""
        if self._warmup is None:
            self._jumped = self._progress.jumped(self._wanted)
        return self._jumped

    @property
    def warmup_progress(self) -> tuple[int, int, int] | None:
        """Instruments done, of how many, history requests made; None when no warm-up is on its way."""
        return self._warmup.progress if self._warmup is not None else None

    def _is_warm_enough(self, now_seconds: float) -> bool:
        if not self._progress.was_warmed_up:
            return False
        return not self._pacing.is_due("warm_again", now_seconds) or not self._progress.cold(self._wanted)

    def _begin_warm_up(self, now_seconds: float) -> None:
        cold = self._progress.cold(self._wanted)
        if not cold:
            self._note_warmed([])
        elif not self._context.turn.is_free:
            self._pacing.make_due("warm_again")
            self.state = "warming up later"
        elif self._pacing.is_due("look", now_seconds):
            instruments = self._instruments(cold, now_seconds)
            if instruments:
                self._start_warm_up(instruments, cold)
            else:
                self.state = "waiting for the instruments"

    def _instruments(self, cold: Sequence[Pair], now_seconds: float) -> list[Instrument]:
        """Those with cold rows, as the connector made them known; empty while it is worth waiting for them."""
        known = self._context.look_up()
        symbols = dict.fromkeys(symbol for symbol, _ in cold)
        found = [known[symbol] for symbol in symbols if symbol in known]
        if len(found) == len(symbols) or self._progress.was_warmed_up or not found:
            return found
        return found if now_seconds - self._loaded_seconds > INSTRUMENTS_SECONDS else []

    def _start_warm_up(self, instruments: Sequence[Instrument], cold: Sequence[Pair]) -> None:
        self._recovery.lower_cut(self._progress)
        self.snapshot()
        symbols = {instrument.symbol for instrument in instruments}
        pairs = [pair for pair in cold if pair[0] in symbols]
        self._log.info("warm-up started", instruments=len(instruments), rows=len(pairs))
        context, engine = self._context, self._progress.engine
        cut = self._progress.next_cut(context.settings.market_clock.now_ms())
        history, last = context.history(), frozenset(self._history_failed)

        def run(on_progress: OnProgress) -> WarmupResult:
            warm_up = WarmUp(context.store, context.mongo, history, context.calendar, on_progress)
            result = warm_up.run(engine, instruments, self._timeframes, pairs, cut, last)
            return result if context.settings.warmup else WarmupResult(pairs, [], result.fetched)

        self._warmup = context.turn.start(f"warmup-{self.shard}", run)
        self.state = "warming up"

    def _end_warm_up(self, warmup: WarmupThread) -> None:
        self._warmup = None
        result = warmup.result()
        if result is None:
            return
        rows = self._progress.engine.latest()
        self._values.add(rows)
        self._values.write(lambda: rows, self.position)  # first: after the snapshot nobody would
        self._note_warmed(result.done)
        self._history_failed = self._history_failed.union(result.failed) - {symbol for symbol, _ in result.done}
        self._context.counts["history_refused"] += len(result.refused)
        self._log.info(
            "warm-up ended",
            warm_rows=self.warm_rows(),
            rows=len(self._wanted),
            tried_again_later=len(result.again),
            fetched_candles=result.fetched,
        )

    def _note_warmed(self, done: Sequence[Pair]) -> None:
        self._progress.note_warmed(done)
        self._saved_at = None
        self.snapshot()

    # ---- candles in, signals out

    def process(self, read: ClosedRead, now_seconds: float) -> None:
        """The signals of the entries after `position` are published at once; the values are pending.

        `send_values` or `write_values` may follow. RedisError.
        """
        entries = read.entries
        self._full_reads = self._full_reads + 1 if len(entries) >= ENTRIES_AT_ONCE else 0
        # A stream is only cut when it is long: fewer entries than one asks for were never cut before they were read.
        if len(entries) >= ENTRIES_AT_ONCE and read.is_cut_off:
            self._recovery.note_cut_off()
            self.write_values()
            self._set(self._recovery.begin_anew(), now_seconds)
            return
        if entries and ist_date(entries[-1].id.ms) != ist_date(self.position.ms):
            self._context.look_up()  # a new day's dump may give an instrument other hours
        processed = self._progress.process(entries)
        self._store.send(processed.fired)
        self._values.add(processed.latest)
        self._note(processed)
        self._context.counts.update(candles=len(entries))

    def _note(self, processed: Processed) -> None:
        """What is counted and logged."""
        self._context.counts.update(
            skipped=processed.skipped,
            unreadable=processed.unreadable,
            strategy_faults=len(processed.errors),
        )
        for error in processed.errors:
            self._log.error(error)
        for jump in processed.jumps:
            self._log.error("price scale changed, no signals until rows are warm again", jump=jump.as_text())
        if processed.jumps:
            self._marks.make_due()

    @property
    def has_pending(self) -> bool:
        """Whether `write_values` has anything to write."""
        return len(self._values) > 0

    def send_values(self) -> None:
        """As `write_values`, unless so many entries wait that rows would be written again and again. RedisError."""
        if self._full_reads <= BURST_READS:
            self.write_values()

    def write_values(self) -> None:
        """What is pending goes to the hashes, when all its signals are published. RedisError."""
        self._context.counts.update(signals=self._store.flush(self.shard))
        self._values.write(self._progress.engine.latest, self.position)
