"""The chaos judges themselves: each finds what it is there to find."""

from __future__ import annotations

import json
import struct

import pytest

from tests.chaos.completeness import END, Gap, gaps_of, trades_lost, unmarked, worst_lag_ms, wrong_completeness
from tests.chaos.judging import _differences
from tests.reference.inputs import Entry


def mark(ms: int, name: str) -> Entry:
    return Entry(ms, 0, "m", json.dumps({"mark": name}).encode())


def frame(ms: int) -> Entry:
    return Entry(ms, 0, "f", b"\0")


ENTRIES = [mark(0, "down"), mark(1_000, "up"), mark(1_000, "subscribed"), frame(2_000), frame(9_000)]


def test_gaps_begin_at_the_last_frame() -> None:
    assert gaps_of(ENTRIES) == [Gap(-1, 1_000)]
    again = [*ENTRIES, mark(11_000, "clock"), mark(12_000, "down"), mark(13_000, "up"), mark(14_000, "subscribed")]
    assert gaps_of(again) == [Gap(-1, 1_000), Gap(9_000, 14_000)]
    assert gaps_of([*ENTRIES, mark(12_000, "down")])[-1] == Gap(9_000, END)


@pytest.mark.parametrize(
    ("start", "end", "complete", "is_wrong"),
    [
        (2_000, 8_000, True, False),
        (2_000, 8_000, False, False),  # its grace reached into the gap
        (2_000, 5_000, False, True),
        (5_000, 10_000, True, True),
        (5_000, 10_000, False, False),
        (14_000, 15_000, True, False),
        (14_000, 15_000, False, True),
    ],
)
def test_complete_follows_from_the_gaps(start: int, end: int, complete: bool, is_wrong: bool) -> None:
    document = {"_id": "x", "t": start, "end_t": end, "complete": complete}
    assert bool(wrong_completeness([document], [Gap(-1, 1_000), Gap(9_000, 14_000)])) is is_wrong


def test_a_lost_trade_is_found_in_its_candle() -> None:
    packet = struct.pack(">II", 7, 100) + bytes(36) + struct.pack(">I", 12) + bytes(136)
    lost_frame = struct.pack(">HH", 1, len(packet)) + packet
    lost = trades_lost([lost_frame, b"\0"], [b"\0"])
    assert lost == {(7, 12_000)}
    assert trades_lost([lost_frame], [lost_frame.replace(struct.pack(">I", 12), struct.pack(">I", 13))]) == set()
    candle = {"_id": "x", "token": 7, "t": 10_000, "end_t": 15_000, "complete": True}
    assert unmarked([candle], lost, last_received_ms=11_000)
    assert not unmarked([candle | {"complete": False}], lost, last_received_ms=11_000)
    assert not unmarked([candle | {"token": 8}], lost, last_received_ms=11_000)
    assert not unmarked([candle], lost, last_received_ms=19_000)


def test_differences_are_named_by_field() -> None:
    value = {"close": 1.0, "rev": 0}
    assert _differences({"a": value}, {"a": value}) == []
    assert _differences({"a": value}, {}) == ["a is missing"]
    assert _differences({}, {"a": value}) == ["a is too much"]
    assert _differences({"a": value}, {"a": value | {"rev": 1}}) == ["a: rev 0 expected, 1 found"]


def test_a_late_feed_is_given_time() -> None:
    index = struct.pack(">II", 9, 100) + bytes(20) + struct.pack(">I", 10)
    late = Entry(16_000, 0, "f", struct.pack(">HH", 1, len(index)) + index)
    assert worst_lag_ms([*ENTRIES, late]) == 6_000
    document = {"_id": "x", "t": 2_000, "end_t": 5_000, "complete": False}
    gaps = [Gap(9_000, 14_000)]
    assert wrong_completeness([document], gaps) and not wrong_completeness([document], gaps, 6_000)
