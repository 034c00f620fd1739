"""The checks that reject a packet regardless of the next one (CANDLES.md, section 3)."""

from __future__ import annotations

from tests.reference.inputs import ReferenceInstrument
from tests.reference.packets import INDEX_LENGTHS, TRADABLE_LENGTHS, Packet

YEAR_2000_S = 946_684_800


def rejection(packet: Packet, instrument: ReferenceInstrument, is_baseline: bool, latest_ms: int) -> str | None:
    """The reason of the first check that fails, of those that follow length and token; None when all pass."""
    if packet.length in (TRADABLE_LENGTHS if instrument.is_index else INDEX_LENGTHS):
        return "length"
    if packet.price == 0 and not (is_baseline and not packet.volume):
        return "price"
    if packet.has_own_time and not _times_are_sane(packet, is_baseline, latest_ms):
        return "time"
    if _is_crossed(packet, instrument):
        return "crossed"
    return None


def _times_are_sane(packet: Packet, is_baseline: bool, latest_ms: int) -> bool:
    exchange_s, trade_s = packet.exchange_s or 0, packet.trade_s or 0
    exchange_is_sane = is_baseline if exchange_s == 0 else _is_sane(exchange_s, latest_ms)
    return exchange_is_sane and (trade_s == 0 or _is_sane(trade_s, latest_ms))


def _is_sane(time_s: int, latest_ms: int) -> bool:
    return time_s >= YEAR_2000_S and time_s * 1000 <= latest_ms


def _is_crossed(packet: Packet, instrument: ReferenceInstrument) -> bool:
    if packet.best_bid == 0 or packet.best_ask == 0 or packet.best_bid <= packet.best_ask:
        return False
    if instrument.open_ms is None or instrument.close_ms is None or packet.exchange_s is None:
        return False
    return instrument.open_ms <= packet.exchange_s * 1000 < instrument.close_ms
