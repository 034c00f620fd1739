"""Which snapshots the exchange sends in a minute, and what is in them.

Each market second, each instrument in which something changed gets a packet with its state at the end of that
second; sometimes one from the middle of the second too. Both carry the second as their exchange time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.bars import open_interest
from simulator.contracts import Shape
from simulator.day_book import NO_LOW, DayBook, States
from simulator.dice import Ints, Keys, Salt, draw_keys, uniform
from simulator.order_book import fill_book
from simulator.tape import Tape
from utils import kite_frames as wire

PARTS = 4  # a second's packets go out in at most so many frames, one after the other
MIDDLE_SHARE = 0.3
IDLE_EVERY_SECONDS = 30
AFTERWARDS_MS = 30 * 60_000
SECONDS = np.arange(60)

Flags = np.ndarray[tuple[int], np.dtype[np.bool_]]
Records = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True, slots=True)
class Packets:
    """Parallel columns sorted by slot: row, epoch second of the state, slot = send second * PARTS + part.

    Records are in the full layout of tradables or of indices. `true` is False for what a fault has touched.
    """

    row: Ints
    second: Ints
    slot: Ints
    true: Flags
    records: Records

    def __len__(self) -> int:
        return len(self.row)

    def taken(self, which: Ints | Flags | slice) -> Packets:
        return Packets(self.row[which], self.second[which], self.slot[which], self.true[which], self.records[which])


def joined_packets(parts: list[Packets]) -> Packets:
    """All of them, sorted by slot; within a slot in the order given."""
    slot = np.concatenate([part.slot for part in parts])
    order = np.argsort(slot, kind="stable")
    return Packets(
        row=np.concatenate([part.row for part in parts])[order],
        second=np.concatenate([part.second for part in parts])[order],
        slot=slot[order],
        true=np.concatenate([part.true for part in parts])[order],
        records=_stacked([part.records for part in parts])[order],
    )


def _stacked(parts: list[Records]) -> Records:
    """np.concatenate would turn the wire's big-endian fields into the machine's own."""
    stacked: Records = np.empty(sum(map(len, parts)), dtype=parts[0].dtype)
    np.concatenate([part.view(np.uint8) for part in parts], out=stacked.view(np.uint8))
    return stacked


@dataclass(frozen=True, slots=True)
class MinutePackets:
    """A minute's packets: those of tradables and those of indices."""

    tradables: Packets
    indices: Packets


@dataclass(frozen=True, slots=True)
class Reference:
    """Per row what stays for the day: previous close, last price before the first trade, and its trade time (s)."""

    previous_close: Ints
    last_trade_s: Ints


