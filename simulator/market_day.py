"""One day being played: the tape, the last packet sent of each row, and the packets to send with their times."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.bars import Bars
from simulator.contracts import Shape
from simulator.dice import Ints, Salt, draw_keys, uniform
from simulator.history import History
from simulator.jumps import Market
from simulator.looks import Flags
from simulator.order_book import fill_book
from simulator.packet_faults import PacketFaults
from simulator.packing import slot_slice
from simulator.snapshots import PARTS, MinutePackets, Packets, Records, Reference, SnapshotMaker
from simulator.tape import MINUTES_A_DAY, Tape
from simulator.universe import Universe
from utils.kite import frames as wire
from utils.market.sessions import SessionCalendar

TIMELESS_SHARE = 1 / 3
FIRST_LATENCY_MS, LATENCY_SPREAD_MS, PART_GAP_MS = 300, 600, 80


@dataclass(frozen=True, slots=True)
class Sending:
    """Packets that go out together, at `due_ms` of market time."""

    due_ms: int
    packets: MinutePackets


class LastSent:
    """The newest true packet of each row: the answer to a new subscription.

    Until its first trade of the day, a third of the tradables is answered with yesterday's price, range and trade
    time, the volume 0 and the exchange time 0, as the broker's cache was recorded on a morning.
    """

    def __init__(self, universe: Universe, bars: list[Bars], last_trade_s: Ints, day: date) -> None:
        self._is_index = universe.shapes == Shape.INDEX
        dice = uniform(draw_keys(universe.seed, universe.tokens, day.toordinal(), Salt.TIMELESS))
        self._timeless = ~self._is_index & (dice < TIMELESS_SHARE)
        self.tradables: Records = np.zeros(len(universe), dtype=wire.FULL)
        self.indices: Records = np.zeros(len(universe), dtype=wire.INDEX_FULL)
        for row, bar in enumerate(bars):
            if len(bar):
                self._remember_bar(row, bar)
        for records in (self.tradables, self.indices):
            records["token"] = universe.tokens
            records["exchange_time"] = last_trade_s
        self.tradables["last_trade_time"] = last_trade_s
        keys = draw_keys(universe.seed, universe.tokens)
        price = self.tradables["last_price"].astype(np.int64)
        fill_book(self.tradables, keys, price, universe.tick_wire, universe.lots)
        for name in ("exchange_time", "volume"):
            self.tradables[name][self._timeless] = 0

    def _remember_bar(self, row: int, bar: Bars) -> None:
        """Yesterday's bar as yesterday's last packet."""
        for record in (self.tradables[row], self.indices[row]):
            record["last_price"] = record["previous_close"] = bar.close[0]
            record["day_open"], record["day_high"], record["day_low"] = bar.open[0], bar.high[0], bar.low[0]
        tradable = self.tradables[row]
        tradable["volume"], tradable["average_price"] = bar.volume[0], (bar.high[0] + bar.low[0]) // 2
        tradable["last_quantity"] = min(int(bar.volume[0]), 1)
        tradable["oi"] = tradable["oi_day_high"] = tradable["oi_day_low"] = bar.oi[0]

    def update(self, packets: MinutePackets) -> None:
        """Stores the packets just sent, except those that a fault touched."""
        cold = self._timeless[packets.tradables.row] & (packets.tradables.records["volume"] == 0)
        self._remember(packets.tradables, packets.tradables.true & ~cold, self.tradables)
        self._remember(packets.indices, packets.indices.true, self.indices)

    def _remember(self, some: Packets, which: Flags, records: Records) -> None:
        records[some.row[which]] = some.records[which]

    def of_rows(self, rows: Ints) -> MinutePackets:
        """The packets that answer a subscription to these rows."""
        index = self._is_index[rows]
        return MinutePackets(_unslotted(rows[~index], self.tradables), _unslotted(rows[index], self.indices))


def _unslotted(rows: Ints, records: Records) -> Packets:
    zeros = np.zeros(len(rows), dtype=np.int64)
    return Packets.untouched(rows, zeros, zeros, records[rows])


class MarketDay:
    """Plays one date. A thread makes the minutes one ahead and in order: nothing depends on the pace."""

    def __init__(
        self,
        universe: Universe,
        calendar: SessionCalendar,
        day: date,
        faults: PacketFaults,
        market: Market = Market.CALM,
    ) -> None:
        self.universe = universe
        self.tape = Tape(universe, calendar, day, market)
        self.history = History(universe, calendar, self.tape)
        bars = self.history.previous_day_bars()
        last_trade_s = _last_trade_seconds(universe, calendar, day)
        closes = np.array([int(bar.close[0]) if len(bar) else 0 for bar in bars], dtype=np.int64)
        self._maker = SnapshotMaker(self.tape, Reference(closes, last_trade_s))
        self.last_sent = LastSent(universe, bars, last_trade_s, day)
        self._faults = faults
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="minutes")
        self._minute = 0
        self._coming: Future[MinutePackets] | None = None

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def skip_to(self, now_ms: int) -> None:
        """Runs through the day up to the minute of `now_ms` without sending anything."""
        minute = min(max((now_ms - self.tape.midnight_ms) // 60_000, 0), MINUTES_A_DAY)
        while self._minute < minute:
            self._maker.skip(self._minute, is_last=self._minute == minute - 1)
            self._faults.skip(self._first_second(self._minute), self._maker.volume)
            self._minute += 1
        if minute:
            self.last_sent.update(self._maker.everything(self._first_second(minute) - 1))
        self._order_next()

    def next_minute_when(self, now_ms: int) -> Future[MinutePackets] | None:
        """The packets of the next minute, once `now_ms` has reached it; orders the one after."""
        if self._coming is None or now_ms < self.tape.midnight_ms + (self._minute - 1) * 60_000:
            return None
        coming = self._coming
        self._order_next()
        return coming

    def _order_next(self) -> None:
        self._coming = self._pool.submit(self._make, self._minute) if self._minute < MINUTES_A_DAY else None
        self._minute += 1

    def _make(self, minute: int) -> MinutePackets:
        return self._faults.touch(self._maker.make(minute), self._first_second(minute), self._maker.volume)

    def _first_second(self, minute: int) -> int:
        return self.tape.midnight_ms // 1000 + minute * 60

    def sendings(self, packets: MinutePackets) -> Iterator[Sending]:
        """A minute's packets slot by slot, each with the time it is due."""
        slots = np.union1d(packets.tradables.slot, packets.indices.slot)
        latency = uniform(draw_keys(self.universe.seed, Salt.LATENCY, slots // PARTS))
        due = (slots // PARTS + 1) * 1000 + FIRST_LATENCY_MS + np.rint(latency * LATENCY_SPREAD_MS).astype(np.int64)
        due += slots % PARTS * PART_GAP_MS
        for slot, due_ms in zip(slots.tolist(), due.tolist(), strict=True):
            halves = (slot_slice(packets.tradables, slot), slot_slice(packets.indices, slot))
            yield Sending(due_ms, MinutePackets(*halves))


def _last_trade_seconds(universe: Universe, calendar: SessionCalendar, day: date) -> Ints:
    """The last second of each row's trading day before `day`."""
    found = []
    for instrument in universe.instruments:
        before = calendar.previous_trading_day(instrument.session_class, day)
        session = calendar.for_instrument(instrument, before)
        found.append(0 if session is None else session.close_ms // 1000 - 1)
    return np.array(found, dtype=np.int64)
