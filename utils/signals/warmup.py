"""Warm-up: gives rows of indicators their past, from MongoDB, the closed stream, and the broker where these end.

The cut decides what is past: entries of the closed streams up to `positions` and candles that ended by `at_ms`. A
candle that ended by then but whose entry comes after the positions is left out: it will be applied when it is read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from utils.journal.entries import EntryId
from utils.kite.history import HistoryDenied, HistoryError, HistoryRefused, KiteHistory, Span
from utils.kite.history_candles import day_candles, is_from_minutes, minute_candles
from utils.market.candle import Candle
from utils.market.instruments import Instrument
from utils.market.ist import ist_date, ist_midnight_ms
from utils.market.sessions import SessionCalendar
from utils.market.signal import Pair
from utils.market.timeframes import Timeframe
from utils.signals.engine import SignalEngine
from utils.signals.jump_marks import mark_jump
from utils.signals.warmup_plan import BARS_ASKED, missing_from, with_history
from utils.stores.mongo import MongoStore, StoreError
from utils.stores.signal_store import SignalStore

RECENT_ENTRIES = 50_000  # newest closed entries that are looked at beside MongoDB, which may lag behind them
LATER_BARS = 50  # so many of a row's newest may turn out to come by the stream yet
LATER_ENTRIES_AT_ONCE = 1_000
INSTRUMENTS_AT_ONCE = 20  # so many are asked of MongoDB together, and are in memory together: 300 candles a row
ERRORS_IN_ROW = 3


@dataclass(frozen=True, slots=True)
class Cut:
    """Where the past ends: what comes after it gives signals."""

    positions: Mapping[int, EntryId]
    at_ms: int


@dataclass(slots=True)
class WarmupResult:
    """Rows that are done (warm, or as warm as their past allows) and those to be tried again later.

    Of the symbols in `refused` the broker has no history to give, those in `failed` it may serve another time.
    """

    done: list[Pair] = field(default_factory=list)
    again: list[Pair] = field(default_factory=list)
    fetched: int = 0
    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


OnProgress = Callable[[int, int, int], None]


def _past(candles: Iterable[Candle], cut: Cut) -> dict[str, Candle]:
    """Those that were over by the cut, by their ids; the last of an id wins."""
    return {candle.id: candle for candle in candles if _is_sound(candle) and candle.end_ms <= cut.at_ms}


def _is_sound(candle: Candle) -> bool:
    """Whether its numbers are numbers: other programs may write into MongoDB, too."""
    integers = (candle.start_ms, candle.end_ms, candle.rev)
    numbers = (candle.open, candle.high, candle.low, candle.close, candle.volume or 0, candle.previous_close or 0)
    return all(isinstance(value, int) for value in integers) and all(
        isinstance(value, int | float) and math.isfinite(value) for value in numbers
    )


def _on_scale(engine: SignalEngine, held: Mapping[str, Candle]) -> dict[str, Candle]:
    """Those since the last jump of the price scale."""
    in_order = sorted(held.values(), key=lambda candle: candle.start_ms)
    return {candle.id: candle for candle in engine.since_jump(in_order)}


class _Stream:
    """What the closed streams have of some rows: before the cut, and since it."""

    def __init__(self, store: SignalStore, cut: Cut, pairs: Sequence[Pair]) -> None:
        self._store = store
        self._cut = cut
        self._scanned = dict(cut.positions)
        self._day = ist_date(cut.at_ms)
        self._recent: dict[Pair, dict[str, Candle]] = {pair: {} for pair in pairs}
        self.later: set[str] = set()
        self.live_from_ms = cut.at_ms
        for entry in store.closed_until(cut.positions, RECENT_ENTRIES):
            candle = entry.candle
            self._note_live(candle)
            if candle is not None and (candle.symbol, candle.timeframe) in self._recent:
                self._recent[candle.symbol, candle.timeframe][candle.id] = candle

    def recent(self, pair: Pair) -> dict[str, Candle]:
        return self._recent[pair]

    def look_for_later(self) -> None:
        """Learn which candles of the past come by the stream after the cut: whatever MongoDB has was there before."""
        while entries := self._store.closed_after(self._scanned, LATER_ENTRIES_AT_ONCE):
            for entry in entries:
                self._scanned[entry.shard] = entry.id
                self._note_live(entry.candle)
                if entry.candle is not None and entry.candle.end_ms <= self._cut.at_ms:
                    self.later.add(entry.candle.id)

    def _note_live(self, candle: Candle | None) -> None:
        """From when on the day's candles are our own: the broker need not be asked for these."""
        if candle is not None and candle.complete and ist_date(candle.start_ms) == self._day:
            self.live_from_ms = min(self.live_from_ms, candle.start_ms)


