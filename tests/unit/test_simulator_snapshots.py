"""Every packet is what a plain walk over the tape says the state was at that moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pytest

from simulator.contracts import Shape
from simulator.faults import parse_faults
from simulator.market_day import MarketDay, Sending
from simulator.packet_faults import PacketFaults
from simulator.packing import Mode, pack
from simulator.snapshots import MinutePackets
from simulator.universe import Universe, build_universe
from utils.kite_frames import FULL, INDEX_FULL, read_packet, split_frame
from utils.sessions import SessionCalendar

DAY = date(2026, 11, 20)
CALENDAR = SessionCalendar.load()
FOREVER = 1 << 60
MIDNIGHT_S = 1795113000  # 2026-11-20T00:00:00+05:30


@pytest.fixture(scope="module")
def universe() -> Universe:
    return build_universe(70, 7, CALENDAR, DAY)


def _open(universe: Universe, hour: int, minute: int = 0) -> MarketDay:
    day = MarketDay(universe, CALENDAR, DAY, PacketFaults(parse_faults("none"), universe))
    day.skip_to((MIDNIGHT_S + hour * 3600 + minute * 60) * 1000)
    return day


def _next(day: MarketDay) -> MinutePackets | None:
    coming = day.next_minute_when(FOREVER)
    return None if coming is None else coming.result()


@pytest.fixture(scope="module")
def played(universe: Universe) -> list[MinutePackets]:
    """The day from 09:00 to 10:00 and, after a jump, from 15:00 to 16:00."""
    found = []
    for hour in (9, 15):
        day = _open(universe, hour)
        for _ in range(60):
            packets = _next(day)
            assert packets is not None
            found.append(packets)
        day.close()
    return found


@dataclass
class _State:
    price: int = 0
    quantity: int = 0
    volume: int = 0
    turnover: int = 0
    open: int = 0
    high: int = 0
    low: int = 0
    last_ms: int = 0


class _Walk:
    """The trades of one row, one after the other."""

    def __init__(self, trades: Any) -> None:
        self._trades = list(zip(trades.ms.tolist(), trades.price.tolist(), trades.quantity.tolist(), strict=True))
        self._at = 0
        self.state = _State()

    def until(self, ms: int) -> _State:
        while self._at < len(self._trades) and self._trades[self._at][0] < ms:
            at_ms, price, quantity = self._trades[self._at]
            state = self.state
            if state.open == 0:
                state.open = state.high = state.low = price
            state.high, state.low = max(state.high, price), min(state.low, price)
            state.price, state.quantity, state.last_ms = price, quantity, at_ms
            state.volume += quantity
            state.turnover += quantity * price
            self._at += 1
        return self.state


def _shown(record: Any) -> tuple[int, ...]:
    names = ("last_price", "last_quantity", "volume", "average_price", "day_open", "day_high", "day_low")
    return tuple(int(record[name]) for name in names)


def _expected(state: _State, before: int) -> tuple[int, ...]:
    average = state.turnover // state.volume if state.volume else 0
    price = state.price if state.open else before
    return price, state.quantity, state.volume, average, state.open, state.high, state.low


def test_tradable_packets_agree_with_the_tape(universe: Universe, played: list[MinutePackets]) -> None:
    day = _open(universe, 9)
    walks = {row: _Walk(day.tape.whole_day(row)) for row in range(len(universe))}
    checked = middles = 0
    for packets in played:
        some = packets.tradables
        # In the order of time and not of slots: a walk only goes forward.
        for at in np.lexsort((some.slot, some.second)).tolist():
            record, row, second = some.records[at], int(some.row[at]), int(some.second[at])
            middle = some.slot[at] % 4 == 0
            state = walks[row].until(second * 1000 + (500 if middle else 1000))
            assert _shown(record) == _expected(state, int(record["previous_close"]))
            assert record["exchange_time"] == second
            if state.open:
                assert record["last_trade_time"] == state.last_ms // 1000
            else:
                assert record["last_trade_time"] < MIDNIGHT_S
            checked, middles = checked + 1, middles + bool(middle)
    assert checked > 20_000
    assert middles > 100
    day.close()


def test_index_packets_agree_with_the_tape(universe: Universe, played: list[MinutePackets]) -> None:
    day = _open(universe, 9)
    walks = {row: _Walk(day.tape.whole_day(row)) for row in np.flatnonzero(universe.shapes == Shape.INDEX).tolist()}
    seconds = set()
    for packets in played:
        some = packets.indices
        for at in range(len(some)):
            record, second = some.records[at], int(some.second[at])
            state = walks[int(some.row[at])].until(second * 1000 + 1000)
            close = int(record["previous_close"])
            price = state.price or close
            names = ("last_price", "day_open", "day_high", "day_low", "change", "exchange_time")
            expected = (price, state.open, state.high, state.low, price - close, second)
            assert tuple(int(record[name]) for name in names) == expected
            seconds.add(second)
    open_s, close_s = MIDNIGHT_S + 9 * 3600 + 15 * 60, MIDNIGHT_S + 15 * 3600 + 30 * 60
    assert set(range(open_s, open_s + 2_700)) <= seconds, "an index speaks each second from its open on"
    assert not set(range(close_s, close_s + 29)) - {close_s} & seconds
    day.close()


def test_every_trade_second_has_a_packet(universe: Universe, played: list[MinutePackets]) -> None:
    row = universe.row_of_symbol()["NFO:INFY26NOVFUT"]
    day = _open(universe, 9)
    hours = [(MIDNIGHT_S + hour * 3600, MIDNIGHT_S + hour * 3600 + 3600) for hour in (9, 15)]
    traded = {ms // 1000 for ms in day.tape.whole_day(row).ms.tolist()}
    traded = {second for second in traded if any(start <= second < end for start, end in hours)}
    sent = [int(s) for packets in played for s in packets.tradables.second[packets.tradables.row == row]]
    assert traded <= set(sent)
    assert len(traded) > 100
    assert len(set(sent) - traded) > 100, "the book changes without trades too"
    day.close()


def test_the_book_is_never_crossed(played: list[MinutePackets]) -> None:
    for packets in played:
        records = packets.tradables.records
        bids, asks = records["bids"]["price"].astype(int), records["asks"]["price"].astype(int)
        there = (bids > 0)[:, 0]
        assert (bids[there, 0] < asks[there, 0]).all()
        assert (np.diff(asks, axis=1) > 0).all()
        falling = np.diff(bids, axis=1)
        assert ((falling < 0) | (bids[:, 1:] == 0)).all()
        assert (records["last_price"] >= bids[:, 0]).all()
        assert (records["last_price"] <= asks[:, 0]).all()


def test_sendings_rise_in_time_with_the_feed_s_delay(universe: Universe) -> None:
    day = _open(universe, 10)
    due: list[Sending] = []
    for _ in range(10):
        packets = _next(day)
        assert packets is not None
        due += day.sendings(packets)
    times = [one.due_ms for one in due]
    assert times == sorted(times)
    delays = [
        one.due_ms - (int(one.packets.tradables.second[0]) + 1) * 1000 for one in due if len(one.packets.tradables)
    ]
    assert 300 <= min(delays) < 400
    assert 1000 < max(delays) <= 1200
    day.close()


def test_a_late_start_sends_what_an_early_one_does(universe: Universe, played: list[MinutePackets]) -> None:
    late = _open(universe, 9, 30)
    packets = _next(late)
    assert packets is not None
    early = played[30]
    assert (packets.tradables.records == early.tradables.records).all()
    assert (packets.indices.records == early.indices.records).all()
    late.close()


def _frame(universe: Universe, day: MarketDay, mode: Mode) -> list[bytes]:
    modes = np.full(len(universe), mode, dtype=np.uint8)
    return list(split_frame(pack(day.last_sent.of_rows(np.arange(len(universe))), modes)))


@pytest.mark.parametrize(
    ("mode", "index_length", "tradable_length"), [(Mode.LTP, 8, 8), (Mode.QUOTE, 28, 44), (Mode.FULL, 32, 184)]
)
def test_the_five_layouts(universe: Universe, mode: Mode, index_length: int, tradable_length: int) -> None:
    day = _open(universe, 11)
    packets = _frame(universe, day, mode)
    assert len(packets) == len(universe)
    for packet in packets:
        is_index = packet[3] == 9
        assert len(packet) == (index_length if is_index else tradable_length)
        token = int.from_bytes(packet[:4], "big")
        row = universe.row_of_token()[token]
        price = int.from_bytes(packet[4:8], "big")
        full = day.last_sent.indices[row] if is_index else day.last_sent.tradables[row]
        assert price == full["last_price"] > 0
        assert read_packet(packet).tobytes() == full.tobytes()[: len(packet)]
    day.close()


def test_layout_offsets_are_kite_s() -> None:
    assert [FULL.fields[name][1] for name in ("volume", "last_trade_time", "exchange_time", "bids", "asks")] == [  # type: ignore[index]
        16,
        44,
        60,
        64,
        124,
    ]
    assert [INDEX_FULL.fields[name][1] for name in ("day_high", "day_low", "day_open", "exchange_time")] == [  # type: ignore[index]
        8,
        12,
        16,
        28,
    ]


def test_before_the_first_packet_the_cache_holds_yesterday(universe: Universe) -> None:
    day = _open(universe, 8, 30)
    yesterday = day.history.previous_day_bars()
    for row, instrument in enumerate(universe.instruments):
        record = (day.last_sent.indices if instrument.is_index else day.last_sent.tradables)[row]
        assert record["last_price"] == yesterday[row].close[0]
        if not instrument.is_index:
            assert record["volume"] == yesterday[row].volume[0] > 0
            assert MIDNIGHT_S - 86_400 < record["last_trade_time"] < MIDNIGHT_S
            assert record["last_trade_time"] == record["exchange_time"]
    day.close()


def test_after_the_open_the_cache_holds_today(universe: Universe) -> None:
    day = _open(universe, 11)
    seen_today = 0
    for row, instrument in enumerate(universe.instruments):
        if instrument.is_index:
            continue
        trades = day.tape.whole_day(row)
        before = trades.taken(trades.ms < (MIDNIGHT_S + 11 * 3600) * 1000)
        record = day.last_sent.tradables[row]
        assert record["volume"] == before.quantity.sum()
        assert record["last_trade_time"] == before.ms[-1] // 1000
        seen_today += 1
    assert seen_today > 60
    day.close()


def test_open_interest_belongs_to_derivatives(universe: Universe) -> None:
    day = _open(universe, 11)
    for row, instrument in enumerate(universe.instruments):
        if not instrument.is_index:
            record = day.last_sent.tradables[row]
            is_derivative = instrument.instrument_type != "EQ"
            assert (record["oi"] > 0) == is_derivative
            assert record["oi_day_low"] <= record["oi"] <= record["oi_day_high"]
    day.close()
