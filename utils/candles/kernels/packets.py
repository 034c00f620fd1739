"""Reading Kite's packets inside a kernel.

Byte positions come from `utils.kite.frames`, the owner of the layout.
"""

from __future__ import annotations

import numpy as np

from utils.candles.kernels.layout import AWAITS_ANY, AWAITS_RICHER, AWAITS_TIMED, Array, Record
from utils.kite.frames import (
    FULL,
    FULL_LENGTH,
    INDEX_FULL,
    INDEX_FULL_LENGTH,
    INDEX_QUOTE,
    INDEX_QUOTE_LENGTH,
    LTP,
    LTP_LENGTH,
    QUOTE_LENGTH,
)
from utils.runtime.kernel_cache import kernel


def _at(layout: np.dtype[np.void], field: str) -> int:
    fields = layout.fields
    assert fields is not None
    return int(fields[field][1])


_PRICE = _at(LTP, "last_price")
_QUANTITY = _at(FULL, "last_quantity")
_AVERAGE = _at(FULL, "average_price")
_VOLUME = _at(FULL, "volume")
_DAY_OPEN, _DAY_HIGH, _DAY_LOW = _at(FULL, "day_open"), _at(FULL, "day_high"), _at(FULL, "day_low")
_CLOSE = _at(FULL, "previous_close")
_TRADE_TIME, _OI, _TIME = _at(FULL, "last_trade_time"), _at(FULL, "oi"), _at(FULL, "exchange_time")
_BID, _ASK = _at(FULL, "bids") + 4, _at(FULL, "asks") + 4
_INDEX_HIGH, _INDEX_LOW = _at(INDEX_QUOTE, "day_high"), _at(INDEX_QUOTE, "day_low")
_INDEX_OPEN, _INDEX_CLOSE = _at(INDEX_QUOTE, "day_open"), _at(INDEX_QUOTE, "previous_close")
_INDEX_TIME = _at(INDEX_FULL, "exchange_time")


@kernel
def u16(data: Array, at: int) -> int:
    return int((np.int64(data[at]) << 8) | np.int64(data[at + 1]))


@kernel
def u32(data: Array, at: int) -> int:
    high = (np.int64(data[at]) << 24) | (np.int64(data[at + 1]) << 16)
    return int(high | (np.int64(data[at + 2]) << 8) | np.int64(data[at + 3]))


@kernel
def known_length(length: int) -> bool:
    return length in (FULL_LENGTH, INDEX_FULL_LENGTH, QUOTE_LENGTH, INDEX_QUOTE_LENGTH, LTP_LENGTH)


@kernel
def parse_packet(data: Array, at: int, length: int, receive_ms: int, p: Record) -> None:
    """Fill the record `p` from `length` bytes at `at`; what the packet does not carry is 0."""
    p.length, p.token, p.price = length, u32(data, at), u32(data, at + _PRICE)
    p.receive_ms = p.trade_ms = p.exchange_ms = receive_ms
    p.has_volume = p.timed = p.late = 0
    p.place_ms = p.trade = p.dated = p.outside = p.priceless = p.new_level = p.first = 0
    p.cum = p.quantity = p.average = p.oi = p.bid = p.ask = 0
    p.day_open = p.day_high = p.day_low = p.previous_close = 0
    if length in (FULL_LENGTH, QUOTE_LENGTH):
        _read_quote(data, at, p)
        if length == FULL_LENGTH:
            _read_full(data, at, p)
    elif length in (INDEX_FULL_LENGTH, INDEX_QUOTE_LENGTH):
        p.day_high, p.day_low = u32(data, at + _INDEX_HIGH), u32(data, at + _INDEX_LOW)
        p.day_open, p.previous_close = u32(data, at + _INDEX_OPEN), u32(data, at + _INDEX_CLOSE)
        if length == INDEX_FULL_LENGTH:
            p.exchange_ms = p.trade_ms = u32(data, at + _INDEX_TIME) * 1000
            p.timed = 1


@kernel
def _read_quote(data: Array, at: int, p: Record) -> None:
    p.has_volume = 1
    p.quantity, p.average, p.cum = u32(data, at + _QUANTITY), u32(data, at + _AVERAGE), u32(data, at + _VOLUME)
    p.day_open, p.day_high = u32(data, at + _DAY_OPEN), u32(data, at + _DAY_HIGH)
    p.day_low, p.previous_close = u32(data, at + _DAY_LOW), u32(data, at + _CLOSE)


@kernel
def _read_full(data: Array, at: int, p: Record) -> None:
    p.timed = 1
    p.trade_ms = u32(data, at + _TRADE_TIME) * 1000
    p.exchange_ms = u32(data, at + _TIME) * 1000
    p.oi, p.bid, p.ask = u32(data, at + _OI), u32(data, at + _BID), u32(data, at + _ASK)


@kernel
def has_all_fields(inst: Record, p: Record) -> bool:
    """Whether the packet carries what its instrument has: a time for an index, the volume for the others."""
    return bool(p.timed) if inst.is_index else bool(p.has_volume)


@kernel
def is_baseline(inst: Record, p: Record) -> bool:
    """Whether it is the cached packet after a subscribe, or the richer form of it."""
    if inst.awaiting == AWAITS_TIMED:
        return bool(p.timed and p.exchange_ms == 0)
    return bool(inst.awaiting == AWAITS_ANY or (inst.awaiting == AWAITS_RICHER and has_all_fields(inst, p)))
