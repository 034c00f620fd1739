"""Weekly options that come and go: of each week other contracts, traded on their expiry day, and never again."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import date, timedelta

from tests.reference.case_building import at
from utils.journal.entries import Entry, EntryId, Kind, subscribed_mark
from utils.market.instruments import Instrument, SessionClass

FIRST_EXPIRY = date(2026, 1, 6)
HEARTBEAT = b"\0"


def expiry_of(week: int) -> date:
    return FIRST_EXPIRY + timedelta(weeks=week)


def contracts(week: int, count: int, first_token: int = 1_000_000) -> list[Instrument]:
    """Those that expire in a week; no token and no symbol comes twice."""
    expiry = expiry_of(week)
    return [
        Instrument(
            ((first_token + week * 1_000 + n) << 8) | 2,
            "NFO", f"NIFTY{expiry:%y%m%d}{20_000 + 50 * n}CE", "NIFTY", "NFO-OPT", "CE",
            expiry.isoformat(), 0.05, 65, SessionClass.INDEX_DERIVATIVE,
        )
        for n in range(count)
    ]  # fmt: skip


def mark(day: date, clock: str, named: Sequence[Instrument]) -> Entry:
    return Entry(EntryId(at(clock, day.isoformat()), 0), Kind.MARK, subscribed_mark("full", list(named)))


def heartbeat(day: date, clock: str) -> Entry:
    return Entry(EntryId(at(clock, day.isoformat()), 0), Kind.FRAME, HEARTBEAT)


def trades(day: date, clock: str, named: Sequence[Instrument], volume: int) -> Entry:
    """A full packet of each in one frame, at the rupee price `volume`: the cumulative volume of the day."""
    ms = at(clock, day.isoformat())
    prices = (100 * volume, 1, 100 * volume, volume, 0, 0, 10_000, 1_000_000, 100, 10_000)
    packets = [
        struct.pack(">16I", instrument.token, *prices, ms // 1000, 500, 0, 0, ms // 1000) + bytes(120)
        for instrument in named
    ]
    payload = struct.pack(">H", len(packets)) + b"".join(
        struct.pack(">H", len(packet)) + packet for packet in packets
    )
    return Entry(EntryId(ms, 0), Kind.FRAME, payload)


def expiry_day(week: int, named: Sequence[Instrument]) -> list[Entry]:
    """Subscribed, some minutes of trading, and the close."""
    day = expiry_of(week)
    minutes = [trades(day, f"09:{15 + n}", named, 100 + n) for n in range(4)]
    return [mark(day, "09:10", named), *minutes, heartbeat(day, "15:45")]
