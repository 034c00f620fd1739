"""The parts of hand-made cases: times of one day, packets, entries, expected candles."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.reference.inputs import IST_OFFSET, Entry, ReferenceInstrument, ReferenceSettings

DATE = "2026-11-20"
YESTERDAY = "2026-11-19"


def at(clock: str, date: str = DATE) -> int:
    """Epoch ms of an IST time of day, `09:15:05` or `09:15:05.250`."""
    local = datetime.fromisoformat(f"{date}T{clock if clock.count(':') == 2 else clock + ':00'}")
    return round((local.replace(tzinfo=UTC) - IST_OFFSET).timestamp() * 1000)


def second(clock: str) -> int:
    """Epoch seconds, as on the wire. `-` is no time at all (0); `yesterday` the last second of the day before."""
    if clock == "-":
        return 0
    return at("15:29:59", YESTERDAY) // 1000 if clock == "yesterday" else at(clock) // 1000


@dataclass(frozen=True)
class CaseInstrument:
    """An instrument of the cases, and how a `subscribed` mark names it."""

    reference: ReferenceInstrument
    mark: Mapping[str, Any]

    @property
    def token(self) -> int:
        return self.reference.token

    def wire(self, price: float) -> int:
        return round(price * self.reference.divisor)


def instrument(
    symbol: str,
    token: int,
    session_class: str,
    hours: tuple[str, str, str, str],
    *,
    instrument_type: str = "EQ",
    divisor: int = 100,
    tick_size: float = 0.05,
) -> CaseInstrument:
    """`hours` are open, close, day start, day end."""
    exchange, name = symbol.split(":")
    opens, closes, day_start, day_end = (at(clock) for clock in hours)
    reference = ReferenceInstrument(
        symbol=symbol,
        token=token,
        is_index=session_class == "index",
        is_derivative=session_class in ("equity_derivative", "index_derivative", "currency", "commodity"),
        divisor=divisor,
        tick_units=round(tick_size * divisor),
        open_ms=opens,
        close_ms=closes,
        day_start_ms=day_start,
        day_end_ms=day_end,
    )
    mark = {
        "token": token,
        "exchange": exchange,
        "tradingsymbol": name,
        "name": name,
        "segment": "INDICES" if reference.is_index else exchange,
        "instrument_type": instrument_type,
        "expiry": "2026-11-26" if instrument_type == "FUT" else "",
        "tick_size": tick_size,
        "lot_size": 1,
        "session_class": session_class,
    }
    return CaseInstrument(reference, mark)


STOCK = instrument("NSE:SMALLCO", 256_001, "equity", ("09:15", "15:30", "09:00", "15:30"))
FNO_STOCK = instrument("NSE:LARGECO", 512_001, "equity_fno", ("09:15", "15:15", "09:00", "15:35"))
INDEX = instrument("NSE:NIFTY 50", 1_024_009, "index", ("09:15", "15:30", "09:15", "15:30"))
FUTURE = instrument(
    "NFO:LARGECO26NOVFUT",
    768_002,
    "equity_derivative",
    ("09:15", "15:40", "09:15", "15:40"),
    instrument_type="FUT",
)
CURRENCY = instrument(
    "CDS:USDINR26NOVFUT",
    1_280_003,
    "currency",
    ("09:00", "17:00", "09:00", "17:00"),
    instrument_type="FUT",
    divisor=10_000_000,
    tick_size=0.0025,
)


def full(
    who: CaseInstrument,
    price: float,
    volume: int,
    trade: str,
    exchange: str = "",
    *,
    day: tuple[float, float, float] = (0, 0, 0),
    average: float = 0,
    oi: int = 0,
    book: tuple[float, float] = (0, 0),
    quantity: int = 1,
) -> bytes:
    """184 bytes. `trade`, `exchange` are times of day (exchange left out: the same); `day` is open, high, low.

    `book` is the best bid and the best ask, `quantity` the last one traded.
    """
    day_open, high, low = (who.wire(value) for value in day)
    head = struct.pack(
        ">16I",
        who.token,
        who.wire(price),
        quantity,
        who.wire(average),
        volume,
        0,
        0,
        day_open,
        high,
        low,
        0,
        second(trade),
        oi,
        0,
        0,
        second(exchange or trade),
    )
    bid, ask = (struct.pack(">IIHH", 10, who.wire(value), 1, 0) for value in book)
    return head + bid + bytes(48) + ask + bytes(48)


def quote(
    who: CaseInstrument, price: float, volume: int, *, day: tuple[float, float, float] = (0, 0, 0), average: float = 0
) -> bytes:
    """44 bytes."""
    day_open, high, low = (who.wire(value) for value in day)
    fields = (who.token, who.wire(price), 1, who.wire(average), volume, 0, 0, day_open, high, low, 0)
    return struct.pack(">11I", *fields)


def ltp(who: CaseInstrument, price: float) -> bytes:
    """8 bytes."""
    return struct.pack(">2I", who.token, who.wire(price))


def index_quote(who: CaseInstrument, price: float, day: tuple[float, float, float] = (0, 0, 0)) -> bytes:
    """28 bytes; `day` is open, high, low (on the wire high, low, open)."""
    day_open, high, low = (who.wire(value) for value in day)
    return struct.pack(">7I", who.token, who.wire(price), high, low, day_open, 0, 0)


def index_full(
    who: CaseInstrument, price: float, exchange: str, day: tuple[float, float, float] = (0, 0, 0)
) -> bytes:
    """32 bytes."""
    return index_quote(who, price, day) + struct.pack(">I", second(exchange))


def pack(*packets: bytes) -> bytes:
    """The packets as one frame."""
    return struct.pack(">H", len(packets)) + b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)


CaseEntry = tuple[str, str, bytes]


def frame(clock: str, *packets: bytes) -> CaseEntry:
    return clock, "f", pack(*packets)


def raw_frame(clock: str, payload: bytes) -> CaseEntry:
    return clock, "f", payload


def heartbeat(clock: str) -> CaseEntry:
    return clock, "f", b"\x00"


def text(clock: str) -> CaseEntry:
    return clock, "t", b'{"type":"message","data":"hello"}'


def subscribed(clock: str, *instruments: CaseInstrument) -> CaseEntry:
    named = [dict(instrument.mark) for instrument in instruments]
    return clock, "m", json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode()


def mark(clock: str, name: str) -> CaseEntry:
    """`clock`, `up` or `down`."""
    content = {"mark": name, "reason": "closed"} if name == "down" else {"mark": name}
    return clock, "m", json.dumps(content).encode()


def cached(who: CaseInstrument, price: float = 99.0) -> bytes:
    """Yesterday's packet from the server's cache: the usual first one after a subscribe before the open."""
    return full(who, price, 500_000, "yesterday")


def opening(*instruments: CaseInstrument) -> tuple[CaseEntry, ...]:
    """Subscribed at 09:14:00, and yesterday's cached packets one second later."""
    return subscribed("09:14:00", *instruments), frame(
        "09:14:01", *(cached(instrument) for instrument in instruments)
    )


