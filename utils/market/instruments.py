"""Instruments: who they are, which session hours they keep, and the broker's daily dump of them."""

from __future__ import annotations

import csv
import gzip
import io
import re
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from operator import itemgetter
from typing import Any


class SessionClass(StrEnum):
    """What decides an instrument's trading hours; the hours themselves are data (sessions.toml)."""

    EQUITY_FNO = "equity_fno"
    EQUITY = "equity"
    INDEX = "index"
    EQUITY_DERIVATIVE = "equity_derivative"
    INDEX_DERIVATIVE = "index_derivative"
    CURRENCY = "currency"
    COMMODITY = "commodity"


_CASH = (SessionClass.EQUITY, SessionClass.EQUITY_FNO, SessionClass.INDEX)
_DERIVATIVES = (SessionClass.EQUITY_DERIVATIVE, SessionClass.INDEX_DERIVATIVE)
_CLASSES_OF_EXCHANGE = {
    "NSE": _CASH,
    "BSE": _CASH,
    "NFO": _DERIVATIVES,
    "BFO": _DERIVATIVES,
    "CDS": (SessionClass.CURRENCY,),
    "BCD": (SessionClass.CURRENCY,),
    "MCX": (SessionClass.COMMODITY,),
    "NCO": (SessionClass.COMMODITY,),
}


EXCHANGES = tuple(_CLASSES_OF_EXCHANGE)


def classes_of_exchange(exchange: str) -> tuple[SessionClass, ...]:
    """Whose hours are kept there; empty for an exchange of which nobody knows any (NSEIX, GLOBAL)."""
    return _CLASSES_OF_EXCHANGE.get(exchange, ())


