"""Faults of single packets: withheld, out of order, repeated, badly priced, crossed, reset, of an unknown token.

Each is drawn for (kind, token, slot), so the same seed gives the same faults with any clients.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from simulator.contracts import Shape
from simulator.dice import Floats, Ints, Salt, draw_keys, uniform
from simulator.faults import Fault
from simulator.looks import Flags
from simulator.snapshots import PARTS, MinutePackets, Packets, joined_packets
from simulator.universe import Universe
from utils.market.ist import IST_OFFSET_MS

SHARE = {
    Fault.LATE: 1 / 1_000,
    Fault.DISORDER: 1 / 1_000,
    Fault.DUPLICATE: 1 / 500,
    Fault.BADPRINT: 1 / 10_000,
    Fault.CROSSED: 1 / 10_000,
    Fault.UNKNOWNTOKEN: 1 / 10_000,
}
SHORTEST_DELAY_S, LONGEST_DELAY_S = 5, 40
MIDDLE_SWAPPED_SHARE = 0.05
FAR_TICKS = 20
RESET_SHARE = 0.04
RESET_PART_OF_VOLUME = 0.3
RESET_MINUTES = (600, 870)
UNKNOWN_BIT = 1 << 31
DAY_S = 86_400
IST_OFFSET_S = IST_OFFSET_MS // 1000


class PacketFaults:
    """Applies faults to the packets of each minute of a day; keeps those that are to be sent later."""

    def __init__(
        self, names: Iterable[Fault], universe: Universe, shares: Mapping[Fault, float] | None = None
    ) -> None:
        """`shares`: shares of all packets that differ from those of SHARE."""
        self._on = frozenset(names)
        self._shares = SHARE | dict(shares or {})
        self._universe = universe
        self._numbers = {fault: number for number, fault in enumerate(Fault)}
        self._lowered: Ints = np.zeros(len(universe), dtype=np.int64)
        self._delayed: dict[str, list[Packets]] = {"tradables": [], "indices": []}
        self.counted: Counter[str] = Counter()

    def start_day(self) -> None:
        """Forgets the day before."""
        self._lowered[:] = 0
        self._delayed = {"tradables": [], "indices": []}

    def skip(self, first_second: int, volume: Ints) -> None:
        """Skips a minute that is not sent, except for a volume reset in it."""
        self._reset(first_second, volume)

    def touch(self, packets: MinutePackets, first_second: int, volume: Ints) -> MinutePackets:
        """The packets of the minute from `first_second` on with faults; `volume`: that of each row at its end."""
        if not self._on:
            return packets
        tradables, indices = packets.tradables, packets.indices
        lowered = self._lowered[tradables.row]
        if lowered.any():
            tradables.records["volume"] -= np.minimum(lowered, tradables.records["volume"]).astype(np.uint32)
        self._reset(first_second, volume)
        if Fault.CROSSED in self._on:
            self._cross(tradables)
        until_slot = (first_second + 60) * PARTS
        return MinutePackets(
            self._reordered("tradables", self._misprinted(tradables), until_slot),
            self._reordered("indices", self._misprinted(indices), until_slot),
        )

    def _dice(self, fault: Fault, packets: Packets) -> Floats:
        tokens = self._universe.tokens[packets.row]
        return uniform(draw_keys(self._universe.seed, Salt.FAULT, self._numbers[fault], tokens, packets.slot))

    def _chosen(self, fault: Fault, packets: Packets, among: Flags | None = None) -> Ints:
        """Indices of the packets that a fault changes, counted; none when the fault is off."""
        if fault not in self._on:
            return np.zeros(0, dtype=np.int64)
        struck = self._dice(fault, packets) < self._shares[fault]
        found = np.flatnonzero(struck if among is None else struck & among)
        self.counted[str(fault)] += len(found)
        return found

    # ------------------------------------------------------------------ the content of a packet

    def _reset(self, first_second: int, volume: Ints) -> None:
        """A correction by the exchange: from the next minute on, some rows' volume is lower by a constant."""
        if Fault.RESET not in self._on:
            return
        minute = (first_second + IST_OFFSET_S) % DAY_S // 60
        keys = draw_keys(self._universe.seed, Salt.FAULT, self._numbers[Fault.RESET], self._universe.tokens)
        at = RESET_MINUTES[0] + np.floor(uniform(draw_keys(keys, 1)) * np.ptp(RESET_MINUTES)).astype(np.int64)
        struck = (uniform(keys) < RESET_SHARE) & (at == minute) & (self._universe.shapes != Shape.INDEX)
        struck[0 if self._universe.shapes[0] != Shape.INDEX else 1] |= minute == RESET_MINUTES[0]
        struck &= volume > 0
        self._lowered[struck] = (volume[struck] * RESET_PART_OF_VOLUME).astype(np.int64)
        self.counted[str(Fault.RESET)] += int(struck.sum())

    def _cross(self, packets: Packets) -> None:
        """Sets the best bid above the best ask."""
        there = packets.records["asks"]["price"][:, 0] > 0
        at = self._chosen(Fault.CROSSED, packets, there)
        ask = packets.records["asks"]["price"][at, 0].astype(np.int64)
        packets.records["bids"]["price"][at, 0] = ask + self._universe.tick_wire[packets.row[at]]
        packets.true[at] = False

    def _misprinted(self, packets: Packets) -> Packets:
        """A third of the bad prices is far outside the packet's day range, a third drags it along, a third is 0.

        Far is 10 to 50 % and at least FAR_TICKS, on the tick. The packet after it shows nothing of it: that is how a
        bad print differs from a price that comes first.
        """
        at = self._chosen(Fault.BADPRINT, packets)
        if not len(at):
            return packets
        records, tick = packets.records, self._universe.tick_wire[packets.row[at]]
        dice = self._dice(Fault.BADPRINT, packets)[at] / self._shares[Fault.BADPRINT]
        kind, price = np.floor(dice * 3).astype(np.int64), records["last_price"][at].astype(np.int64)
        distance = np.maximum(price * (10 + at % 40) // 100 // tick, FAR_TICKS) * tick
        up = (np.floor(dice * 3000) % 2 == 0) | (price <= distance)
        records["last_price"][at] = np.where(kind == 2, 0, price + np.where(up, distance, -distance))
        drag = at[kind == 1]
        records["day_high"][drag] = np.maximum(records["day_high"][drag], records["last_price"][drag])
        records["day_low"][drag] = np.minimum(records["day_low"][drag], records["last_price"][drag])
        packets.true[at] = False
        packets.misprinted[at] = True
        return packets

    # ------------------------------------------------------------------ when it is sent

    def _reordered(self, name: str, packets: Packets, until_slot: int) -> Packets:
        """Adds repetitions, unknown tokens and delays; packets due after the minute are kept for later."""
        copies = [self._repeated(packets), self._unknown(packets)]
        self._delay(packets)
        self._swap(packets)
        both = joined_packets([*self._delayed[name], packets, *copies])
        now = both.slot < until_slot
        self._delayed[name] = [both.select(~now)]
        return both.select(now)

    def _repeated(self, packets: Packets) -> Packets:
        at = self._chosen(Fault.DUPLICATE, packets)
        again = _touched(packets.select(at))
        again.slot[:] += (1 + at % 3) * PARTS
        return again

    def _unknown(self, packets: Packets) -> Packets:
        """A copy under a token that no dump names."""
        stranger = _touched(packets.select(self._chosen(Fault.UNKNOWNTOKEN, packets)))
        stranger.records["token"] |= np.uint32(UNKNOWN_BIT)
        return stranger

    def _delay(self, packets: Packets) -> None:
        at = self._chosen(Fault.LATE, packets)
        tokens = self._universe.tokens[packets.row[at]]
        dice = uniform(draw_keys(self._universe.seed, Salt.FAULT, tokens, packets.slot[at]))
        seconds = SHORTEST_DELAY_S + np.floor(dice * (LONGEST_DELAY_S - SHORTEST_DELAY_S + 1)).astype(np.int64)
        packets.slot[at] += seconds * PARTS
        packets.true[at] = False

    def _swap(self, packets: Packets) -> None:
        """Moves packets behind newer ones: from mid-second to the second's last frame, others to the next one's."""
        if Fault.DISORDER not in self._on:
            return
        middle = packets.slot == packets.second * PARTS
        share = np.where(middle, MIDDLE_SWAPPED_SHARE, self._shares[Fault.DISORDER])
        at = np.flatnonzero((self._dice(Fault.DISORDER, packets) < share) & packets.true)
        self.counted[str(Fault.DISORDER)] += len(at)
        packets.slot[at] = (packets.second[at] + np.where(middle[at], 0, 1)) * PARTS + PARTS - 1
        packets.true[at] = False


def _touched(packets: Packets) -> Packets:
    """Marks packets as not true, for the cache to skip them. The arrays are copies already."""
    packets.true[:] = False
    return packets
