"""A Wednesday of ordinary hours whose session the exchange extends to 17:00: what came, and the file that has it."""

from __future__ import annotations

import struct
from datetime import datetime
from pathlib import Path

from utils.journal.entries import Entry, EntryId, Kind, subscribed_mark
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import IST

DAY = "2026-07-01"  # a Wednesday of ordinary hours
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
FUTURE = Instrument(
    14500098, "NFO", "INFY26JULFUT", "INFY", "NFO-FUT", "FUT", "2026-07-28", 0.05, 400, SessionClass.EQUITY_DERIVATIVE
)
HEARTBEAT = b"\0"


def ms(clock: str) -> int:
    text = clock if len(clock) == 8 else f"{clock}:00"
    return round(datetime.fromisoformat(f"{DAY}T{text}").replace(tzinfo=IST).timestamp() * 1000)


def index(token: int, price: int, clock: str) -> bytes:
    packet = struct.pack(">8I", token, price, price, price, price, price, 0, ms(clock) // 1000)
    return struct.pack(">HH", 1, len(packet)) + packet


def ltp(instrument: Instrument, price: int) -> bytes:
    return struct.pack(">HHII", 1, 8, instrument.token, price)


def full(instrument: Instrument, price: int, volume: int, clock: str, day: tuple[int, int, int] = (0, 0, 0)) -> bytes:
    """`day` is open, high and low."""
    seconds = ms(clock) // 1000
    head = struct.pack(
        ">16I", instrument.token, price, 1, price, volume, 0, 0, *day, 150_000, seconds, 0, 0, 0, seconds
    )
    return struct.pack(">HH", 1, 184) + head + bytes(120)


def mark(clock: str, *instruments: Instrument) -> Entry:
    return Entry(EntryId(ms(clock), 0), Kind.MARK, subscribed_mark("full", list(instruments)))


def frames(*payloads: tuple[str, bytes]) -> list[Entry]:
    return [Entry(EntryId(ms(clock), 1), Kind.FRAME, payload) for clock, payload in payloads]


def extended_hours(path: Path, close: str = "17:00") -> Path:
    """A file of one's own for the day."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f'[[special]]\nclasses = ["exchange"]\nclose = "{close}"\nsource = "notice of 15:17"\n'
        f'dates = {{ {DAY} = "extended" }}\n'
    )
    return path


MORNING = [
    mark("09:10", INFY),
    *frames(
        ("09:12", full(INFY, 150_000, 100, "09:12")),
        ("11:39:01", full(INFY, 150_100, 200, "11:39:01")),
        ("15:18:01", full(INFY, 150_200, 300, "15:18:01")),
    ),
]
EVENING = frames(
    ("15:20:02", full(INFY, 150_300, 400, "15:20:02")),
    ("15:45:02", full(INFY, 151_000, 1_000, "15:45:02")),
    ("16:20:01", full(INFY, 152_000, 1_200, "16:20:01")),
    ("17:00:04", HEARTBEAT),
)
