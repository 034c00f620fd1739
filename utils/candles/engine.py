"""The candle engine of one shard: entries in, closed candles and rejections out, and nothing else.

It knows no clock but the entries' ids, so a backlog, a replay and a live day give the same, to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from itertools import chain
from typing import Any, Protocol

import numpy as np
import orjson

from utils.candles.encoding import ClosedRecords, Numbering, Rows
from utils.candles.engine_output import EngineOutput, RejectedPacket
from utils.candles.kernels import closing
from utils.candles.kernels import processing as kernels
from utils.candles.kernels.layout import AWAITS_ANY, PACKET, Array, Reason, Rules, Shard, new_output
from utils.candles.live_view import Hashes, LiveView
from utils.candles.new_hours import apply_grace, apply_hours, rows_with_other_hours
from utils.candles.shard_state import (
    StateError,
    describe,
    grow,
    index_tokens,
    keep_rows,
    new_shard,
    restore,
    set_session,
    snapshot,
)
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, Mark, mark_instruments, read_mark
from utils.market.instruments import Instrument
from utils.market.ist import DAY_MS, ist_date, ist_day, ist_day_start_ms
from utils.market.sessions import Session
from utils.market.timeframes import Timeframe

_KEPT_PACKET_BYTES = 512
_LIVE_AT_ONCE = 1_024  # candles in a portion of the live view: some milliseconds until ticks are taken again


class Calendar(Protocol):
    """What the engine asks of the session table (utils/market/sessions.py)."""

    def for_instrument(self, instrument: Instrument, day: date) -> Session | None: ...

    def is_known(self, day: date) -> bool: ...


class CandleEngine:
    """Candles of one shard. Not safe for threads; `position` is the id of the last entry taken."""

    def __init__(self, timeframes: Sequence[Timeframe], rules: Rules, zscore_window: int, calendar: Calendar) -> None:
        self.timeframes = tuple(timeframes)
        self.position = ZERO_ID
        self.unknown_days: set[date] = set()
        self.new_hours: list[str] = []  # symbols whose hours are others than when the snapshot was made
        self.instruments: list[Instrument] = []
        self._rules = rules
        self._window = zscore_window
        self._calendar = calendar
        self._lengths = [frame.length_ms for frame in timeframes]
        self._rows: dict[str, int] = {}
        self._named_ms: Array = np.zeros(0, np.int64)  # by row: when a `subscribed` mark named it last
        self._shard: Shard = new_shard(self._lengths, zscore_window)
        self._packet = np.zeros(1, PACKET)[0]
        self._day = -1
        self._numbering = Numbering()
        self._output = new_output(0, 0)
        self._who = Rows((), [frame.name for frame in timeframes])
        self._live = LiveView(len(timeframes), _LIVE_AT_ONCE)

    @property
    def shard(self) -> Shard:
        """The state arrays, to be read only."""
        return self._shard

    def process(self, entries: Iterable[Entry]) -> EngineOutput:
        """Take entries in rising order of id; those at or below `position` were taken before and are skipped."""
        output, run = EngineOutput(), list(entries)
        if self._is_one_run(run):
            self.position = run[-1].id
            self._process_run(run, output)
        else:
            self._process_mixed(run, output)
        return output

    def _is_one_run(self, entries: Sequence[Entry]) -> bool:
        """Whether they are all new, of the day that it is, and without a mark: nearly always."""
        if not entries or entries[0].id <= self.position:
            return False
        days = {ist_day(entries[0].id.ms), ist_day(entries[-1].id.ms)}
        return days == {self._day} and Kind.MARK not in [entry.kind for entry in entries]

    def _process_mixed(self, entries: Sequence[Entry], output: EngineOutput) -> None:
        run: list[Entry] = []
        for entry in entries:
            if entry.id <= self.position:
                continue
            self.position = entry.id
            new_day = ist_day(entry.id.ms) != self._day
            if new_day or entry.kind is Kind.MARK:
                self._process_run(run, output)
                run = []
                if new_day:
                    self._begin_day(entry.id, output)
                if entry.kind is Kind.MARK:
                    self._process_mark(entry, output)
            run.append(entry)
        self._process_run(run, output)

    def _process_run(self, run: Sequence[Entry], output: EngineOutput) -> None:
        """Entries of one day; every mark among them has had its effect and now only moves the clock."""
        if not run:
            return
        payloads = [entry.payload if entry.kind is Kind.FRAME else b"" for entry in run]
        data = np.frombuffer(b"".join(payloads) or b"\0", np.uint8)
        bounds = np.cumsum(np.fromiter(chain((0,), map(len, payloads)), np.int64, len(run) + 1))
        ids = np.fromiter(chain.from_iterable([entry.id for entry in run]), np.int64, 2 * len(run)).reshape(-1, 2)
        kinds = np.frombuffer(bytes([_kind_code(entry.kind) for entry in run]), np.uint8)
        longest, taken = max(map(len, payloads)), 0
        while taken < len(run):
            self._make_room(longest)
            taken = kernels.process_entries(
                self._shard, self._rules, self._output, data, bounds, ids, kinds, taken, self._packet
            )
            self._drain(data, output)

    def _make_room(self, longest_frame: int) -> None:
        """Output buffers that hold whatever one entry can cause, and are reused."""
        packets = longest_frame // 10 + 1
        events = kernels.events_of(packets, len(self._lengths)) + self._shard.due.size
        rejections = max(2 * packets, len(self.instruments))
        if len(self._output.heads) < events or len(self._output.rejections) < rejections:
            self._output = new_output(2 * events + 1024, 2 * rejections + 1024)

    def _drain(self, data: Array, output: EngineOutput) -> None:
        events, rejections = self._output.filled.tolist()
        self._output.filled[:] = 0
        if events:
            heads, candles = self._output.heads[:events].copy(), self._output.candles[:events].copy()
            output.records.append(ClosedRecords(self._who, heads, candles, self._numbering.next_events(heads)))
        for n, (ms, counter, reason, token, at, length) in enumerate(self._output.rejections[:rejections].tolist()):
            source, index = self._numbering.next_rejection(EntryId(ms, counter))
            held, begin = at < 0, max(at, 0)
            packet = (self._output.held[n] if held else data)[
                begin : begin + min(length, _KEPT_PACKET_BYTES)
            ].tobytes()
            symbol = self._symbol_of(token)
            output.rejected.append(RejectedPacket(source, index, Reason(reason).name.lower(), token, symbol, packet))

    def _symbol_of(self, token: int) -> str:
        slot = kernels.slot_of(self._shard.token_keys, token)
        if self._shard.token_keys[slot] != token:
            return ""
        return self.instruments[int(self._shard.token_rows[slot])].symbol

    def _begin_day(self, at: EntryId, output: EngineOutput) -> None:
        self._make_room(0)
        day = ist_day(at.ms)
        closing.begin_day(self._shard, self._output, ist_day_start_ms(day), at.ms, at.counter)
        self._drain(_NO_DATA, output)
        self._drop_expired(output)
        self._day = day
        today = ist_date(at.ms)
        if not self._calendar.is_known(today):
            self.unknown_days.add(today)
        for row, instrument in enumerate(self.instruments):
            set_session(self._shard, row, self._calendar.for_instrument(instrument, today))

    def _drop_expired(self, output: EngineOutput) -> None:
        """Rows that the newest `subscribed` mark does not name, nor any mark of the day that is over."""
        day_start_ms = ist_day_start_ms(self._day)
        kept = (self._named_ms == self._named_ms.max(initial=0)) | (self._named_ms >= day_start_ms)
        if kept.all():
            return
        output.gone += [
            instrument for instrument, is_kept in zip(self.instruments, kept.tolist(), strict=True) if not is_kept
        ]
        self.instruments = [
            instrument for instrument, is_kept in zip(self.instruments, kept.tolist(), strict=True) if is_kept
        ]
        self._named_ms = self._named_ms[kept]
        self._shard = keep_rows(self._shard, kept)
        self._know_rows()

    def _process_mark(self, entry: Entry, output: EngineOutput) -> None:
        try:
            mark, named = _mark_and_instruments(entry.payload)
        except ValueError:
            self._reject_mark(entry, output)
            return
        feed = self._shard.feed[0]
        is_gap = mark == Mark.GAP and bool(feed["up"])
        if mark != Mark.CLOCK and feed["up"]:
            self._make_room(0)
            closing.begin_outage(self._shard, self._rules, self._output, entry.id.ms, entry.id.counter)
            self._drain(_NO_DATA, output)
        if mark == Mark.SUBSCRIBED:
            self._name_instruments(named, entry.id.ms)
        elif is_gap:
            self._shard.instruments["awaiting"] = AWAITS_ANY
            self._shard.instruments["day_awaiting"] = 1
        if mark == Mark.SUBSCRIBED or is_gap:
            feed["up"], feed["up_since_ms"], feed["last_frame_ms"] = 1, entry.id.ms, entry.id.ms

    def _reject_mark(self, entry: Entry, output: EngineOutput) -> None:
        """It changes nothing: the packet goes to `ticks.rejected:*`, and its meaning is not guessed."""
        self._shard.rejected[Reason.MARK] += 1
        source, index = self._numbering.next_rejection(entry.id)
        packet = entry.payload[:_KEPT_PACKET_BYTES]
        output.rejected.append(RejectedPacket(source, index, Reason.MARK.name.lower(), 0, "", packet))

    def _name_instruments(self, named: Sequence[Instrument], at_ms: int) -> None:
        """Rows for the instruments of a connection, in their order; each awaits its baseline."""
        today = ist_date(at_ms)
        new = list(
            {instrument.symbol: instrument for instrument in named if instrument.symbol not in self._rows}.values()
        )
        self._rows.update({instrument.symbol: len(self.instruments) + n for n, instrument in enumerate(new)})
        self.instruments.extend(new)
        self._shard = grow(self._shard, len(new))
        self._named_ms = np.concatenate((self._named_ms, np.zeros(len(new), np.int64)))
        for instrument in named:
            row = self._rows[instrument.symbol]
            self.instruments[row] = instrument
            self._named_ms[row] = at_ms
            describe(self._shard, row, instrument)
            apply_hours(self._shard, row, self._calendar.for_instrument(instrument, today), self._rules.grace_ms)
            self._shard.instruments[row]["awaiting"] = AWAITS_ANY
            self._shard.instruments[row]["day_awaiting"] = 1
        self._know_rows()

    def _know_rows(self) -> None:
        self._rows = {instrument.symbol: row for row, instrument in enumerate(self.instruments)}
        self._shard = index_tokens(self._shard, self._named_ms)
        self._who = Rows(self.instruments, self._who.timeframes)
        self._live.forget(len(self.instruments))

    @property
    def rows(self) -> Rows:
        """Who the rows are now."""
        return self._who

    def next_live(self) -> tuple[Hashes, Hashes]:
        """The next portion of what changed in candles and ticks, as far as readers do not know it yet."""
        return self._live.next_portion(self._shard, self._who.divisors)

    @property
    def is_live_round_done(self) -> bool:
        """Whether all rows had their turn, so that the next portion begins a new round."""
        return self._live.is_round_done

    def forget_published(self) -> None:
        """Readers may have nothing any more: whatever changes next is published in full."""
        self._live.forget(len(self.instruments))

    def mark_all_changed(self) -> None:
        """Everything counts as changed: what readers have may be another worker's."""
        self.forget_published()
        shard = self._shard
        shard.instruments["touched"] = shard.latest["receive_ms"] != 0
        for candles in (shard.open, shard.last):
            candles["dirty"] = candles["present"]

    def snapshot(self) -> bytes:
        """The whole state as bytes, with the position it is true for."""
        header: dict[str, object] = {
            "position": str(self.position),
            "day": self._day,
            "instruments": orjson.Fragment(self._who.as_json),
            "named_ms": self._named_ms.tolist(),
            "numbering": self._numbering.as_list(),
        }
        return snapshot(self._shard, header)

    def restore(self, content: bytes) -> None:
        """Continue from a snapshot. StateError when it was made for other timeframes or by another version."""
        shard, header = restore(content, self._lengths, self._window)
        try:
            instruments = [Instrument.from_dict(instrument) for instrument in _listed(header["instruments"])]
            named_ms = np.array(_listed(header["named_ms"]), np.int64)
            position, day = EntryId.parse(str(header["position"])), int(str(header["day"]))
            numbering = Numbering.from_list(_listed(header["numbering"]))
        except (KeyError, ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
            raise StateError(f"the snapshot's first line is damaged: {error!r:.200}") from error
        rows, symbols = len(shard.instruments), {instrument.symbol for instrument in instruments}
        if not len(instruments) == len(named_ms) == len(symbols) == rows:
            raise StateError("the snapshot is damaged: its instruments are not those of its rows")
        self._shard, self.instruments, self._named_ms = shard, instruments, named_ms
        self.position, self._day, self._numbering = position, day, numbering
        self._know_rows()
        self._apply_anew()

    def _apply_anew(self) -> None:
        """What the snapshot took from files and settings, as these are now: grace and hours."""
        apply_grace(self._shard, self._rules.grace_ms)
        if self._day < 0:
            return
        today = ist_date(self._day * DAY_MS)
        sessions = [self._calendar.for_instrument(instrument, today) for instrument in self.instruments]
        for row in rows_with_other_hours(self._shard, sessions):
            apply_hours(self._shard, row, sessions[row], self._rules.grace_ms)
            self.new_hours.append(self.instruments[row].symbol)


def _listed(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"a list was expected, not {value!r:.40}")
    return value


_NO_DATA: Array = np.zeros(0, np.uint8)


def _mark_and_instruments(payload: bytes) -> tuple[str, list[Instrument]]:
    """The kind of the mark, and the instruments it subscribes. ValueError when it cannot be read."""
    content = read_mark(payload)
    mark = str(content["mark"])
    return mark, mark_instruments(content) if mark == Mark.SUBSCRIBED else []


def _kind_code(kind: Kind) -> int:
    """By identity: to look an enum's member up in a dict takes three times as long."""
    if kind is Kind.FRAME:
        return kernels.SERVER_FRAME
    return kernels.SERVER_TEXT if kind is Kind.TEXT else kernels.CONNECTOR_CLOCK
