"""The packets that the exchange sends in a minute, and their content.

Each look (simulator/looks.py) that finds something new in an instrument gives a packet, with the second of the look
as its exchange time. As on the real feed, a packet can have a new last price and quantity with all else still old,
the day range is a trade behind, and a change of the book alone moves the exchange time alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from simulator.bars import open_interest
from simulator.contracts import Shape
from simulator.day_book import NO_LOW, DayBook, States
from simulator.dice import Ints, Keys, Salt, draw_keys, uniform
from simulator.looks import LOOKS, Carried, Flags, Looks, Mask, look
from simulator.order_book import fill_book
from simulator.tape import Tape
from utils.kite import frames as wire

PARTS = 4  # a second's packets are sent in at most this many frames, one after the other
IDLE_EVERY_SECONDS = 30
AFTERWARDS_MS = 30 * 60_000
SECONDS = np.arange(60)

Records = np.ndarray[tuple[int], np.dtype[np.void]]


@dataclass(frozen=True, slots=True)
class Packets:
    """Parallel arrays sorted by slot: row, epoch second of the state, slot = send second * PARTS + part.

    Records are in the full layout of tradables or of indices. `true` is False for packets that a fault changed,
    `misprinted` True for packets with a price that a fault made up.
    """

    row: Ints
    second: Ints
    slot: Ints
    true: Flags
    misprinted: Flags
    records: Records

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: Ints | Flags | slice) -> Packets:
        return Packets(*(getattr(self, name.name)[which] for name in fields(self)))

    @classmethod
    def untouched(cls, row: Ints, second: Ints, slot: Ints, records: Records) -> Packets:
        """Packets as the exchange made them, without faults."""
        return cls(row, second, slot, np.ones(len(row), np.bool_), np.zeros(len(row), np.bool_), records)


def joined_packets(parts: list[Packets]) -> Packets:
    """All packets, sorted by slot; within a slot in the order given."""
    slot = np.concatenate([part.slot for part in parts])
    order = np.argsort(slot, kind="stable")
    return Packets(
        row=np.concatenate([part.row for part in parts])[order],
        second=np.concatenate([part.second for part in parts])[order],
        slot=slot[order],
        true=np.concatenate([part.true for part in parts])[order],
        misprinted=np.concatenate([part.misprinted for part in parts])[order],
        records=_stacked([part.records for part in parts])[order],
    )


def _stacked(parts: list[Records]) -> Records:
    """Concatenates as bytes: np.concatenate would turn the wire's big-endian fields into native ones."""
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
    """Constants of each row's day: previous close (the price before the first trade) and its trade time (s)."""

    previous_close: Ints
    last_trade_s: Ints


@dataclass(frozen=True, slots=True)
class Shown:
    """The sources of each packet's fields: price and quantity, day range, and the rest."""

    price: States
    day_range: States
    rest: States

    @classmethod
    def at_once(cls, states: States) -> Shown:
        return cls(states, states, states)

    def select(self, which: Ints) -> Shown:
        return Shown(self.price.select(which), self.day_range.select(which), self.rest.select(which))


