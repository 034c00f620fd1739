"""The simulated market's past, written into MongoDB while the demo's processes start, so that indicators are warm.

The bars come from the simulator's own history (what its REST answers would hold) without the broker's three requests
a second, and are stored as the signal worker stores what it fetches: source `history`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from datetime import date, timedelta
from typing import Any, Self

from commands.shared.picture import Step
from simulator.bars import Bars
from simulator.history import History, Interval
from simulator.tape import Tape
from utils.indicators.parameters import DEFAULT_PARAMETERS
from utils.market.candle import Candle, Source, TimedBy
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import ist_date, ist_midnight_ms
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import Timeframe
from utils.stores.mongo import MongoStore, RefusedDocument

# Some more than settles every indicator, so that the workers need not ask the exchange for more.
BARS_WANTED = DEFAULT_PARAMETERS.bars_to_settle + 5
MOST_WITH_HISTORY = 500  # some minutes of writing: more would be no demo
_DERIVATIVES = (
    SessionClass.EQUITY_DERIVATIVE,
    SessionClass.INDEX_DERIVATIVE,
    SessionClass.CURRENCY,
    SessionClass.COMMODITY,
)


def store_history(
    tape: Tape,
    calendar: SessionCalendar,
    timeframes: Sequence[Timeframe],
    until_ms: int,
    store: MongoStore,
    progress: Callable[[int, int], None],
) -> int:
    """Writes the last BARS_WANTED candles over by `until_ms`, of each timeframe and instrument (at most the first
    MOST_WITH_HISTORY); returns how many.

    `progress` is called with instruments done and in all. StoreError when MongoDB does not accept them.
    """
    history = History(tape.universe, calendar, tape)
    written, instruments = 0, min(len(tape.universe), MOST_WITH_HISTORY)
    with ThreadPoolExecutor(1) as writing:  # MongoDB writes one instrument while the next one is drawn
        write: Future[list[RefusedDocument]] | None = None
        # The longest first: the days that the others need are drawn by then.
        by_length = sorted(timeframes, key=lambda timeframe: (not timeframe.is_day, -timeframe.length_ms))
        for row in range(instruments):
            candles = _candles_of(history, row, tape, calendar, by_length, until_ms)
            documents = [candle.as_document() for candle in candles]
            if write is not None:
                write.result()
            write = writing.submit(store.add_missing_candles, documents)  # never over a live one
            written += len(documents)
            progress(row + 1, instruments)
        if write is not None:
            write.result()
    return written


class HistoryWriting:
    """`store_history` in a thread of its own; `with` ends it before its next instrument."""

    def __init__(
        self, tape: Tape, calendar: SessionCalendar, timeframes: Sequence[Timeframe], until_ms: int, store: MongoStore
    ) -> None:
        self._instruments = len(tape.universe)
        self._done, self._of = 0, min(self._instruments, MOST_WITH_HISTORY)
        self._is_cancelled = False
        self._began = self._ended = time.monotonic()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="history")
        self._written = self._pool.submit(
            store_history, tape, calendar, timeframes, until_ms, store, self._on_progress
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_cancelled = True
        self._pool.shutdown()

    @property
    def is_over(self) -> bool:
        return self._written.done()

    @property
    def is_partial(self) -> bool:
        """Whether there are instruments without a past."""
        return self._of < self._instruments

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return self._ended - self._began

    @property
    def step(self) -> Step:
        return Step("history", self._done, self._of, f"{self._done} of {self._of} instruments")

    def result(self) -> int:
        """How many candles were written; waits for the end. StoreError when MongoDB did not accept them."""
        return self._written.result()

    def _on_progress(self, done: int, _of: int) -> None:
        self._done, self._ended = done, time.monotonic()
        if self._is_cancelled:
            raise CancelledError


def _candles_of(
    history: History,
    row: int,
    tape: Tape,
    calendar: SessionCalendar,
    timeframes: Sequence[Timeframe],
    until_ms: int,
) -> Iterator[Candle]:
    instrument, divisor = tape.universe.instruments[row], int(tape.universe.divisor[row])
    for timeframe in timeframes:
        first = _first_day(calendar, instrument, timeframe, tape.day)
        bars = history.candles(row, Interval(timeframe, 0), ist_midnight_ms(first), until_ms, until_ms)
        candles = _as_candles(bars, instrument, timeframe, divisor, calendar)
        yield from (candle for candle in candles if candle.end_ms <= until_ms)


def _first_day(calendar: SessionCalendar, instrument: Instrument, timeframe: Timeframe, day: date) -> date:
    """Far enough back for BARS_WANTED candles, sessions of the instrument's length assumed."""
    session = calendar.for_instrument(instrument, day)
    length_ms = session.close_ms - session.open_ms if session is not None else 22_500_000
    a_day = 1 if timeframe.is_day else math.ceil(length_ms / timeframe.length_ms)
    trading_days = math.ceil(BARS_WANTED / a_day)
    return day - timedelta(days=math.ceil(trading_days * 7 / 5) + trading_days // 20 + 5)


def _as_candles(
    bars: Bars, instrument: Instrument, timeframe: Timeframe, divisor: int, calendar: SessionCalendar
) -> Iterator[Candle]:
    has_oi = instrument.session_class in _DERIVATIVES
    columns = (column[-BARS_WANTED:].tolist() for column in bars.columns())
    for start_ms, *prices, volume, oi in zip(*columns, strict=True):
        session = calendar.for_instrument(instrument, ist_date(start_ms))
        if session is None:
            continue
        values: list[Any] = [price / divisor for price in prices]
        day_end_ms = session.day_end_ms if timeframe.is_day else session.close_ms
        yield Candle(
            symbol=instrument.symbol,
            timeframe=timeframe.name,
            token=instrument.token,
            start_ms=session.open_ms if timeframe.is_day else start_ms,
            end_ms=day_end_ms if timeframe.is_day else min(start_ms + timeframe.length_ms, day_end_ms),
            open=values[0],
            high=values[1],
            low=values[2],
            close=values[3],
            volume=None if instrument.is_index else volume,
            oi=oi if has_oi else None,
            vwap=None,
            ticks=0,
            complete=True,
            source=Source.HISTORY,
            rev=0,
            timed_by=TimedBy.EXCHANGE,
        )
