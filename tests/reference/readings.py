"""A packet read on its date: trade time, volume, of today or not (CANDLES.md, section 3)."""

from __future__ import annotations

from typing import NamedTuple

from tests.reference.inputs import ReferenceInstrument, ist_midnight_ms
from tests.reference.packets import FULL, Packet


class Now(NamedTuple):
    """The entry at hand: its receive time, and since when the feed is up (None: it is down)."""

    ms: int
    up_since_ms: int | None

    def is_complete_from(self, start_ms: int) -> bool:
        return self.up_since_ms is not None and self.up_since_ms <= start_ms


class Reading(NamedTuple):
    """A packet with its `T`, `X`, `cum_now` (None: no volume), `today` and `live`, as the page has them.

    midnight_ms: the beginning of the date of receipt.
    """

    packet: Packet
    t_ms: int
    x_ms: int
    cum_now: int | None
    today: bool
    live: bool
    midnight_ms: int


def read(packet: Packet, instrument: ReferenceInstrument, received_ms: int) -> Reading:
    x_ms = received_ms if packet.exchange_s is None else packet.exchange_s * 1000
    t_ms = packet.trade_s * 1000 if packet.trade_s is not None else x_ms
    midnight_ms = ist_midnight_ms(received_ms)
    today = t_ms >= midnight_ms
    cum_now = 0 if packet.length == FULL and not today else packet.volume
    starts, ends = instrument.day_start_ms, instrument.day_end_ms
    live = starts is not None and ends is not None and starts <= t_ms < ends
    return Reading(packet, t_ms, x_ms, cum_now, today, live, midnight_ms)
