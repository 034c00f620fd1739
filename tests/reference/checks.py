"""Why a packet is rejected before it is looked at as a trade (CANDLES.md, section 3)."""

from __future__ import annotations

from tests.reference.inputs import ReferenceInstrument
from tests.reference.packets import FULL, INDEX_FULL, INDEX_LENGTHS, TRADABLE_LENGTHS, Packet

YEAR_2000_S = 946_684_800


def rejection(packet: Packet, instrument: ReferenceInstrument, received_ms: int, skew_ms: int) -> str | None:
    """The reason of the first check that fails, of those that follow length and token; None when all pass."""
    if packet.length in (TRADABLE_LENGTHS if instrument.is_index else INDEX_LENGTHS):
        return "length"
    if packet.price == 0:
        return "price"
    if packet.day_high > 0 and packet.day_low > 0 and not packet.day_low <= packet.price <= packet.day_high:
        return "range"
    if packet.length in (INDEX_FULL, FULL) and not _times_are_sane(packet, received_ms + skew_ms):
        return "time"
    if _is_crossed(packet, instrument):
        return "crossed"
    return None


def _times_are_sane(packet: Packet, latest_ms: int) -> bool:
    exchange_s = packet.exchange_s or 0
    trade_s = packet.trade_s or 0
    if exchange_s < YEAR_2000_S or exchange_s * 1000 > latest_ms:
        return False
    return trade_s == 0 or (trade_s >= YEAR_2000_S and trade_s * 1000 <= latest_ms)


def _is_crossed(packet: Packet, instrument: ReferenceInstrument) -> bool:
    if packet.best_bid == 0 or packet.best_ask == 0 or packet.best_bid <= packet.best_ask:
        return False
    if instrument.open_ms is None or instrument.close_ms is None or packet.exchange_s is None:
        return False
    return instrument.open_ms <= packet.exchange_s * 1000 < instrument.close_ms
