"""The wire format, against packets written with struct from the broker's documentation and the broker's samples."""

from __future__ import annotations

import base64
import json
import random
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.shared.kite_packets import read_packet
from utils.journal.entries import HEARTBEAT
from utils.kite.frames import (
    LAYOUT_BY_LENGTH,
    FrameError,
    is_heartbeat,
    pack_frame,
    price_divisor,
    segment_of,
    split_frame,
)

REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "real"

# Names in the order of the documentation ("Quote packet structure", "Index packet structure").
TRADABLE = [
    "token",
    "last_price",
    "last_quantity",
    "average_price",
    "volume",
    "buy_quantity",
    "sell_quantity",
    "day_open",
    "day_high",
    "day_low",
    "previous_close",
    "last_trade_time",
    "oi",
    "oi_day_high",
    "oi_day_low",
    "exchange_time",
]
INDEX = ["token", "last_price", "day_high", "day_low", "day_open", "previous_close"]


def written(seed: int, length: int) -> tuple[bytes, dict[str, Any]]:
    """A packet with a different random number in every field, and the numbers."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    names = INDEX if length in (28, 32) else TRADABLE[: min(16, length // 4)]
    values: dict[str, Any] = dict(zip(names, chance.sample(range(1, 1 << 32), len(names)), strict=True))
    packet = struct.pack(f">{len(names)}I", *values.values())
    if length in (28, 32):
        values["change"] = -chance.randrange(1, 1 << 31)
        packet += struct.pack(">i", values["change"])
    if length == 32:
        values["exchange_time"] = chance.randrange(1 << 32)
        packet += struct.pack(">I", values["exchange_time"])
    if length == 184:
        for side in ("bids", "asks"):
            limits = (1 << 32, 1 << 32, 1 << 16)
            values[side] = [tuple(chance.randrange(limit) for limit in limits) for _ in range(5)]
            packet += b"".join(struct.pack(">IIHxx", *level) for level in values[side])
    assert len(packet) == length
    return packet, values


@pytest.mark.parametrize("length", [8, 28, 32, 44, 184])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_field_is_where_the_documentation_puts_it(seed: int, length: int) -> None:
    packet, values = written(seed, length)
    record = read_packet(packet)
    names = set(LAYOUT_BY_LENGTH[length].names or ())
    assert names == set(values)
    for name in names - {"bids", "asks"}:
        assert int(record[name]) == values[name], name
    for side in names & {"bids", "asks"}:
        levels = [(int(level["quantity"]), int(level["price"]), int(level["orders"])) for level in record[side]]
        assert levels == values[side], side


@pytest.mark.parametrize("length", [0, 1, 7, 9, 12, 31, 40, 64, 183, 185])
def test_other_lengths_are_no_packets(length: int) -> None:
    with pytest.raises(ValueError, match=f"a packet of {length} bytes"):
        read_packet(bytes(length))


def test_a_frame_by_the_documentation_is_split_and_packed_alike() -> None:
    packets = [written(7, length)[0] for length in (184, 8, 44, 32, 28)]
    frame = struct.pack(">H", 5) + b"".join(
        struct.pack(f">H{len(packet)}s", len(packet), packet) for packet in packets
    )
    assert list(split_frame(frame)) == packets
    assert pack_frame(packets) == frame
    assert pack_frame([]) == b"\x00\x00"
    assert list(split_frame(b"\x00\x00")) == []


def test_a_byte_is_the_heartbeat() -> None:
    assert is_heartbeat(HEARTBEAT)
    assert is_heartbeat(b"\x01")
    assert not is_heartbeat(b"\x00\x00")
    assert list(split_frame(HEARTBEAT)) == []


@pytest.mark.parametrize("cut", [3, 4, 11, 12, 13, 15, 55])
def test_a_torn_frame_gives_its_whole_packets_and_an_error(cut: int) -> None:
    packets = [written(8, 8)[0], written(9, 44)[0]]
    frame = pack_frame(packets)
    whole = [packet for packet, end in zip(packets, (12, 58), strict=True) if end <= cut]
    with pytest.raises(FrameError, match=f"ends at byte {cut}, inside a packet"):
        list(split_frame(frame[:cut]))
    assert _collected(frame[:cut]) == whole


def test_what_follows_the_last_packet_is_an_error() -> None:
    packet = written(10, 8)[0]
    frame = pack_frame([packet]) + b"xyz"
    with pytest.raises(FrameError, match="3 bytes follow the last packet"):
        list(split_frame(frame))
    assert _collected(frame) == [packet]


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(FrameError):
        list(split_frame(b""))


def _collected(frame: bytes) -> list[bytes]:
    packets = []
    try:
        for packet in split_frame(frame):
            packets.append(packet)
    except FrameError:
        pass
    return packets


@pytest.mark.parametrize(
    ("segment", "divisor"),
    [
        (1, 100),
        (2, 100),
        (3, 10_000_000),
        (4, 100),
        (5, 100),
        (6, 10_000),
        (7, 100),
        (8, 100),
        (9, 100),
        (12, 10_000),
    ],
)
def test_the_low_byte_is_the_segment_and_decides_the_divisor(segment: int, divisor: int) -> None:
    token = 1594 * 256 + segment
    assert segment_of(token) == segment
    assert price_divisor(token) == divisor


def test_a_kernel_can_view_many_packets_at_once() -> None:
    """Records of one layout lie without gaps, so a frame's packets can be read as one array."""
    packets = [written(seed, 184) for seed in (11, 12, 13)]
    records = np.frombuffer(b"".join(packet for packet, _ in packets), dtype=LAYOUT_BY_LENGTH[184])
    assert [int(record) for record in records["volume"]] == [values["volume"] for _, values in packets]