@dataclass(frozen=True, slots=True)
class Instrument:
    """One row of the broker's dump, as far as the pipeline needs it. Tokens are reused: `symbol` is the key."""

    token: int
    exchange: str
    tradingsymbol: str
    name: str
    segment: str
    instrument_type: str
    expiry: str
    tick_size: float
    lot_size: int
    session_class: SessionClass

    @property
    def symbol(self) -> str:
        """`NSE:INFY`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def is_index(self) -> bool:
        return self.session_class is SessionClass.INDEX

    @property
    def is_option(self) -> bool:
        return self.instrument_type in OPTION_TYPES

    @property
    def hours_class(self) -> SessionClass | None:
        """Whose hours it keeps: an index of MCX those of commodities. None where nobody knows any."""
        classes = classes_of_exchange(self.exchange)
        if self.session_class in classes:
            return self.session_class
        return classes[0] if len(classes) == 1 else None

    @property
    def places(self) -> tuple[str, ...]:
        """Where it is listed, the narrowest first (`MCX:KAPAS`, `MCX-FUT`, `MCX`); a stock has no underlying."""
        listed = self.segment, self.exchange
        return listed if self.exchange in CASH_EXCHANGES else (f"{self.exchange}:{self.name}", *listed)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Any) -> Instrument:
        """The inverse of `as_dict`; fields that are not ours are left out. ValueError when it is no instrument."""
        if not isinstance(content, dict):
            raise ValueError(f"an instrument is an object with fields, not {type(content).__name__}")
        absent = [name for name in cls.__slots__ if name not in content]
        if absent:
            raise ValueError(f"an instrument without {absent[0]}")
        fields: dict[str, Any] = {name: content[name] for name in cls.__slots__}
        for name, is_right in _FIELD_CHECKS.items():
            if not is_right(fields[name]):
                raise ValueError(f"an instrument whose {name} is {str(fields[name])[:40]!r}")
        return cls(**{**fields, "session_class": SessionClass(fields["session_class"])})


HIGHEST_TOKEN = (1 << 32) - 1
HIGHEST_TICK_SIZE = 10_000.0  # in wire units, and times what a setting may make of it, it must fit into 64 bits
HIGHEST_LOT = (1 << 32) - 1


def _is_whole(value: object, lowest: int, highest: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest


_FIELD_CHECKS: dict[str, Callable[[Any], bool]] = {
    "token": lambda value: _is_whole(value, 1, HIGHEST_TOKEN),
    "exchange": lambda value: isinstance(value, str),
    "tradingsymbol": lambda value: isinstance(value, str),
    "name": lambda value: isinstance(value, str),
    "segment": lambda value: isinstance(value, str),
    "instrument_type": lambda value: isinstance(value, str),
    "expiry": lambda value: isinstance(value, str),
    "tick_size": lambda value: type(value) in (int, float) and 0 <= value <= HIGHEST_TICK_SIZE,
    "lot_size": lambda value: _is_whole(value, 0, HIGHEST_LOT),
    "session_class": lambda value: isinstance(value, str) and value in set(SessionClass),
}


class DumpError(ValueError):
    """The dump cannot be read at all; one sentence gives the reason."""


@dataclass(frozen=True, slots=True)
class DumpContent:
    """What a dump holds: its instruments, in its order, and how many rows were left out for which reason."""

    instruments: list[Instrument]
    skipped: dict[str, int]

    @property
    def skipped_sentence(self) -> str:
        """Empty when no row was skipped."""
        if not self.skipped:
            return ""
        reasons = ", ".join(f"{count} because {reason}" for reason, count in self.skipped.items())
        return f"{sum(self.skipped.values())} rows of the instruments dump were skipped: {reasons}"


COLUMNS = (
    "instrument_token",
    "exchange",
    "tradingsymbol",
    "name",
    "segment",
    "instrument_type",
    "expiry",
    "tick_size",
    "lot_size",
)
INDICES_SEGMENT = "INDICES"
OPTION_TYPES = ("CE", "PE")
CASH_EXCHANGES = frozenset({"NSE", "BSE"})
DERIVATIVE_EXCHANGES = frozenset({"NFO", "BFO"})
GZIP_MAGIC = b"\x1f\x8b"

_TOKEN = re.compile(r"[0-9]{1,10}")
_LARGEST_DUMP = 256 << 20  # bytes; the broker's has 10 MB

Row = tuple[str, ...]


class _RowError(ValueError):
    """Why one row is skipped."""


def parse_dump(csv_bytes: bytes) -> list[Instrument]:
    """The instruments of the broker's CSV (gzip or plain); bad rows are left out, `read_dump` also counts them."""
    return read_dump(csv_bytes).instruments


def read_dump(csv_bytes: bytes) -> DumpContent:
    """The broker's instruments CSV (Kite Connect v3, "Instruments"), gzip or plain, with its faults counted.

    DumpError when it is no such CSV at all; a bad row is skipped, never fatal.
    """
    skipped: Counter[str] = Counter()
    rows = _rows(_text(csv_bytes), skipped)
    stocks = {row[2] for row in rows if row[1] in CASH_EXCHANGES and row[4] != INDICES_SEGMENT}
    with_futures = {row[3] for row in rows if row[1] in DERIVATIVE_EXCHANGES and row[5] == "FUT"}
    instruments: dict[str, Instrument] = {}
    for row in rows:
        try:
            instrument = _instrument(row, stocks, with_futures)
        except _RowError as error:
            skipped[str(error)] += 1
            continue
        if instruments.setdefault(instrument.symbol, instrument) is not instrument:
            skipped["their symbol stood there before"] += 1
    return DumpContent(list(instruments.values()), dict(skipped))


def breaks_off(csv_bytes: bytes) -> bool:
    """Whether the last row is shorter than the header: what followed it did not arrive."""
    text = _text(csv_bytes).rstrip()
    try:
        header, last = (
            next(csv.reader([text.partition("\n")[0]]), []),
            next(csv.reader([text.rpartition("\n")[2]]), []),
        )
    except csv.Error:
        return True
    return len(last) < len(header)


