"""Kite's packets, read with `struct` straight from the published layout (Kite Connect v3, WebSocket streaming)."""

from __future__ import annotations

import struct
from typing import NamedTuple

LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL = 8, 28, 32, 44, 184
LENGTHS = frozenset((LTP, INDEX_QUOTE, INDEX_FULL, QUOTE, FULL))
INDEX_LENGTHS = frozenset((INDEX_QUOTE, INDEX_FULL))
TRADABLE_LENGTHS = frozenset((QUOTE, FULL))

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_LTP = struct.Struct(">2I")
_INDEX = struct.Struct(">5I")
_QUOTE = struct.Struct(">11I")
_FULL = struct.Struct(">16I")
_BEST_BID_PRICE_AT, _BEST_ASK_PRICE_AT = 64 + 4, 124 + 4


class Packet(NamedTuple):
    """One packet in wire integers. None: this layout has no such field. 0 prices: absent or not known."""

    length: int
    token: int
    price: int
    day_open: int = 0
    day_high: int = 0
    day_low: int = 0
    average_price: int = 0
    volume: int | None = None
    trade_s: int | None = None
    exchange_s: int | None = None
    oi: int | None = None
    best_bid: int = 0
    best_ask: int = 0
    quantity: int | None = None

    @property
    def has_own_time(self) -> bool:
        return self.length in (FULL, INDEX_FULL)

    @property
    def is_outside_its_day_range(self) -> bool:
        return self.day_high > 0 and self.day_low > 0 and not self.day_low <= self.price <= self.day_high

    @property
    def has_book(self) -> bool:
        return self.best_ask > 0 and self.best_bid <= self.best_ask

    def has_book_around(self, price: int, tick: int) -> bool:
        """Whether the best bid and ask are there, and the price is between them or a tick beyond."""
        return price % tick == 0 and self.has_book and self.best_bid - tick <= price <= self.best_ask + tick

    def has_book_near(self, price: int, tick: int) -> bool:
        """Whether the price is on the grid and within a tick or a spread, the wider one, of the book."""
        reach = max(tick, self.best_ask - self.best_bid)
        return price % tick == 0 and self.has_book and self.best_bid - reach <= price <= self.best_ask + reach

    def is_repeated_by(self, other: Packet) -> bool:
        """Whether the other adds nothing new. Packets of 8 and 28 bytes are never repetitions."""
        if self.length in (LTP, INDEX_QUOTE):
            return False
        return self._compared() == other._compared()

    def _compared(self) -> tuple[int | None, ...]:
        shown = (self.length, self.price, self.quantity, self.volume, self.trade_s, self.exchange_s)
        return (*shown, self.day_high, self.day_low, self.best_bid, self.best_ask)


def split_frame(frame: bytes) -> tuple[list[bytes], bool]:
    """The complete packets of a frame in order, and whether the frame adds up (one byte is the heartbeat)."""
    if len(frame) == 1:
        return [], True
    if len(frame) < 2:
        return [], False
    packets: list[bytes] = []
    at = 2
    for _ in range(_U16.unpack_from(frame, 0)[0]):
        if at + 2 > len(frame):
            return packets, False
        length = _U16.unpack_from(frame, at)[0]
        if at + 2 + length > len(frame):
            return packets, False
        packets.append(frame[at + 2 : at + 2 + length])
        at += 2 + length
    return packets, at == len(frame)


def decode(packet: bytes) -> Packet | None:
    """The packet's fields; None when no layout has its length."""
    length = len(packet)
    if length == FULL:
        return _decode_full(packet)
    if length == QUOTE:
        token, price, quantity, average, volume, _, _, day_open, high, low, _ = _QUOTE.unpack(packet)
        return Packet(length, token, price, day_open, high, low, average, volume, quantity=quantity)
    if length in INDEX_LENGTHS:
        token, price, high, low, day_open = _INDEX.unpack_from(packet, 0)
        exchange_s = _U32.unpack_from(packet, 28)[0] if length == INDEX_FULL else None
        return Packet(length, token, price, day_open, high, low, exchange_s=exchange_s)
    if length == LTP:
        return Packet(length, *_LTP.unpack(packet))
    return None


def _decode_full(packet: bytes) -> Packet:
    fields = _FULL.unpack_from(packet, 0)
    token, price, quantity, average, volume, _, _, day_open, high, low, _, trade_s, oi, _, _, exchange_s = fields
    bid = _U32.unpack_from(packet, _BEST_BID_PRICE_AT)[0]
    ask = _U32.unpack_from(packet, _BEST_ASK_PRICE_AT)[0]
    return Packet(
        FULL, token, price, day_open, high, low, average, volume, trade_s, exchange_s, oi, bid, ask, quantity
    )
