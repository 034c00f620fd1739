"""What is kept in MongoDB, and how it is found; `utils/stores/mongo_database.py` makes the calls.

Reads are ranges on `k`, the one key that sorts.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from utils.keys import (
    CANDLES_COLLECTION,
    COVERAGE_COLLECTION,
    INSTRUMENTS_COLLECTION,
    OUTAGES_COLLECTION,
    SIGNALS_COLLECTION,
    candle_id,
)
from utils.market.candle import Candle
from utils.runtime.store_urls import MONGO_URL_EXAMPLE, is_mongo_url
from utils.stores.documents import Document, RefusedDocument, StoreError, Write

if TYPE_CHECKING:
    from utils.stores.mongo_database import MongoDatabase

__all__ = ["Document", "MongoStore", "RefusedDocument", "StoreError"]

SERVER_SELECTION_TIMEOUT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000

_OF_A_SERIES = ("symbol", "timeframe", "t")
INDEXES = {
    CANDLES_COLLECTION: _OF_A_SERIES,
    SIGNALS_COLLECTION: _OF_A_SERIES,
    COVERAGE_COLLECTION: _OF_A_SERIES,
    INSTRUMENTS_COLLECTION: ("symbol", "t"),
    OUTAGES_COLLECTION: ("shard", "t"),
}


class MongoStore:
    """Candles, signals, instruments, coverage and outages in one database.

    Connects when first used; safe to share between threads.
    """

    def __init__(
        self,
        url: str,
        database: str,
        socket_timeout_ms: int = SOCKET_TIMEOUT_MS,
        selection_timeout_ms: int = SERVER_SELECTION_TIMEOUT_MS,
    ) -> None:
        """No I/O. StoreError when the URL is none."""
        if not is_mongo_url(url):
            raise StoreError(f"MONGO_URL is not {MONGO_URL_EXAMPLE}")
        self._place = (url, database, socket_timeout_ms, selection_timeout_ms)
        self._opening = threading.Lock()
        self._opened: MongoDatabase | None = None
        self._is_prepared = False

    def prepare(self) -> None:
        """The indexes; the first write makes them by itself. StoreError."""
        for name, fields in INDEXES.items():
            self._database.make_indexes(name, fields)
        self._is_prepared = True

    def ping(self) -> None:
        """StoreError when MongoDB does not answer."""
        self._database.ping()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def clear(self) -> None:
        """Drop every collection: for a demo's or a replay's own database, never for live data. StoreError."""
        self._database.clear()
        self._is_prepared = False

    def upsert_candles(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Write `Candle.as_document()`s, the last of an `_id` winning. Those refused for themselves are returned.

        A higher `rev` that is there stays: a writer that was held up does not undo what came after it.
        """
        return self._write(CANDLES_COLLECTION, documents, Write.REPLACE_UNLESS_NEWER)

    def upsert_signals(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Write `Signal.as_document()`s, the last of an `_id` winning. Those refused for themselves are returned."""
        return self._write(SIGNALS_COLLECTION, documents, Write.REPLACE)

    def add_missing_candles(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Write those whose `_id` is not there; what is there stays (history never replaces what was seen live)."""
        return self._write(CANDLES_COLLECTION, documents, Write.ADD)

    def mark_candles(self, symbol: str, from_ms: int, before_ms: int, fields: Mapping[str, Any]) -> int:
        """Set fields on all candles of a symbol that start in [from_ms, before_ms); returns how many. StoreError."""
        query = {"k": {"$gte": f"{symbol}|", "$lt": f"{symbol}}}"}, "t": {"$gte": from_ms, "$lt": before_ms}}
        return self._database.set_fields("marking candles", CANDLES_COLLECTION, query, fields)

    def upsert_instruments(self, documents: Sequence[Document], day: str) -> list[RefusedDocument]:
        """Write `Instrument.as_dict()`s as they stood on a day (ISO date): `_id` is `NSE:INFY|2026-11-20`."""
        dated = [_dated_instrument(document, day) for document in documents]
        return self._write(INSTRUMENTS_COLLECTION, dated, Write.REPLACE)

    def upsert_outages(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Write `Outage.as_document()`s; one that lasts is written again, under the same `_id`, when it has ended."""
        return self._write(OUTAGES_COLLECTION, documents, Write.REPLACE)

    def upsert_coverage(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """Write `Coverage.as_document()`s, the last of an `_id` winning; what is refused for itself is returned."""
        return self._write(COVERAGE_COLLECTION, documents, Write.REPLACE)

    def candles_before(self, symbol: str, timeframe: str, before_ms: int, limit: int) -> list[Candle]:
        """The newest `limit` candles that start before an instant (epoch ms), oldest first. StoreError."""
        found = self._find(candle_id(symbol, timeframe, 0), candle_id(symbol, timeframe, before_ms), -1, limit)
        return _candles(found[::-1])

    def newest_of_each(
        self, series: Iterable[tuple[str, str]], before_ms: int, limit: int
    ) -> dict[tuple[str, str], list[Candle]]:
        """Of each (symbol, timeframe) what `candles_before` has: its newest `limit`, oldest first. StoreError.

        Goes down the keys: an answer that is longer than one series continues into those below it, so that short and
        empty ones need no question of their own.
        """
        waiting = sorted(
            (candle_id(*wanted_pair, before_ms), candle_id(*wanted_pair, 0), wanted_pair)
            for wanted_pair in set(series)
        )
        found: dict[tuple[str, str], list[Candle]] = {}
        while waiting:
            page = self._find(waiting[0][1], waiting[-1][0], -1, limit)
            passed = page[-1]["k"] if len(page) == limit else ""
            is_known = True  # the first of a page is: all that is asked of it fits in
            while waiting and is_known:
                above, bottom, asked_pair = waiting.pop()
                found[asked_pair] = _candles([each for each in reversed(page) if bottom <= each["k"] < above])
                is_known = bool(waiting) and waiting[-1][1] > passed
        return found

    def candles_between(self, symbol: str, timeframe: str, from_ms: int, to_ms: int) -> list[Candle]:
        """The candles that start in [from_ms, to_ms), oldest first. StoreError."""
        found = self._find(candle_id(symbol, timeframe, from_ms), candle_id(symbol, timeframe, to_ms), 1, 0)
        return _candles(found)

    def signals_between(self, from_ms: int, to_ms: int) -> list[Document]:
        """The signals whose time `t` lies in [from_ms, to_ms), by time. A scan: for people and tests. StoreError."""
        query = {"t": {"$gte": from_ms, "$lt": to_ms}}
        return self._database.find("reading signals", SIGNALS_COLLECTION, query, [("t", 1), ("_id", 1)])

    def count(self, collection: str, symbol: str = "", timeframe: str = "") -> int:
        """How many documents, all or those of a symbol and timeframe. A scan: never in a hot path. StoreError."""
        query = {name: value for name, value in (("symbol", symbol), ("timeframe", timeframe)) if value}
        return self._database.count(collection, query)

    @property
    def _database(self) -> MongoDatabase:
        with self._opening:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> MongoDatabase:
        # pymongo takes 0.15 s to import: no shard waits for it, and the archives' threads have it before they write.
        from utils.stores.mongo_database import MongoDatabase  # noqa: PLC0415

        return MongoDatabase(*self._place)

    def _find(self, from_key: str, to_key: str, direction: int, limit: int) -> list[Document]:
        query = {"k": {"$gte": from_key, "$lt": to_key}}
        found = self._database.find("reading candles", CANDLES_COLLECTION, query, [("k", direction)], limit)
        if not all(isinstance(document, dict) and isinstance(document.get("k"), str) for document in found):
            raise StoreError("MongoDB gave an answer that cannot be read (reading candles: one has no key k)")
        return found

    def _write(self, name: str, documents: Sequence[Document], write: Write) -> list[RefusedDocument]:
        if not self._is_prepared:
            self.prepare()
        return self._database.write(name, documents, write)


def _candles(documents: Sequence[Document]) -> list[Candle]:
    """As candles; one that another program wrote in a form of its own is left out, and logged."""
    candles: list[Candle] = []
    for document in documents:
        try:
            candles.append(Candle.from_document(document))
        except (KeyError, ValueError, TypeError) as error:
            log = structlog.get_logger("mongo")
            log.warning("a candle in MongoDB cannot be read", id=str(document.get("_id")), reason=repr(error))
    return candles


def _dated_instrument(instrument: Mapping[str, Any], day: str) -> Document:
    symbol = f"{instrument['exchange']}:{instrument['tradingsymbol']}"
    key = f"{symbol}|{day}"  # the stand-in does not find an `_id` that begins with a date
    return {"_id": key, "k": key, "t": int(day.replace("-", "")), "day": day, "symbol": symbol, **instrument}