class SnapshotMaker:
    """Turns the tape into packets, minute after minute of one day."""

    def __init__(self, tape: Tape, reference: Reference) -> None:
        self._tape = tape
        self._universe = tape.universe
        self._reference = reference
        self._book = DayBook(len(tape.universe))
        self._is_index: Flags = tape.universe.shapes == Shape.INDEX
        self._quote_rate = np.clip(tape.universe.rate * 0.5, 0.02, 0.3)
        starts = [0 if one is None else one.day_start_ms for one in tape.sessions]
        self._start_ms = np.array(starts, dtype=np.int64)
        ends = [0 if one is None else one.day_end_ms + AFTERWARDS_MS for one in tape.sessions]
        self._end_ms = np.array(ends, dtype=np.int64)
        self._oi_high: Ints = np.zeros(len(tape.universe), dtype=np.int64)
        self._oi_low: Ints = np.full(len(tape.universe), NO_LOW, dtype=np.int64)

    @property
    def volume(self) -> Ints:
        """Cumulative volume of each row after the last minute made."""
        return self._book.now.volume

    def skip(self, minute: int) -> None:
        """Take a minute's trades without sending any."""
        self._book.advance(self._tape.minute(minute))
        self._interest(minute)

    def everything(self, second: int) -> MinutePackets:
        """One packet of each row that trades today and has begun, as if it had last changed at `second`."""
        begun = np.flatnonzero((self._start_ms > 0) & (self._start_ms <= second * 1000))
        return self._packets(self._book.now, begun, begun, np.full(len(begun), second), second // 60 % 1440)

    def make(self, minute: int) -> MinutePackets:
        """The packets of one minute of the day (0 to 1439)."""
        trades = self._tape.minute(minute)
        states = self._book.advance(trades)
        first_s = self._tape.midnight_ms // 1000 + minute * 60
        changed = self._changed(first_s, states)
        state_key = states.row * (1 << 20) + np.clip(states.ms - first_s * 1000, -1, None) + 1
        row, second, middle = self._chosen(states, changed, first_s)
        until = row * (1 << 20) + (second - first_s) * 1000 + np.where(middle, 500, 1000)
        return self._packets(states, np.searchsorted(state_key, until, side="right") - 1, row, second, minute, middle)

    def _changed(self, first_s: int, states: States) -> Flags:
        """[rows, 60]: in which seconds something is worth a packet."""
        changed = self._quotes(first_s)
        traded = states.ms >= first_s * 1000
        changed[states.row[traded], states.ms[traded] // 1000 - first_s] = True
        return changed

    def _quotes(self, first_s: int) -> Flags:
        """Changes without a trade: of the book, and an index's idle repetition outside its hours."""
        tape, at_ms = self._tape, (first_s + SECONDS[None, :]) * 1000
        open_now = (self._start_ms[:, None] <= at_ms) & (at_ms < self._end_ms[:, None])
        trading = (tape.opening[:, None] <= at_ms) & (at_ms < tape.closing[:, None])
        keys = draw_keys(self._universe.seed, self._universe.tokens[:, None], Salt.QUOTE_CHANGE, first_s + SECONDS)
        rate = self._quote_rate[:, None] * np.where(trading, 1.0, 0.1)
        idle = (SECONDS % IDLE_EVERY_SECONDS == 0)[None, :] & ~trading
        changed: Flags = open_now & np.where(self._is_index[:, None], idle, uniform(keys) < rate)
        return changed

    def _chosen(self, states: States, changed: Flags, first_s: int) -> tuple[Ints, Ints, Flags]:
        """Rows and seconds of the packets, and which of them show the middle of their second."""
        row, at = np.nonzero(changed)
        half = np.zeros(changed.shape, dtype=np.int64)
        fresh = states.ms >= first_s * 1000
        offset = states.ms[fresh] - first_s * 1000
        np.bitwise_or.at(half, (states.row[fresh], offset // 1000), 1 + (offset % 1000 >= 500))
        keys = draw_keys(self._universe.seed, self._universe.tokens[row], Salt.MIDDLE, first_s + at)
        twice = np.flatnonzero((half[row, at] == 3) & (uniform(keys) < MIDDLE_SHARE) & ~self._is_index[row])
        rows, seconds = np.concatenate((row, row[twice])), np.concatenate((at, at[twice])) + first_s
        middle = np.zeros(len(rows), dtype=np.bool_)
        middle[len(row) :] = True
        return rows, seconds, middle

    def _packets(
        self, states: States, at: Ints, row: Ints, second: Ints, minute: int, middle: Flags | None = None
    ) -> MinutePackets:
        shown = states.taken(at)
        slot = second * PARTS + self._parts(row, second, middle)
        is_index, true = self._is_index[row], np.ones(len(row), dtype=np.bool_)
        interest = self._interest(minute)
        halves = []
        for which, write in ((~is_index, self._tradables), (is_index, self._indices)):
            some = np.flatnonzero(which)
            records = write(shown.taken(some), row[some], second[some], interest)
            halves.append(joined_packets([Packets(row[some], second[some], slot[some], true[some], records)]))
        return MinutePackets(*halves)

    def _parts(self, row: Ints, second: Ints, middle: Flags | None) -> Ints:
        """In which of the second's frames a packet goes: usually one frame, now and then two or three."""
        dice = uniform(draw_keys(self._universe.seed, Salt.PART, second))
        frames = 1 + (dice < 0.3) + (dice < 0.1)
        part = 1 + self._universe.tokens[row] // 256 % frames
        return part if middle is None else np.where(middle, 0, part)

    def _interest(self, minute: int) -> Ints:
        rows = np.arange(len(self._universe))
        today = np.array([self._tape.day.toordinal()])
        oi = open_interest(self._universe, rows, today, np.array([minute]))[:, 0]
        self._oi_high, self._oi_low = np.maximum(self._oi_high, oi), np.minimum(self._oi_low, oi)
        return oi

    def _tradables(self, shown: States, row: Ints, second: Ints, interest: Ints) -> Records:
        records = np.zeros(len(row), dtype=wire.FULL)
        began = shown.open > 0
        price = np.where(began, shown.price, self._reference.previous_close[row])
        records["token"] = self._universe.tokens[row]
        records["last_price"] = price
        records["last_quantity"] = shown.quantity
        records["average_price"] = np.where(shown.volume > 0, shown.turnover // np.maximum(shown.volume, 1), 0)
        records["volume"] = shown.volume
        records["day_open"], records["day_high"] = shown.open, shown.high
        records["day_low"] = np.where(shown.low == NO_LOW, 0, shown.low)
        records["previous_close"] = self._reference.previous_close[row]
        records["last_trade_time"] = np.where(began, shown.ms // 1000, self._reference.last_trade_s[row])
        records["oi"] = interest[row]
        records["oi_day_high"], records["oi_day_low"] = self._oi_high[row], self._oi_low[row]
        records["exchange_time"] = second
        fill_book(records, self._keys(row, second), price, self._universe.tick_wire[row], self._universe.lots[row])
        return records

    def _indices(self, shown: States, row: Ints, second: Ints, interest: Ints) -> Records:
        del interest
        records = np.zeros(len(row), dtype=wire.INDEX_FULL)
        close = self._reference.previous_close[row]
        price = np.where(shown.open > 0, shown.price, close)
        records["token"] = self._universe.tokens[row]
        records["last_price"] = price
        records["day_open"], records["day_high"] = shown.open, shown.high
        records["day_low"] = np.where(shown.low == NO_LOW, 0, shown.low)
        records["previous_close"] = close
        records["change"] = price - close
        records["exchange_time"] = second
        return records

    def _keys(self, row: Ints, second: Ints) -> Keys:
        return draw_keys(self._universe.seed, self._universe.tokens[row], second)
