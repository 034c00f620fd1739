"""The candles of one shard for one date, as a pure function of its journal (docs/CANDLES.md, in plain Python)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import pandas as pd

from tests.reference.candle import OpenCandle
from tests.reference.checks import rejection
from tests.reference.inputs import Entry, ReferenceInstrument, ReferenceSettings, ist_date, mark_of
from tests.reference.instrument import InstrumentDay
from tests.reference.packets import LENGTHS, decode, split_frame
from tests.reference.readings import Now
from tests.reference.series import CandleSeries, Event

COLUMNS = (
    "symbol",
    "timeframe",
    "start_ms",
    "end_ms",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "oi",
    "vwap",
    "ticks",
    "complete",
    "rev",
    "timed_by",
    "closed",
)
_FAR = 1 << 62


@dataclass(frozen=True)
class ReferenceCandles:
    """The reference's result of a run.

    candles: one row per final candle, in COLUMNS, sorted by symbol, timeframe, start. Prices in the quote currency;
        volume and oi are nullable Int64, vwap is NaN where there is none; `closed` False: still open at the end.
    events: (symbol, timeframe, start_ms, rev) of every published revision, in order.
    rejected: packets (and torn frames) by reason. counts: how often each rule was reached (late, rebased, held, ...);
        held_now: packets that are still held at the end.
    """

    candles: pd.DataFrame
    events: list[Event]
    rejected: Counter[str]
    counts: Counter[str]


def reference_candles(
    entries: Iterable[Entry], instruments: Iterable[ReferenceInstrument], settings: ReferenceSettings
) -> ReferenceCandles:
    """The final candles of the entries, all of one IST date (AssertionError otherwise)."""
    run = ReferenceRun(instruments, settings)
    for entry in entries:
        run.process(Entry(*entry))
    return run.result()


class ReferenceRun:
    """The feed and every instrument of one shard on one date: `process` entries in order, then read `result`."""

    def __init__(self, instruments: Iterable[ReferenceInstrument], settings: ReferenceSettings) -> None:
        self._by_token = {instrument.token: instrument for instrument in instruments}
        self._settings = settings
        self._days: dict[int, InstrumentDay] = {}
        self._date: date | None = None
        self._up_since_ms: int | None = None
        self._last_frame_ms = 0
        self._next_close_ms = _FAR
        self.events: list[Event] = []
        self.rejected: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    def process(self, entry: Entry) -> None:
        day = ist_date(entry.ms)
        assert self._date in (None, day), f"the entries run over two dates: {self._date} and {day}"
        self._date = day
        if entry.kind == "m":
            self._process_mark(entry)
        elif entry.kind in ("f", "t"):
            self._last_frame_ms = entry.ms
            if entry.kind == "f":
                self._process_frame(entry)
        self._close_by_clock(entry.ms)

    def result(self) -> ReferenceCandles:
        self.counts["warned"] = sum(day.window.warned for day in self._days.values())
        self.counts["held_now"] = sum(day.held is not None for day in self._days.values())
        return ReferenceCandles(self._table(), self.events, self.rejected, self.counts)

    # -- the feed ---------------------------------------------------------------------------------------------

    def _process_mark(self, entry: Entry) -> None:
        name, tokens = mark_of(entry.payload)
        if name == "clock" or (name == "gap" and self._up_since_ms is None):
            return
        if self._up_since_ms is not None:
            self._begin_outage()
        if name == "gap":
            self._up_since_ms = self._last_frame_ms = entry.ms
            for token in list(self._days):
                self._await_baseline(token)
        if name == "subscribed":
            self._up_since_ms = self._last_frame_ms = entry.ms
            for token in tokens:
                self._await_baseline(token)

    def _begin_outage(self) -> None:
        self._up_since_ms = None
        self.counts["outages"] += 1
        for series in self._all_series():
            if series.open_candle is not None:
                series.open_candle.complete = False
            last = series.last_closed
            if last is not None and last.complete and self._was_closed_blindly(last):
                last.complete = False
                series.revise(last)

    def _was_closed_blindly(self, last: OpenCandle) -> bool:
        assert last.closed_ms is not None
        needs_feed_until_ms = last.end_ms + self._settings.grace_ms
        return last.closed_ms > self._last_frame_ms and needs_feed_until_ms > self._last_frame_ms

    def _await_baseline(self, token: int) -> None:
        if token not in self._days:
            instrument = self._by_token[token]
            self._days[token] = InstrumentDay(instrument, self._settings, self.events, self.counts)
        self._days[token].awaits_baseline = True
        self._days[token].awaits_day = True

    # -- frames -----------------------------------------------------------------------------------------------

    def _process_frame(self, entry: Entry) -> None:
        packets, is_complete = split_frame(entry.payload)
        for packet in packets:
            self.rejected.update(self._process_packet(packet, entry.ms))
        if not is_complete:
            self.rejected["frame"] += 1

    def _process_packet(self, raw: bytes, received_ms: int) -> list[str]:
        """Reasons of rejection: of the packet itself, or of the held packet that it judges."""
        self.counts["packets"] += 1
        packet = decode(raw)
        if packet is None or packet.length not in LENGTHS:
            return ["length"]
        day = self._days.get(packet.token)
        if day is None:
            return ["token"]
        latest_ms = received_ms + self._settings.skew_ms
        reason = rejection(packet, day.instrument, day.is_baseline(packet), latest_ms)
        if reason is not None:
            return [reason]
        reasons = day.process(packet, Now(received_ms, self._up_since_ms))
        self._note_next_close(day)
        return reasons

    # -- the clock --------------------------------------------------------------------------------------------

    def _note_next_close(self, day: InstrumentDay) -> None:
        for series in day.series:
            if series.open_candle is not None:
                self._next_close_ms = min(self._next_close_ms, series.open_candle.end_ms + self._settings.grace_ms)

    def _close_by_clock(self, now_ms: int) -> None:
        if now_ms < self._next_close_ms:
            return
        grace_ms = self._settings.grace_ms
        for series in self._all_series():
            if series.open_candle is not None and now_ms >= series.open_candle.end_ms + grace_ms:
                series.close(now_ms)
        self._next_close_ms = _FAR
        for day in self._days.values():
            self._note_next_close(day)

    def _all_series(self) -> list[CandleSeries]:
        """Instruments in the order first named, timeframes in the order listed."""
        return [series for day in self._days.values() for series in day.series]

    # -- the table --------------------------------------------------------------------------------------------

    def _table(self) -> pd.DataFrame:
        rows = [_row(series, candle, True) for series in self._all_series() for candle in series.closed]
        rows += [
            _row(series, series.open_candle, False) for series in self._all_series() if series.open_candle is not None
        ]
        table = pd.DataFrame(rows, columns=pd.Index(COLUMNS))
        table = table.astype({"volume": "Int64", "oi": "Int64", "vwap": "float64"})
        key = ["symbol", "timeframe", "start_ms"]
        assert not table.duplicated(key).any(), "the reference made a candle twice"
        return table.sort_values(key, ignore_index=True)


def _row(series: CandleSeries, candle: OpenCandle, closed: bool) -> tuple[object, ...]:
    divisor = series.instrument.divisor
    volume = candle.cum_end - candle.base if candle.has_volume else None
    return (
        series.instrument.symbol,
        series.timeframe,
        candle.start_ms,
        candle.end_ms,
        candle.open / divisor,
        candle.high / divisor,
        candle.low / divisor,
        candle.close / divisor,
        volume,
        candle.oi,
        candle.turnover / volume / divisor if volume else None,
        candle.ticks,
        candle.complete,
        candle.rev,
        "receive" if candle.by_receive else "exchange",
        closed,
    )