class SnapshotMaker:
    """Turns the tape into packets, minute after minute of one day."""

    def __init__(self, tape: Tape, reference: Reference) -> None:
        self._tape = tape
        self._universe = tape.universe
        self._reference = reference
        self._book = DayBook(len(tape.universe))
        self._carried = Carried.nothing(self._book.now)
        self._is_index: Flags = tape.universe.shapes == Shape.INDEX
        self._quote_rate = np.clip(tape.universe.rate * 0.5, 0.02, 0.3)
        starts = [0 if session is None else session.day_start_ms for session in tape.sessions]
        self._start_ms = np.array(starts, dtype=np.int64)
        ends = [0 if session is None else session.day_end_ms + AFTERWARDS_MS for session in tape.sessions]
        self._end_ms = np.array(ends, dtype=np.int64)
        self._oi_high: Ints = np.zeros(len(tape.universe), dtype=np.int64)
        self._oi_low: Ints = np.full(len(tape.universe), NO_LOW, dtype=np.int64)

    @property
    def volume(self) -> Ints:
        """Cumulative volume of each row after the last minute made."""
        return self._book.now.volume

    def skip(self, minute: int, *, is_last: bool) -> None:
        """Applies a minute's trades without packets; with `is_last` also the looks that the next minute needs."""
        states = self._book.advance(self._tape.minute(minute))
        if is_last:
            self._looked_at(minute, states)
        self._interest(minute)

    def everything(self, second: int) -> MinutePackets:
        """One packet of each row whose day has begun, as of its last look, with the exchange time `second`."""
        begun = np.flatnonzero((self._start_ms > 0) & (self._start_ms <= second * 1000))
        shown = Shown.at_once(self._carried.shown.select(begun))
        seconds = np.full(len(begun), second)
        return self._packets(shown, begun, seconds, np.ones(len(begun), dtype=np.int64), second // 60 % 1440)

    def make(self, minute: int) -> MinutePackets:
        """The packets of one minute of the day (0 to 1439)."""
        looks = self._looked_at(minute, self._book.advance(self._tape.minute(minute)))
        first_s = self._first_second(minute)
        row, column = np.nonzero(looks.found | looks.owed | (looks.there & self._changes_of_the_book(first_s)))
        at, before = looks.at[row, column], looks.before[row, column]
        rest = np.where(looks.leads[row, column], before, at)
        shown = Shown(*(looks.table.select(which) for which in (at, looks.range_at[row, column], rest)))
        return self._packets(shown, row, first_s + column // 2, column % 2, minute)

    def _first_second(self, minute: int) -> int:
        return self._tape.midnight_ms // 1000 + minute * 60

    def _looked_at(self, minute: int, states: States) -> Looks:
        universe = self._universe
        looks = look(
            universe.seed, universe.tokens, self._is_index, self._first_second(minute), states, self._carried
        )
        self._carried = looks.carried
        return looks

    def _changes_of_the_book(self, first_s: int) -> Mask:
        """[rows, LOOKS]: looks at a changed book without a trade, and an index's repetition outside its hours."""
        tape, at_ms = self._tape, (first_s + SECONDS[None, :]) * 1000
        open_now = (self._start_ms[:, None] <= at_ms) & (at_ms < self._end_ms[:, None])
        trading = (tape.opening[:, None] <= at_ms) & (at_ms < tape.closing[:, None])
        keys = draw_keys(self._universe.seed, self._universe.tokens[:, None], Salt.QUOTE_CHANGE, first_s + SECONDS)
        rate = self._quote_rate[:, None] * np.where(trading, 1.0, 0.1)
        idle = (SECONDS % IDLE_EVERY_SECONDS == 0)[None, :] & ~trading
        changed = np.zeros((len(self._universe), LOOKS), dtype=np.bool_)
        changed[:, 1::2] = open_now & np.where(self._is_index[:, None], idle, uniform(keys) < rate)
        return changed

    def _packets(self, shown: Shown, row: Ints, second: Ints, half: Ints, minute: int) -> MinutePackets:
        slot = second * PARTS + np.where(half == 0, 0, self._parts(row, second))
        is_index, interest = self._is_index[row], self._interest(minute)
        halves = []
        for which, write in ((~is_index, self._tradables), (is_index, self._indices)):
            some = np.flatnonzero(which)
            records = write(shown.select(some), row[some], second[some], half[some], interest)
            halves.append(joined_packets([Packets.untouched(row[some], second[some], slot[some], records)]))
        return MinutePackets(*halves)

    def _parts(self, row: Ints, second: Ints) -> Ints:
        """The frame of the second that a packet is sent in: usually one frame, now and then two or three."""
        dice = uniform(draw_keys(self._universe.seed, Salt.PART, second))
        frames = 1 + (dice < 0.3) + (dice < 0.1)
        return 1 + self._universe.tokens[row] // 256 % frames

    def _interest(self, minute: int) -> Ints:
        rows = np.arange(len(self._universe))
        today = np.array([self._tape.day.toordinal()])
        oi = open_interest(self._universe, rows, today, np.array([minute]))[:, 0]
        self._oi_high, self._oi_low = np.maximum(self._oi_high, oi), np.minimum(self._oi_low, oi)
        return oi

    def _tradables(self, shown: Shown, row: Ints, second: Ints, half: Ints, interest: Ints) -> Records:
        records, rest = np.zeros(len(row), dtype=wire.FULL), shown.rest
        began, close = rest.open > 0, self._reference.previous_close[row]
        records["token"] = self._universe.tokens[row]
        records["last_price"] = np.where(shown.price.open > 0, shown.price.price, close)
        records["last_quantity"] = shown.price.quantity
        records["average_price"] = np.where(rest.volume > 0, rest.turnover // np.maximum(rest.volume, 1), 0)
        records["volume"] = rest.volume
        records["day_open"] = rest.open
        _write_range(records, shown.day_range)
        records["previous_close"] = close
        records["last_trade_time"] = np.where(began, rest.ms // 1000, self._reference.last_trade_s[row])
        records["oi"] = interest[row]
        records["oi_day_high"], records["oi_day_low"] = self._oi_high[row], self._oi_low[row]
        records["exchange_time"] = second
        around, keys = np.where(began, rest.price, close), self._keys(row, second * 2 + half)
        wider = self._tape.jumps.spread(around, row, second * 1000)
        fill_book(records, keys, around, self._universe.tick_wire[row], self._universe.lots[row], wider)
        return records

    def _indices(self, shown: Shown, row: Ints, second: Ints, half: Ints, interest: Ints) -> Records:
        del half, interest
        records, states = np.zeros(len(row), dtype=wire.INDEX_FULL), shown.rest
        close = self._reference.previous_close[row]
        price = np.where(states.open > 0, states.price, close)
        records["token"] = self._universe.tokens[row]
        records["last_price"] = price
        records["day_open"] = states.open
        _write_range(records, shown.day_range)
        records["previous_close"] = close
        records["change"] = price - close
        records["exchange_time"] = second
        return records

    def _keys(self, row: Ints, look: Ints) -> Keys:
        return draw_keys(self._universe.seed, self._universe.tokens[row], look)


def _write_range(records: Records, states: States) -> None:
    records["day_high"] = states.high
    records["day_low"] = np.where(states.low == NO_LOW, 0, states.low)