class WarmUp:
    """One warm-up of some rows. `on_progress(instruments done, of how many, requests made)` may raise to end it."""

    def __init__(
        self,
        store: SignalStore,
        mongo: MongoStore | None,
        history: KiteHistory | None,
        calendar: SessionCalendar,
        on_progress: OnProgress,
    ) -> None:
        self._store = store
        self._mongo = mongo
        self._history = history
        self._calendar = calendar
        self._on_progress = on_progress
        self._errors_in_row = 0
        self._log = structlog.get_logger("warmup")

    def run(
        self,
        engine: SignalEngine,
        instruments: Sequence[Instrument],
        timeframes: Mapping[str, Timeframe],
        pairs: Sequence[Pair],
        cut: Cut,
        last: Collection[str] = (),
    ) -> WarmupResult:
        """Warms the rows that `pairs` names. RedisError, HistoryStopped; MongoDB and the broker may fail.

        Symbols in `last` (those that failed before) come after all others, which they would keep from the broker.
        """
        result, stream = WarmupResult(), _Stream(self._store, cut, pairs)
        wanted: dict[str, list[Timeframe]] = {}
        for symbol, name in pairs:
            wanted.setdefault(symbol, []).append(timeframes[name])
        # By symbol, as MongoDB's keys are: neighbours are there together.
        chosen = [instrument for instrument in instruments if instrument.symbol in wanted]
        chosen.sort(key=lambda instrument: (instrument.symbol in last, instrument.symbol))
        engine.know(chosen)
        for number, instrument in enumerate(chosen):
            self._report(number, len(chosen))
            if number % INSTRUMENTS_AT_ONCE == 0:
                symbols = [listed.symbol for listed in chosen[number : number + INSTRUMENTS_AT_ONCE]]
                held = self._held(
                    [(symbol, timeframe.name) for symbol in symbols for timeframe in wanted[symbol]], cut, stream
                )
                stream.look_for_later()
            self._warm_one(engine, instrument, wanted[instrument.symbol], held, cut, stream, result)
        self._report(len(chosen), len(chosen))
        return result

    def _report(self, done: int, of: int) -> None:
        self._on_progress(done, of, self._history.requests if self._history else 0)

    def _warm_one(
        self,
        engine: SignalEngine,
        instrument: Instrument,
        timeframes: Sequence[Timeframe],
        held_of: Mapping[Pair, dict[str, Candle]],
        cut: Cut,
        stream: _Stream,
        result: WarmupResult,
    ) -> None:
        held = {
            timeframe.name: _on_scale(engine, held_of[instrument.symbol, timeframe.name]) for timeframe in timeframes
        }
        self._give_up_past(engine, instrument.symbol)
        fetched, is_complete = self._fetch(instrument, timeframes, held, cut, stream.live_from_ms, result)
        if fetched:
            stream.look_for_later()
        self._keep(fetched)
        result.fetched += len(fetched)
        for timeframe in timeframes:
            of_row = [candle for candle in fetched if candle.timeframe == timeframe.name]
            engine.warm(instrument.symbol, timeframe.name, with_history(held[timeframe.name], of_row, stream.later))
            (result.done if is_complete else result.again).append((instrument.symbol, timeframe.name))

    def _give_up_past(self, engine: SignalEngine, symbol: str) -> None:
        """Marks it before the broker's rows of the same days are stored, which are on the new scale."""
        for jump in engine.jumps:
            if jump.symbol == symbol and not jump.is_marked:
                self._log.error("price scale changed, older candles are left out", jump=jump.as_text())
                if self._mongo is not None and mark_jump(self._mongo, jump, self._log):
                    engine.note_marked(jump)

    def _held(self, pairs: Sequence[Pair], cut: Cut, stream: _Stream) -> dict[Pair, dict[str, Candle]]:
        found: dict[Pair, list[Candle]] = {}
        if self._mongo is not None:
            try:
                found = self._mongo.newest_of_each(pairs, cut.at_ms, BARS_ASKED + LATER_BARS)
            except StoreError as error:
                self._log.warning("warm-up continues without MongoDB", reason=str(error))
                self._mongo = None
        return {pair: _past([*found.get(pair, ()), *stream.recent(pair).values()], cut) for pair in pairs}

    def _fetch(
        self,
        instrument: Instrument,
        timeframes: Sequence[Timeframe],
        held: Mapping[str, Mapping[str, Candle]],
        cut: Cut,
        live_from_ms: int,
        result: WarmupResult,
    ) -> tuple[list[Candle], bool]:
        """What the broker adds, and whether it gave all that is missing, or as much as it ever will."""
        missing: dict[Timeframe, int] = {}
        for timeframe in timeframes:
            in_order = sorted(held[timeframe.name].values(), key=lambda candle: candle.start_ms)
            from_ms = missing_from(instrument, timeframe, in_order, self._calendar, live_from_ms)
            if from_ms is not None:
                missing[timeframe] = from_ms
        if not missing:
            return [], True
        if self._history is None:
            return [], False
        try:
            fetched = self._ask(self._history, instrument, missing, cut.at_ms)
        except HistoryRefused as error:
            self._log.warning("history is refused", symbol=instrument.symbol, reason=str(error))
            result.refused.append(instrument.symbol)
            return [], True
        except (HistoryDenied, HistoryError) as error:
            self._on_history_error(error)
            result.failed.append(instrument.symbol)
            return [], False
        self._errors_in_row = 0
        known = {key for of_row in held.values() for key in of_row}
        return [candle for candle in fetched if candle.id not in known], True

    def _ask(
        self, history: KiteHistory, instrument: Instrument, missing: Mapping[Timeframe, int], cut_ms: int
    ) -> list[Candle]:
        candles: list[Candle] = []
        from_minutes = {key: from_ms for key, from_ms in missing.items() if is_from_minutes(key)}
        if from_minutes:
            rows = history.rows(instrument, "minute", Span(min(from_minutes.values()), cut_ms))
            for series, from_ms in from_minutes.items():
                wanted, doubtful_ms = [row for row in rows if row[0] >= from_ms], history.doubtful_ms
                made = minute_candles(wanted, instrument, series, self._calendar, cut_ms, doubtful_ms)
                candles += made[-BARS_ASKED:]
        for key, from_ms in missing.items():
            if key.is_day:
                span = Span(ist_midnight_ms(ist_date(from_ms)), cut_ms)
                rows = history.rows(instrument, "day", span)
                candles += day_candles(rows, instrument, key, self._calendar, cut_ms)[-BARS_ASKED:]
        return candles

    def _on_history_error(self, error: Exception) -> None:
        self._errors_in_row += 1
        gives_up = isinstance(error, HistoryDenied) or self._errors_in_row >= ERRORS_IN_ROW
        self._log.warning("history is missing", reason=str(error), continues_without=gives_up)
        if gives_up:
            self._history = None

    def _keep(self, fetched: Sequence[Candle]) -> None:
        if not fetched or self._mongo is None:
            return
        try:
            self._mongo.add_missing_candles([candle.as_document() for candle in fetched])
        except StoreError as error:
            self._log.warning("fetched history is not stored", reason=str(error))