def entries(*written: CaseEntry) -> tuple[Entry, ...]:
    """Entries with ids as the connector gives them: a counter within the millisecond."""
    numbered: list[Entry] = []
    for clock, kind, payload in written:
        ms = at(clock)
        counter = numbered[-1].counter + 1 if numbered and numbered[-1].ms == ms else 0
        numbered.append(Entry(ms, counter, kind, payload))
    return tuple(numbered)


@dataclass(frozen=True)
class Expected:
    """One final candle, worked out by hand. Times of day; prices in the quote currency."""

    symbol: str
    timeframe: str
    start: str
    end: str
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    vwap: float | None
    ticks: int
    complete: bool = True
    rev: int = 0
    oi: int | None = None
    timed_by: str = "exchange"
    closed: bool = True


Prices = tuple[float, float, float, float]


def minute(
    who: CaseInstrument, start: str, prices: Prices, volume: int | None, vwap: float | None, ticks: int, **more: Any
) -> Expected:
    """The `1m` candle that starts at `start`; prices are open, high, low, close."""
    end = f"{start[:3]}{int(start[3:]) + 1:02}"
    return Expected(who.reference.symbol, "1m", start, end, *prices, volume, vwap, ticks, **more)


def full_day(
    who: CaseInstrument, prices: Prices, volume: int | None, vwap: float | None, ticks: int, **more: Any
) -> Expected:
    """The `1d` candle, still open unless `closed=True` is given."""
    start, end = {
        STOCK.token: ("09:15", "15:30"),
        FNO_STOCK.token: ("09:15", "15:35"),
        INDEX.token: ("09:15", "15:30"),
        FUTURE.token: ("09:15", "15:40"),
        CURRENCY.token: ("09:00", "17:00"),
    }[who.token]
    return Expected(who.reference.symbol, "1d", start, end, *prices, volume, vwap, ticks, **{"closed": False, **more})


MINUTE_AND_DAY = ReferenceSettings(timeframes=(("1m", 60_000), ("1d", 0)))


@dataclass(frozen=True)
class Case:
    """Inputs and expected output. `choice`: what was decided where the page leaves it open ("" = it does not).

    events: (symbol, timeframe, start, rev) in order, where the case is about them.
    """

    name: str
    instruments: tuple[CaseInstrument, ...]
    entries: tuple[Entry, ...]
    expected: tuple[Expected, ...]
    settings: ReferenceSettings = MINUTE_AND_DAY
    rejected: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    events: Sequence[tuple[str, str, str, int]] | None = None
    choice: str = ""
