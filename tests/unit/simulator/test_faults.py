"""Each fault does what its name promises, alone, and alike for a seed."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from functools import cache

import numpy as np
import pytest

from simulator.faults import Fault, parse_faults
from simulator.frame_faults import FrameFaults
from simulator.market_day import MarketDay
from simulator.packet_faults import PacketFaults
from simulator.packing import pack
from simulator.universe import build_universe
from tests.shared.length import length
from utils.kite.frames import FrameError, split_frame
from utils.market.sessions import SessionCalendar

DAY = date(2026, 11, 20)
CALENDAR = SessionCalendar.load()
FOREVER = 1 << 60
FROM_MINUTE = length(short=9 * 60 + 45, long=9 * 60 + 15)  # resets come at ten
MINUTES = length(short=20, long=60)
ONE_MINUTE_S_FAULTS = 20  # a minute is made ahead: its faults are counted, though it was not sent

Sent = list[tuple[int, bytes]]


UNIVERSE = build_universe(80, 11, CALENDAR, DAY)


@cache
def _play(names: str, from_minute: int = FROM_MINUTE, minutes: int = MINUTES) -> tuple[Sent, dict[str, int]]:
    """(due ms, packet) in the order sent, and the faults counted."""
    faults = PacketFaults(parse_faults(names), UNIVERSE)
    day = MarketDay(UNIVERSE, CALENDAR, DAY, faults)
    day.skip_to(day.tape.midnight_ms + from_minute * 60_000)
    modes = np.full(len(UNIVERSE), 3, dtype=np.uint8)
    sent: Sent = []
    for _ in range(minutes):
        coming = day.next_minute_when(FOREVER)
        assert coming is not None
        for sending in day.sendings(coming.result()):
            sent += [(sending.due_ms, packet) for packet in split_frame(pack(sending.packets, modes))]
    day.close()
    return sent, dict(faults.counted)


@pytest.fixture(scope="module")
def clean() -> Sent:
    return _play("none")[0]


def _u32(packet: bytes, at: int) -> int:
    return int.from_bytes(packet[at : at + 4], "big")


def _multiset(sent: Sent) -> dict[bytes, int]:
    counts: dict[bytes, int] = defaultdict(int)
    for _, packet in sent:
        counts[packet] += 1
    return counts


def test_without_faults_nothing_is_counted(clean: Sent) -> None:
    again, counted = _play.__wrapped__("none")
    assert again == clean
    assert counted == {}


@pytest.mark.parametrize("name", [name for name in Fault if name is not Fault.MALFORMED])
def test_a_seed_gives_the_same_faults(clean: Sent, name: Fault) -> None:
    first, counted = _play(name)
    assert first == _play.__wrapped__(name)[0]
    assert set(counted) == {name.value}
    assert counted[name.value] > 0
    assert first != clean


def test_late_packets_come_whole_5_to_40_seconds_after_their_time(clean: Sent) -> None:
    sent, counted = _play("late")
    missing = sum((_multiset(clean)).values()) - len(sent)
    assert 0 <= missing <= 10, "only what is held back at the end may be missing"
    assert set(_multiset(sent)) <= set(_multiset(clean))
    usual = {packet: due for due, packet in clean}
    delays = [due - usual[packet] for due, packet in sent if due != usual[packet]]
    assert 0 <= counted["late"] - len(delays) - missing <= ONE_MINUTE_S_FAULTS
    assert min(delays) > 4_000
    assert max(delays) < 42_000


def test_disorder_sends_a_packet_behind_a_newer_one() -> None:
    sent, _ = _play("disorder")
    newest: dict[int, int] = defaultdict(int)
    behind = 0
    for _, packet in sent:
        if len(packet) == 184:
            token, volume = _u32(packet, 0), _u32(packet, 16)
            behind += volume < newest[token]
            newest[token] = max(newest[token], volume)
    assert behind > 10


def test_duplicates_are_the_same_bytes_again(clean: Sent) -> None:
    sent, counted = _play("duplicate")
    usual = _multiset(clean)
    more = {packet: count - usual[packet] for packet, count in _multiset(sent).items() if count != usual[packet]}
    assert set(more.values()) == {1}
    assert 0 <= counted["duplicate"] - len(more) <= ONE_MINUTE_S_FAULTS


def test_bad_prints_are_far_off_inside_or_outside_the_day_s_range_or_zero() -> None:
    minutes = length(short=90, long=150)
    sent, counted = _play("badprint", minutes=minutes)
    usual = dict.fromkeys(packet for _, packet in _play("none", minutes=minutes)[0])
    odd = [packet for _, packet in sent if packet not in usual]
    assert 0 <= counted["badprint"] - len(odd) <= ONE_MINUTE_S_FAULTS
    kinds: dict[str, int] = defaultdict(int)
    for packet in (odd_packet for odd_packet in odd if len(odd_packet) == 184):
        price, high, low = _u32(packet, 4), _u32(packet, 32), _u32(packet, 36)
        kinds["zero" if price == 0 else "inside" if low <= price <= high else "outside"] += 1
    assert min(kinds["zero"], kinds["inside"], kinds["outside"]) >= 1


def test_crossed_books_have_the_bid_above_the_ask(clean: Sent) -> None:
    sent, counted = _play("crossed")

    def crossed(some: Sent) -> int:
        return sum(_u32(packet, 68) >= _u32(packet, 128) > 0 for _, packet in some if len(packet) == 184)

    assert crossed(clean) == 0
    assert 0 < crossed(sent) <= counted["crossed"] <= crossed(sent) + ONE_MINUTE_S_FAULTS


def test_a_reset_lowers_the_volume_by_a_constant() -> None:
    usual = _play("none", from_minute=595, minutes=20)[0]
    sent, counted = _play("reset", from_minute=595, minutes=20)
    assert counted["reset"] > 0
    lowered: dict[int, set[int]] = defaultdict(set)
    for (_, before), (_, after) in zip(usual, sent, strict=True):
        if len(after) == 184 and before != after:
            lowered[_u32(after, 0)].add(_u32(before, 16) - _u32(after, 16))
    assert len(lowered) == counted["reset"]
    assert all(len(by) == 1 and min(by) > 0 for by in lowered.values())


def test_a_reset_is_the_same_after_a_late_start() -> None:
    early = [frame for frame in _play("reset", from_minute=595, minutes=20)[0] if frame[0] % 86_400_000 > 0]
    late = _play("reset", from_minute=605, minutes=10)[0]
    assert early[-len(late) :] == late


def test_unknown_tokens_are_in_no_dump() -> None:
    sent, counted = _play("unknowntoken")
    known = set(UNIVERSE.tokens.tolist())
    strangers = sum(_u32(packet, 0) not in known for _, packet in sent)
    assert 0 < strangers <= counted["unknowntoken"] <= strangers + ONE_MINUTE_S_FAULTS


def test_malformed_frames_cannot_be_read_as_they_are() -> None:
    frame = pack_of(7)
    faults = FrameFaults({Fault.MALFORMED}, 5)
    unreadable = odd_lengths = noise = 0
    for due_ms in range(length(short=20_000, long=60_000)):
        frames = faults.touched(frame, due_ms)
        for malformed_frame in frames:
            assert len(malformed_frame) > 1, "one byte is a heartbeat"
        if frames == [frame]:
            continue
        noise += len(frames) == 2
        try:
            lengths = {len(packet) for packet in split_frame(frames[-1])}
        except FrameError:
            unreadable += 1
        else:
            odd_lengths += 1
            assert not lengths <= {8, 28, 32, 44, 184} or int.from_bytes(frames[-1][:2], "big") != 7
    assert unreadable + odd_lengths == faults.counted["malformed"]
    assert min(unreadable, odd_lengths, noise) >= 3
    assert FrameFaults(set(), 5).touched(frame, 1) == [frame]


def pack_of(count: int) -> bytes:
    """A frame of LTP packets, built by hand."""
    packets = b"".join(b"\0\x08" + bytes([0, 0, index, 1, 0, 0, 9, 9]) for index in range(count))
    return count.to_bytes(2, "big") + packets


def test_the_lists_of_faults() -> None:
    assert parse_faults("none") == frozenset()
    assert parse_faults("all") == frozenset(Fault)
    assert parse_faults("usual") == {"late", "duplicate", "malformed", "badprint", "crossed"}
    assert parse_faults("reset, late") == {Fault.RESET, Fault.LATE}
    with pytest.raises(ValueError, match="'lat' is no fault"):
        parse_faults("lat")


def test_the_cache_holds_no_faulty_packet() -> None:
    days = []
    for names in ("none", "badprint,crossed"):
        day = MarketDay(UNIVERSE, CALENDAR, DAY, PacketFaults(parse_faults(names), UNIVERSE))
        day.skip_to(day.tape.midnight_ms + FROM_MINUTE * 60_000)
        days.append(day)
    for _ in range(30):
        for day in days:
            coming = day.next_minute_when(FOREVER)
            assert coming is not None
            for sending in day.sendings(coming.result()):
                day.last_sent.update(sending.packets)
        records = days[1].last_sent.tradables
        bids, asks = records["bids"]["price"][:, 0], records["asks"]["price"][:, 0]
        assert ((bids < asks) | (asks == 0)).all()
        assert (records["last_price"] > 0).all()
    for day in days:
        day.close()
