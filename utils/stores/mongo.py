"""The one owner of every MongoDB call: only what behaves the same on a real mongod and on the stand-in.

Every write is an upsert by `_id`, so repeating one is harmless. Reads are ranges on `k`, the one key that sorts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import bson
import pymongo
import structlog
from bson.errors import InvalidDocument
from pymongo import MongoClient, ReplaceOne, UpdateOne
from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, PyMongoError

from utils.candle import Candle
from utils.keys import (
    CANDLES_COLLECTION,
    COVERAGE_COLLECTION,
    INSTRUMENTS_COLLECTION,
    OUTAGES_COLLECTION,
    SIGNALS_COLLECTION,
    candle_id,
)

SERVER_SELECTION_TIMEOUT_MS = 3_000
SOCKET_TIMEOUT_MS = 20_000
WRITE_BATCH = 1_000
# Error codes that speak of the one document (mongod's error_codes.yml): any other is the server's trouble.
DOCUMENT_FAULT_CODES = frozenset({2, 9, 14, 52, 53, 54, 55, 57, 66, 121, 10334, 17280, 17419, 17420})
DUPLICATE_KEY = 11000
UNKNOWN_ERROR = 8  # what the stand-in says of everything, a locked file among it
SERVER_TROUBLE_WORDS = ("locked", "disk", "i/o", "readonly", "interrupted", "timeout")

LARGEST_DOCUMENT_BYTES = 16_000_000

_OF_A_SERIES = ("symbol", "timeframe", "t")
INDEXES = {
    CANDLES_COLLECTION: _OF_A_SERIES,
    SIGNALS_COLLECTION: _OF_A_SERIES,
    COVERAGE_COLLECTION: _OF_A_SERIES,
    INSTRUMENTS_COLLECTION: ("symbol", "t"),
    OUTAGES_COLLECTION: ("shard", "t"),
}

T = TypeVar("T")
Document = dict[str, Any]
Operation = ReplaceOne[Document] | UpdateOne
BuildOperation = Callable[[Document], Operation]


class StoreError(RuntimeError):
    """MongoDB did not do what it was asked: away, slow or refusing. Trying again later is safe."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A document that MongoDB will never take, and why."""

    document: Document
    reason: str


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
        try:
            self._client: MongoClient[Document] = MongoClient(
                url,
                connect=False,
                serverSelectionTimeoutMS=selection_timeout_ms,
                connectTimeoutMS=selection_timeout_ms,
                socketTimeoutMS=socket_timeout_ms,
                retryWrites=False,
                tz_aware=True,
            )
        except (PyMongoError, ValueError) as error:
            raise StoreError(
                f"MONGO_URL is not a MongoDB URL such as mongodb://127.0.0.1:27017 ({type(error).__name__})"
            ) from None
        self._database = self._client[database]
        self._is_prepared = False

    def prepare(self) -> None:
        """The indexes; the first write makes them by itself. StoreError."""
        for name in INDEXES:
            self._do("making the indexes", partial(self._prepare_one, name))
        self._is_prepared = True

    def ping(self) -> None:
        """StoreError when MongoDB does not answer."""
        self._do("asking whether it is there", lambda: self._client.admin.command("ping"))

    def close(self) -> None:
        self._client.close()

    def clear(self) -> None:
        """Drop every collection: for a demo's or a replay's own database, never for live data. StoreError."""
        self._do("emptying the database", self._drop_all)
        self._is_prepared = False

    def upsert_candles(self, documents: Sequence[Document]) -> list[Refusal]:
        """Write `Candle.as_document()`s, the last of an `_id` winning. Those refused for themselves are returned.

        A higher `rev` that is there stays: a writer that was held up does not undo what came after it.
        """
        return self._write(CANDLES_COLLECTION, documents, _replace_unless_newer)

    def upsert_signals(self, documents: Sequence[Document]) -> list[Refusal]:
        """Write `Signal.as_document()`s, the last of an `_id` winning. Those refused for themselves are returned."""
        return self._write(SIGNALS_COLLECTION, documents, _replace)

    def add_missing_candles(self, documents: Sequence[Document]) -> list[Refusal]:
        """Write those whose `_id` is not there; what is there stays (history never replaces what was seen live)."""
        return self._write(CANDLES_COLLECTION, documents, _insert_if_absent)

    def upsert_instruments(self, documents: Sequence[Document], day: str) -> list[Refusal]:
        """Write `Instrument.as_dict()`s as they stood on a day (ISO date): `_id` is `NSE:INFY|2026-11-20`."""
        dated = [_dated_instrument(one, day) for one in documents]
        return self._write(INSTRUMENTS_COLLECTION, dated, _replace)

    def upsert_outages(self, documents: Sequence[Document]) -> list[Refusal]:
        """Write `Outage.as_document()`s; one that lasts is written again, under the same `_id`, when it has ended."""
        return self._write(OUTAGES_COLLECTION, documents, _replace)

    def upsert_coverage(self, documents: Sequence[Document]) -> list[Refusal]:
        """Write `Coverage.as_document()`s, the last of an `_id` winning; what is refused for itself is returned."""
        return self._write(COVERAGE_COLLECTION, documents, _replace)

    def candles_before(self, symbol: str, timeframe: str, before_ms: int, limit: int) -> list[Candle]:
        """The newest `limit` candles that start before an instant (epoch ms), oldest first. StoreError."""
        found = self._find(candle_id(symbol, timeframe, 0), candle_id(symbol, timeframe, before_ms), -1, limit)
        return _candles(found[::-1])

    def newest_of_each(
        self, series: Iterable[tuple[str, str]], before_ms: int, limit: int
    ) -> dict[tuple[str, str], list[Candle]]:
        """Of each (symbol, timeframe) what `candles_before` has: its newest `limit`, oldest first. StoreError.

        Goes down the keys: an answer that is longer than one series goes on into those below it, so that short and
        empty ones need no question of their own.
        """
        waiting = sorted((candle_id(*one, before_ms), candle_id(*one, 0), one) for one in set(series))
        found: dict[tuple[str, str], list[Candle]] = {}
        while waiting:
            page = self._find(waiting[0][1], waiting[-1][0], -1, limit)
            passed = page[-1]["k"] if len(page) == limit else ""
            is_known = True  # the first of a page is: all that is asked of it fits in
            while waiting and is_known:
                above, bottom, one = waiting.pop()
                found[one] = _candles([each for each in reversed(page) if bottom <= each["k"] < above])
                is_known = bool(waiting) and waiting[-1][1] > passed
        return found

    def candles_between(self, symbol: str, timeframe: str, from_ms: int, to_ms: int) -> list[Candle]:
        """The candles that start in [from_ms, to_ms), oldest first. StoreError."""
        found = self._find(candle_id(symbol, timeframe, from_ms), candle_id(symbol, timeframe, to_ms), 1, 0)
        return _candles(found)

    def signals_between(self, from_ms: int, to_ms: int) -> list[Document]:
        """The signals whose time `t` lies in [from_ms, to_ms), by time. A scan: for people and tests. StoreError."""
        query = {"t": {"$gte": from_ms, "$lt": to_ms}}
        return self._do(
            "reading signals",
            lambda: list(self._database[SIGNALS_COLLECTION].find(query).sort([("t", 1), ("_id", 1)])),
        )

    def count(self, collection: str, symbol: str = "", timeframe: str = "") -> int:
        """How many documents, all or those of a symbol and timeframe. A scan: never in a hot path. StoreError."""
        query = {name: value for name, value in (("symbol", symbol), ("timeframe", timeframe)) if value}
        return self._do("counting", lambda: self._database[collection].count_documents(query))

    def _drop_all(self) -> None:
        for name in self._database.list_collection_names():
            self._database.drop_collection(name)

    def _prepare_one(self, name: str) -> None:
        collection = self._database[name]
        collection.create_index("k", unique=True)
        collection.create_index([(field, 1) for field in INDEXES[name]])

    def _find(self, from_key: str, to_key: str, direction: int, limit: int) -> list[Document]:
        query = {"k": {"$gte": from_key, "$lt": to_key}}
        candles = self._database[CANDLES_COLLECTION]
        return self._do("reading candles", lambda: list(candles.find(query).sort("k", direction).limit(limit)))

    def _write(self, name: str, documents: Sequence[Document], build: BuildOperation) -> list[Refusal]:
        if not self._is_prepared:
            self.prepare()
        last_of_each = list({one.get("_id"): one for one in documents}.values())
        refused: list[Refusal] = []
        for start in range(0, len(last_of_each), WRITE_BATCH):
            refused += self._write_batch(name, last_of_each[start : start + WRITE_BATCH], build)
        return refused

    def _write_batch(self, name: str, documents: list[Document], build: BuildOperation) -> list[Refusal]:
        collection = self._database[name]
        try:
            errors = self._do("writing", lambda: _bulk(collection, documents, build))
        except (InvalidDocument, OverflowError, TypeError, ValueError):
            fit, unfit = _sorted_out(documents)
            if not unfit:
                raise
            return unfit + (self._write_batch(name, fit, build) if fit else [])
        again = [documents[one["index"]] for one in errors if one.get("code") == DUPLICATE_KEY]
        if again:  # two upserts that race can both try to insert: the second time it is a replacement
            second = self._do("writing", lambda: _bulk(collection, again, build))
            if build is _replace_unless_newer:
                newer = self._ids_of_newer(collection, again)
                second = [one for one in second if again[one["index"]]["_id"] not in newer]
            errors = [one for one in errors if one.get("code") != DUPLICATE_KEY]
            return _refusals(documents, errors) + _refusals(again, second)
        return _refusals(documents, errors)

    def _ids_of_newer(self, collection: Collection[Document], documents: list[Document]) -> set[str]:
        """Which of them are there in a later revision."""
        revs = {one["_id"]: one.get("rev", 0) for one in documents}
        query = {"_id": {"$in": list(revs)}}
        stored = self._do("reading revisions", lambda: list(collection.find(query, {"rev": 1})))
        return {one["_id"] for one in stored if one.get("rev", 0) > revs[one["_id"]]}

    def _do(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except PyMongoError as error:
            if isinstance(error, InvalidDocument):
                raise
            raise _store_error(what, error) from None


def _candles(documents: Sequence[Document]) -> list[Candle]:
    """As candles; one that another program wrote in a form of its own is left out, and said."""
    candles: list[Candle] = []
    for one in documents:
        try:
            candles.append(Candle.from_document(one))
        except (KeyError, ValueError, TypeError) as error:
            log = structlog.get_logger("mongo")
            log.warning("a candle in MongoDB can not be read", id=str(one.get("_id")), reason=repr(error))
    return candles


def _bulk(collection: Collection[Document], documents: list[Document], build: BuildOperation) -> list[Document]:
    """The write errors, by position; empty when all was written."""
    try:
        collection.bulk_write([build(one) for one in documents], ordered=False)
    except BulkWriteError as error:
        return list(error.details.get("writeErrors", []))
    return []


def _replace(document: Document) -> Operation:
    return ReplaceOne({"_id": document["_id"]}, document, upsert=True)


def _replace_unless_newer(document: Document) -> Operation:
    # With a newer one there the filter finds nothing, and the insert that follows meets its `_id`.
    older = {"_id": document["_id"], "rev": {"$lte": document.get("rev", 0)}}
    return ReplaceOne(older, document, upsert=True)


def _insert_if_absent(document: Document) -> Operation:
    fields = {name: value for name, value in document.items() if name != "_id"}
    return UpdateOne({"_id": document["_id"]}, {"$setOnInsert": fields}, upsert=True)


def _dated_instrument(instrument: Mapping[str, Any], day: str) -> Document:
    symbol = f"{instrument['exchange']}:{instrument['tradingsymbol']}"
    key = f"{symbol}|{day}"  # the stand-in does not find an `_id` that begins with a date
    return {"_id": key, "k": key, "t": int(day.replace("-", "")), "day": day, "symbol": symbol, **instrument}


def _refusals(documents: list[Document], errors: list[Document]) -> list[Refusal]:
    for error in errors:
        if not _is_documents_fault(error):
            raise StoreError(f"MongoDB failed while writing: {_short(error.get('errmsg'))}; it will be tried again")
    return [Refusal(documents[one["index"]], _short(one.get("errmsg"))) for one in errors]


def _is_documents_fault(error: Document) -> bool:
    code, text = error.get("code"), str(error.get("errmsg", "")).lower()
    if code == UNKNOWN_ERROR:
        return not any(word in text for word in SERVER_TROUBLE_WORDS)
    return code == DUPLICATE_KEY or code in DOCUMENT_FAULT_CODES


def _sorted_out(documents: list[Document]) -> tuple[list[Document], list[Refusal]]:
    """Those that can be written as BSON, and those that can not."""
    fit: list[Document] = []
    unfit: list[Refusal] = []
    for one in documents:
        try:
            if "_id" not in one:
                raise ValueError("it has no _id")
            if len(bson.encode(one)) > LARGEST_DOCUMENT_BYTES:
                raise ValueError("it is larger than 16 MB")
            fit.append(one)
        except (bson.errors.BSONError, OverflowError, TypeError, ValueError, RecursionError) as error:
            unfit.append(Refusal(one, _short(error)))
    return fit, unfit


def _store_error(what: str, error: PyMongoError) -> StoreError:
    # pymongo's texts name hosts, never the password; the topology dump behind the first comma helps nobody.
    if isinstance(error, pymongo.errors.ServerSelectionTimeoutError | pymongo.errors.AutoReconnect):
        return StoreError(f"MongoDB is away ({what}): {_short(error)}; check MONGO_URL and that the server runs")
    return StoreError(f"MongoDB failed ({what}): {_short(error)}")


def _short(error: object) -> str:
    return str(error).split(", full error:")[0].split(", Timeout:")[0].split(" (configured timeouts:")[0][:200]
