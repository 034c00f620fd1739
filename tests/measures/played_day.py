"""A simulated session as journal entries, with what each packet was: true, or misprinted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from simulator.dice import Ints
from simulator.faults import Fault
from simulator.frame_faults import FrameFaults
from simulator.jumps import Market
from simulator.looks import Flags
from simulator.market_day import MarketDay, Sending
from simulator.packet_faults import PacketFaults
from simulator.packing import Mode, Modes, pack
from simulator.snapshots import MinutePackets, Packets
from simulator.tape import Tape
from simulator.universe import build_universe
from utils.journal.entries import HEARTBEAT, Entry, EntryId, Kind, subscribed_mark
from utils.market.sessions import SessionCalendar

CALENDAR = SessionCalendar.load()
FOREVER = 1 << 60
GRACE_MS = 60_000


@dataclass(frozen=True)
class Plan:
    """What is played. Minutes are those of the day, `bad_print_share` is of all packets."""

    seed: int
    instruments: int = 80
    day: date = date(2026, 11, 20)
    first_minute: int = 9 * 60
    minutes: int = 60
    faults: frozenset[Fault] = frozenset()
    market: Market = Market.CALM
    bad_print_share: float = 1 / 10_000

    def __str__(self) -> str:
        faults = ",".join(sorted(self.faults)) or "no faults"
        first = f"{self.first_minute // 60:02}:{self.first_minute % 60:02}"
        return (
            f"seed {self.seed}, {self.instruments} instruments, {self.minutes} minutes from {first}, "
            f"{self.market} market, {faults}"
        )


@dataclass(frozen=True)
class SentPackets:
    """The packets of tradables in the order sent, as parallel arrays. Prices in wire integers."""

    row: Ints
    sent_ms: Ints
    exchange_s: Ints
    trade_s: Ints
    price: Ints
    quantity: Ints
    volume: Ints
    day_high: Ints
    day_low: Ints
    bid: Ints
    ask: Ints
    true: Flags
    misprinted: Flags


@dataclass(frozen=True)
class PlayedDay:
    """`without_misprints`: the same entries without their misprinted packets."""

    plan: Plan
    tape: Tape
    from_ms: int
    until_ms: int
    entries: list[Entry]
    without_misprints: list[Entry]
    sent: SentPackets


def played_day(plan: Plan) -> PlayedDay:
    """Plays the plan's session as fast as possible."""
    universe = build_universe(plan.instruments, plan.seed, CALENDAR, plan.day)
    faults = PacketFaults(plan.faults, universe, {Fault.BADPRINT: plan.bad_print_share})
    market_day = MarketDay(universe, CALENDAR, plan.day, faults, plan.market)
    from_ms = market_day.tape.midnight_ms + plan.first_minute * 60_000
    until_ms = from_ms + plan.minutes * 60_000
    market_day.skip_to(from_ms)
    session = _Session(plan, np.full(len(universe), Mode.FULL, dtype=np.uint8))
    session.begin(from_ms, subscribed_mark("full", list(universe.instruments)))
    session.send(from_ms, market_day.last_sent.of_rows(np.arange(len(universe))))
    for sending in _sendings(market_day, plan.minutes):
        session.beat_until(sending.due_ms)
        session.send(sending.due_ms, sending.packets)
    session.beat_until(max(until_ms, session.last_ms) + GRACE_MS)
    market_day.close()
    return PlayedDay(
        plan, market_day.tape, from_ms, until_ms, session.entries, session.without_misprints, session.sent()
    )


def _sendings(market_day: MarketDay, minutes: int) -> Iterator[Sending]:
    for _ in range(minutes):
        coming = market_day.next_minute_when(FOREVER)
        assert coming is not None
        yield from market_day.sendings(coming.result())


@dataclass
class _Session:
    """Records what is sent, as a connector's journal would."""

    plan: Plan
    modes: Modes
    entries: list[Entry] = field(default_factory=list)
    without_misprints: list[Entry] = field(default_factory=list)
    last_ms: int = 0
    _sent: list[tuple[int, Packets]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._frame_faults = FrameFaults(self.plan.faults, self.plan.seed)
        self._id = EntryId(0, 0)

    def begin(self, at_ms: int, mark: bytes) -> None:
        self._write(at_ms, Kind.MARK, mark, mark)

    def beat_until(self, until_ms: int) -> None:
        """Writes a heartbeat for each second that ends."""
        for second in range(self.last_ms // 1000 + 1, until_ms // 1000 + 1):
            self._write(second * 1000, Kind.FRAME, HEARTBEAT, HEARTBEAT)

    def send(self, at_ms: int, packets: MinutePackets) -> None:
        frame, clean = pack(packets, self.modes), pack(_without_misprints(packets), self.modes)
        for touched in self._frame_faults.touched(frame, at_ms) if frame else ():
            self._write(at_ms, Kind.FRAME, touched, clean if touched == frame else touched)
        self._sent.append((at_ms, packets.tradables))

    def _write(self, at_ms: int, kind: Kind, payload: bytes, clean: bytes) -> None:
        self._id, self.last_ms = self._id.after(at_ms), at_ms
        self.entries.append(Entry(self._id, kind, payload))
        if clean:
            self.without_misprints.append(Entry(self._id, kind, clean))

    def sent(self) -> SentPackets:
        parts = [packets for _, packets in self._sent]
        records = np.concatenate([part.records for part in parts])
        sent_ms = np.repeat([at_ms for at_ms, _ in self._sent], [len(part) for part in parts])

        def column(name: str) -> Ints:
            return np.asarray(records[name], dtype=np.int64)

        return SentPackets(
            row=np.concatenate([part.row for part in parts]),
            sent_ms=sent_ms,
            exchange_s=column("exchange_time"),
            trade_s=column("last_trade_time"),
            price=column("last_price"),
            quantity=column("last_quantity"),
            volume=column("volume"),
            day_high=column("day_high"),
            day_low=column("day_low"),
            bid=np.asarray(records["bids"]["price"][:, 0], dtype=np.int64),
            ask=np.asarray(records["asks"]["price"][:, 0], dtype=np.int64),
            true=np.concatenate([part.true for part in parts]),
            misprinted=np.concatenate([part.misprinted for part in parts]),
        )


def _without_misprints(packets: MinutePackets) -> MinutePackets:
    return MinutePackets(
        packets.tradables.select(~packets.tradables.misprinted), packets.indices.select(~packets.indices.misprinted)
    )