def _real(name: str) -> tuple[np.void, dict[str, Any]]:
    packet = base64.b64decode((REAL / f"{name}.packet").read_text())
    frame = struct.pack(">HH", 1, len(packet)) + packet
    (only,) = split_frame(frame)
    return read_packet(only), json.loads((REAL / f"{name}.json").read_text())


def _check_quote(record: np.void, values: dict[str, Any]) -> None:
    divisor = price_divisor(int(record["token"]))
    assert int(record["token"]) == values["instrument_token"]
    assert int(record["last_price"]) / divisor == values["last_price"]
    assert int(record["average_price"]) / divisor == values["average_price"]
    for ours, theirs in (("last_quantity",) * 2, ("volume",) * 2, ("buy_quantity",) * 2, ("sell_quantity",) * 2):
        assert int(record[ours]) == values[theirs], ours
    days = {"day_open": "open", "day_high": "high", "day_low": "low", "previous_close": "close"}
    for ours, theirs in days.items():
        assert int(record[ours]) / divisor == values["ohlc"][theirs], ours


@pytest.mark.skipif(not REAL.is_dir(), reason="the broker's published samples are not beside the project")
def test_the_brokers_quote_packet() -> None:
    record, values = _real("ticker_quote")
    assert record.nbytes == 44
    _check_quote(record, values)


@pytest.mark.skipif(not REAL.is_dir(), reason="the broker's published samples are not beside the project")
def test_the_brokers_full_packet() -> None:
    record, values = _real("ticker_full")
    assert record.nbytes == 184
    _check_quote(record, values)
    for ours, theirs in (("last_trade_time", "last_trade_time"), ("exchange_time", "timestamp")):
        assert int(record[ours]) == datetime.fromisoformat(values[theirs]).timestamp(), ours
    assert (int(record["oi"]), int(record["oi_day_high"]), int(record["oi_day_low"])) == (0, 0, 0)
    for ours, theirs in (("bids", "buy"), ("asks", "sell")):
        levels = [
            {"price": int(level["price"]) / 100, "quantity": int(level["quantity"]), "orders": int(level["orders"])}
            for level in record[ours]
        ]
        assert levels == values["depth"][theirs], ours


@pytest.mark.parametrize("name", ["index_full", "index_quote", "ticker_index_full", "ticker_index_quote"])
def test_the_brokers_index_packets_where_there_are_any(name: str) -> None:
    if not (REAL / f"{name}.packet").exists():
        pytest.skip("no such sample is published")
    record, values = _real(name)
    assert int(record["token"]) == values["instrument_token"]
    assert int(record["last_price"]) / 100 == values["last_price"]
    for ours, theirs in {"day_open": "open", "day_high": "high", "day_low": "low"}.items():
        assert int(record[ours]) / 100 == values["ohlc"][theirs], ours
