"""Bytes as a session: entries of one shard, and moments at which its engine is replaced from a snapshot."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from tests.fuzz.byte_reader import ByteReader
from tests.reference.case_building import CURRENCY, FNO_STOCK, FUTURE, INDEX, STOCK, CaseInstrument, at, pack
from utils.journal.entries import Entry, EntryId, Kind

WHO = (STOCK, FNO_STOCK, INDEX, FUTURE, CURRENCY)
MOST_ENTRIES = 120
STEPS_MS = (0, 1, 40, 900, 1_000, 2_999, 3_000, 7_000, 61_000, 300_000, 5_400_000, 86_400_000)
START_MS = at("09:14:00")


@dataclass
class Program:
    """Entries in parts; after each part the engine is restored from its snapshot."""

    parts: list[list[Entry]] = field(default_factory=lambda: [[]])

    @property
    def entries(self) -> list[Entry]:
        return [entry for part in self.parts for entry in part]


def read_program(data: bytes) -> Program:
    return _Writer(ByteReader(data)).run()


@dataclass
class _Quoted:
    """The state of one instrument's made-up market: packets near it pass the checks and reach the candles."""

    price: int
    volume: int = 0
    trade_s: int = 0
    high: int = 0
    low: int = 0


class _Writer:
    def __init__(self, reader: ByteReader) -> None:
        self._reader = reader
        self._program = Program()
        self._ms, self._counter = START_MS, -1
        self._quoted = {who.token: _Quoted(90 * who.reference.divisor) for who in WHO}
        self._steps: tuple[Callable[[], None], ...] = (
            self._market_frame,
            self._market_frame,
            self._market_frame,
            self._subscribe,
            self._step,
            self._free_packets,
            self._free_entry,
            self._known_mark,
            self._snapshot,
            self._long_step,
        )

    def run(self) -> Program:
        if not self._reader.byte() % 8:
            self._subscribe()
        while not self._reader.is_empty and sum(map(len, self._program.parts)) < MOST_ENTRIES:
            self._reader.pick(self._steps)()
        return self._program

    def _add(self, kind: Kind, payload: bytes) -> None:
        self._counter += 1
        self._program.parts[-1].append(Entry(EntryId(self._ms, self._counter), kind, payload))

    def _advance(self, step_ms: int) -> None:
        if step_ms:
            self._ms, self._counter = self._ms + step_ms, -1

    def _step(self) -> None:
        self._advance(self._reader.pick(STEPS_MS[:9]))

    def _long_step(self) -> None:
        self._advance(self._reader.pick(STEPS_MS))

    def _snapshot(self) -> None:
        self._program.parts.append([])

    def _subscribe(self) -> None:
        chosen = self._reader.byte() or 255
        named = [dict(who.mark) for n, who in enumerate(WHO) if chosen >> n & 1]
        self._add(Kind.MARK, json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode())

    def _known_mark(self) -> None:
        name = self._reader.pick(("clock", "up", "down"))
        self._add(Kind.MARK, json.dumps({"mark": name}).encode())

    def _free_entry(self) -> None:
        kind = self._reader.pick(tuple(Kind))
        self._add(kind, self._reader.read(self._reader.byte() * 2))

    def _free_packets(self) -> None:
        """Packets of a right length and token, whose fields are anything."""
        frame = pack(*(self._free_packet() for _ in range(1 + self._reader.below(3))))
        self._add(Kind.FRAME, frame[: -self._reader.byte() % 8 or None])

    def _free_packet(self) -> bytes:
        length = self._reader.pick((184, 184, 44, 32, 28, 8, 4, 0, 100))
        body = struct.pack(">I", self._reader.pick(WHO).token) + self._reader.read(max(0, min(length, 64) - 4))
        return body.ljust(length, b"\0")[:length]

    def _market_frame(self) -> None:
        self._advance(self._reader.pick(STEPS_MS[:7]))
        packets = [self._market_packet(self._reader.pick(WHO)) for _ in range(1 + self._reader.below(3))]
        self._add(Kind.FRAME, pack(*packets))

    def _market_packet(self, who: CaseInstrument) -> bytes:
        reader, quoted = self._reader, self._quoted[who.token]
        moved = reader.byte()
        leads, lags = moved % 16 == 3, moved % 16 in (3, 5)  # as the real feed: price first, range a packet late
        quoted.price += (moved - 128) * max(1, who.reference.tick_units) // 16
        before = replace(quoted)
        quoted.volume = max(0, quoted.volume + reader.pick((0, 0, 1, 5, 100, 70_000, -1, -60, -100_000)))
        exchange_s = self._ms // 1000 - reader.pick((0, 0, 0, 1, 5, 30, 65, 130, 700))
        quoted.trade_s = exchange_s - reader.pick((0, 0, 0, 1, 2, 59, 3_600))
        if leads:
            quoted.volume, quoted.trade_s = before.volume, before.trade_s
        spread = reader.pick((0, 0, 1, 7)) * max(1, who.reference.tick_units)
        quoted.high = max(quoted.high, quoted.price + spread)
        quoted.low = min(quoted.low or quoted.price, quoted.price - spread)
        shown = replace(quoted, high=before.high, low=before.low) if lags else quoted
        return _packet(who, shown, exchange_s, reader.pick(_LENGTHS))


_LENGTHS = ("full", "full", "full", "full", "full", "quote", "ltp")


def _packet(who: CaseInstrument, quoted: _Quoted, exchange_s: int, length: str) -> bytes:
    price, high, low = (value % (1 << 32) for value in (quoted.price, quoted.high, quoted.low))
    if length == "ltp":
        return struct.pack(">2I", who.token, price)
    if who.reference.is_index:
        head = struct.pack(">7I", who.token, price, high, low, low, 0, 0)
        return head + struct.pack(">I", exchange_s) if length == "full" else head
    head = struct.pack(">11I", who.token, price, 1, price, quoted.volume % (1 << 32), 0, 0, low, high, low, 0)
    if length == "quote":
        return head
    return (head + struct.pack(">5I", quoted.trade_s, quoted.volume % 977, 0, 0, exchange_s)).ljust(184, b"\0")


def as_bytes(*choices: int | bytes) -> bytes:
    """A hand-written program: numbers are bytes."""
    return b"".join(bytes([choice]) if isinstance(choice, int) else choice for choice in choices)


def busy_program(instruments: Iterator[int], frames: int) -> bytes:
    """A program that trades the instruments in turn, a frame each three seconds, from the open on."""
    steps = [as_bytes(0, 6, 0, next(instruments), 127 + n % 4 * 16, 3 + n % 3, 0, 0, n % 3, 0) for n in range(frames)]
    return as_bytes(0, 31, 4, 8, *steps)
