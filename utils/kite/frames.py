"""Kite's wire format: the one owner of its field layout (Kite Connect v3 documentation, "WebSocket streaming").

A frame is `u16 count`, then count times `u16 length` and a packet; all big-endian. A frame of one byte is the
heartbeat. Prices are integers here; `price_divisor` is their divisor.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

LTP_LENGTH = 8
INDEX_QUOTE_LENGTH, INDEX_FULL_LENGTH = 28, 32
QUOTE_LENGTH, FULL_LENGTH = 44, 184

SEGMENT_NSE, SEGMENT_NFO, SEGMENT_CDS, SEGMENT_BSE, SEGMENT_BFO = 1, 2, 3, 4, 5
SEGMENT_BCD, SEGMENT_MCX, SEGMENT_MCXSX, SEGMENT_INDICES, SEGMENT_NCO = 6, 7, 8, 9, 12

_DIVISORS = {SEGMENT_CDS: 10_000_000, SEGMENT_BCD: 10_000, SEGMENT_NCO: 10_000}

LEVEL = np.dtype([("quantity", ">u4"), ("price", ">u4"), ("orders", ">u2"), ("pad", ">u2")])

_LTP = [("token", ">u4"), ("last_price", ">u4")]
_QUOTE = [
    *_LTP,
    ("last_quantity", ">u4"),
    ("average_price", ">u4"),
    ("volume", ">u4"),
    ("buy_quantity", ">u4"),
    ("sell_quantity", ">u4"),
    ("day_open", ">u4"),
    ("day_high", ">u4"),
    ("day_low", ">u4"),
    ("previous_close", ">u4"),
]
_FULL = [
    *_QUOTE,
    ("last_trade_time", ">u4"),
    ("oi", ">u4"),
    ("oi_day_high", ">u4"),
    ("oi_day_low", ">u4"),
    ("exchange_time", ">u4"),
    ("bids", LEVEL, (5,)),
    ("asks", LEVEL, (5,)),
]
_INDEX_QUOTE = [
    *_LTP,
    ("day_high", ">u4"),
    ("day_low", ">u4"),
    ("day_open", ">u4"),
    ("previous_close", ">u4"),
    ("change", ">i4"),
]
_INDEX_FULL = [*_INDEX_QUOTE, ("exchange_time", ">u4")]

LTP = np.dtype(_LTP)
QUOTE = np.dtype(_QUOTE)
FULL = np.dtype(_FULL)
INDEX_QUOTE = np.dtype(_INDEX_QUOTE)
INDEX_FULL = np.dtype(_INDEX_FULL)

LAYOUT_BY_LENGTH = {dtype.itemsize: dtype for dtype in (LTP, QUOTE, FULL, INDEX_QUOTE, INDEX_FULL)}


class FrameError(ValueError):
    """A frame whose lengths do not add up."""


def segment_of(token: int) -> int:
    """The exchange segment is the low byte of the token."""
    return token & 0xFF


def price_divisor(token: int) -> int:
    """By what a wire price is divided to give the quoted price (kiteconnect 5.2.2)."""
    return _DIVISORS.get(segment_of(token), 100)


def is_heartbeat(frame: bytes) -> bool:
    return len(frame) == 1


def pack_frame(packets: Sequence[bytes]) -> bytes:
    """The packets as one frame."""
    head = len(packets).to_bytes(2, "big")
    return head + b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def split_frame(frame: bytes) -> Iterator[bytes]:
    """The packets of a frame, one by one. FrameError, after those that are whole, when lengths do not add up."""
    if is_heartbeat(frame):
        return
    count = int.from_bytes(frame[:2], "big") if len(frame) >= 2 else 1
    at = 2
    for _ in range(count):
        length = int.from_bytes(frame[at : at + 2], "big")
        packet = frame[at + 2 : at + 2 + length]
        if len(frame) < at + 2 or len(packet) < length:
            raise FrameError(f"the frame ends at byte {len(frame)}, inside a packet")
        yield packet
        at += 2 + length
    if at != len(frame):
        raise FrameError(f"{len(frame) - at} bytes follow the last packet")