def select(instruments: Iterable[Instrument], symbols: Sequence[str]) -> tuple[list[Instrument], list[str]]:
    """Those asked for (`NSE:INFY`), in the order asked, and the symbols that are not there."""
    wanted = set(symbols)
    by_symbol = {instrument.symbol: instrument for instrument in instruments if instrument.symbol in wanted}
    found = [by_symbol[symbol] for symbol in symbols if symbol in by_symbol]
    return found, [symbol for symbol in symbols if symbol not in by_symbol]


def _text(csv_bytes: bytes) -> str:
    if csv_bytes[:2] != GZIP_MAGIC:
        plain = csv_bytes
    else:
        try:
            plain = gzip.GzipFile(fileobj=io.BytesIO(csv_bytes)).read(_LARGEST_DUMP + 1)
        except (OSError, EOFError, zlib.error, struct.error) as error:
            raise DumpError(f"the instruments dump is a broken gzip file ({error}): fetch it again") from None
    if len(plain) > _LARGEST_DUMP:
        raise DumpError(f"the instruments dump is larger than {_LARGEST_DUMP >> 20} MB: that is not the broker's")
    return plain.decode("utf-8-sig", errors="replace")


def _rows(text: str, skipped: Counter[str]) -> list[Row]:
    """The rows as tuples in the order of COLUMNS."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DumpError(f"the instruments dump is no CSV ({error}): it begins with {text[:60]!r}") from None
    absent = [name for name in COLUMNS if name not in header]
    if absent:
        raise DumpError(f"the instruments dump has no column {absent[0]!r}: it begins with {text[:60]!r}")
    pick = itemgetter(*(header.index(name) for name in COLUMNS))
    width, rows = len(header), []
    try:
        for row in reader:
            if len(row) == width:
                rows.append(pick(row))
            elif row:
                skipped[f"they do not have {width} columns"] += 1
    except csv.Error:
        skipped["the CSV breaks off there"] += 1
    return rows


def _instrument(row: Row, stocks: set[str], with_futures: set[str]) -> Instrument:
    token_text, exchange, tradingsymbol, name, segment, instrument_type, expiry, tick_size, lot_size = row
    if not (_TOKEN.fullmatch(token_text) and 0 < int(token_text) <= HIGHEST_TOKEN):
        raise _RowError("their instrument_token is no token")
    if not tradingsymbol:
        raise _RowError("they have no tradingsymbol")
    return Instrument(
        token=int(token_text),
        exchange=exchange,
        tradingsymbol=tradingsymbol,
        name=name,
        segment=segment,
        instrument_type=instrument_type,
        expiry=_expiry(expiry),
        tick_size=_number(tick_size, "tick_size", HIGHEST_TICK_SIZE),
        lot_size=int(_number(lot_size, "lot_size", HIGHEST_LOT)),
        session_class=_session_class(row, stocks, with_futures),
    )


def _session_class(row: Row, stocks: set[str], with_futures: set[str]) -> SessionClass:
    _, exchange, tradingsymbol, name, segment, *_ = row
    classes = classes_of_exchange(exchange)
    if not classes:
        raise _RowError(f"no trading hours are known for exchange {exchange[:12]!r}")
    if segment == INDICES_SEGMENT:
        return SessionClass.INDEX
    if exchange in CASH_EXCHANGES:
        return SessionClass.EQUITY_FNO if tradingsymbol in with_futures else SessionClass.EQUITY
    if exchange in DERIVATIVE_EXCHANGES:
        return SessionClass.EQUITY_DERIVATIVE if name in stocks else SessionClass.INDEX_DERIVATIVE
    return classes[0]


@lru_cache(maxsize=4096)
def _number(text: str, column: str, highest: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise _RowError(f"their {column} is no number of 0 or more")
    if number > highest:
        raise _RowError(f"their {column} is above {highest:.0f}")
    return number


@lru_cache(maxsize=4096)
def _expiry(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise _RowError("their expiry is no date such as 2026-11-26") from None
