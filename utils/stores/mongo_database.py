"""The one owner of every call of pymongo: only what behaves the same on a real mongod and on the stand-in.

Every write is an upsert by `_id`, so repeating one is harmless.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import bson
from bson.errors import BSONError, InvalidDocument
from pymongo import MongoClient, ReadPreference, ReplaceOne, UpdateOne
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError

from utils.runtime.store_urls import MONGO_URL_EXAMPLE
from utils.stores.documents import Document, RefusedDocument, StoreError, Write
from utils.stores.mongo_failure import (
    UNACKNOWLEDGED,
    sentence_of,
    short,
    write_concern_sentence,
    write_error_sentence,
)

WRITE_BATCH = 1_000
IDLE_MS = 60_000  # then a connection is closed: each thread that ever met another one at work opened one
# Error codes that speak of the one document (mongod's error_codes.yml): any other is the server's trouble.
DOCUMENT_FAULT_CODES = frozenset({2, 9, 14, 52, 53, 54, 55, 57, 66, 121, 10334, 17280, 17419, 17420})
DUPLICATE_KEY = 11000
UNKNOWN_ERROR = 8  # what the stand-in answers for everything, a locked file among it
SERVER_TROUBLE_WORDS = ("locked", "disk", "i/o", "readonly", "interrupted", "timeout")

LARGEST_DOCUMENT_BYTES = 16_000_000
# What the client raises when it cannot make sense of a reply (and, of documents, when it cannot write them).
ODD_ANSWERS = (LookupError, TypeError, ValueError, AttributeError, OverflowError)

T = TypeVar("T")
Operation = ReplaceOne[Document] | UpdateOne


class MongoDatabase:
    """One database. Every call: StoreError when it was not done. Safe to share between threads."""

    def __init__(self, url: str, name: str, socket_timeout_ms: int, selection_timeout_ms: int) -> None:
        """No I/O, except that a `mongodb+srv` name is looked up. StoreError when the URL is none."""
        try:
            self._client: MongoClient[Document] = MongoClient(
                url,
                connect=False,
                serverSelectionTimeoutMS=selection_timeout_ms,
                connectTimeoutMS=selection_timeout_ms,
                socketTimeoutMS=socket_timeout_ms,
                maxIdleTimeMS=IDLE_MS,
                retryWrites=False,
                tz_aware=True,
            )
        except (PyMongoError, ValueError) as error:
            raise StoreError(f"MONGO_URL is not {MONGO_URL_EXAMPLE} ({type(error).__name__})") from None
        if not self._client.write_concern.acknowledged:
            raise StoreError(UNACKNOWLEDGED)
        self._database = _do("opening", lambda: self._open(name))

    def _open(self, name: str) -> Database[Document]:
        # From the primary: a member that lags would report that a revision is not there.
        return self._client.get_database(name, read_preference=ReadPreference.PRIMARY)

    def ping(self) -> None:
        _read("asking whether it is there", lambda: self._client.admin.command("ping"))

    def close(self) -> None:
        self._client.close()

    def clear(self) -> None:
        """Drop every collection."""
        _do("emptying the database", self._drop_all)

    def make_indexes(self, collection: str, fields: Sequence[str]) -> None:
        """A unique one on `k`, and one on the fields together."""
        _read("making the indexes", lambda: self._make_indexes(collection, fields))

    def find(
        self, what: str, collection: str, query: Mapping[str, Any], sort: Sequence[tuple[str, int]], limit: int = 0
    ) -> list[Document]:
        """All that match, in an order (1 up, -1 down). `what` stands in a StoreError; `limit` 0 is none."""
        found = self._database[collection]
        return _read(what, lambda: list(found.find(query).sort(list(sort)).limit(limit)))

    def count(self, collection: str, query: Mapping[str, Any]) -> int:
        return _read("counting", lambda: self._database[collection].count_documents(query))

    def set_fields(self, what: str, collection: str, query: Mapping[str, Any], fields: Mapping[str, Any]) -> int:
        """Set flat fields on all that match; returns how many there are. `what` stands in a StoreError."""
        found = self._database[collection]
        return _do(what, lambda: found.update_many(query, {"$set": dict(fields)}).matched_count)

    def write(self, collection: str, documents: Sequence[Document], write: Write) -> list[RefusedDocument]:
        """Write them, the last of an `_id` winning. Those refused for themselves are returned."""
        last_of_each = list({document.get("_id"): document for document in documents}.values())
        refused: list[RefusedDocument] = []
        for start in range(0, len(last_of_each), WRITE_BATCH):
            batch = last_of_each[start : start + WRITE_BATCH]
            try:
                refused += self._write_batch(collection, batch, write)
            except (InvalidDocument, BulkWriteError, *ODD_ANSWERS) as error:
                raise StoreError(sentence_of("writing", error)) from None
        return refused

    def _drop_all(self) -> None:
        for name in self._database.list_collection_names():
            self._database.drop_collection(name)

    def _make_indexes(self, name: str, fields: Sequence[str]) -> None:
        collection = self._database[name]
        collection.create_index("k", unique=True)
        collection.create_index([(field, 1) for field in fields])

    def _write_batch(self, name: str, documents: list[Document], write: Write) -> list[RefusedDocument]:
        try:
            errors = self._bulk(name, documents, write)
        except (InvalidDocument, OverflowError, TypeError, ValueError):
            fit, unfit = _sorted_out(documents)
            if not unfit:
                raise
            return unfit + (self._write_batch(name, fit, write) if fit else [])
        again = [documents[error["index"]] for error in errors if error.get("code") == DUPLICATE_KEY]
        if again:  # two upserts that race can both try to insert: the second time it is a replacement
            second = self._bulk(name, again, write)
            if write is Write.REPLACE_UNLESS_NEWER:
                newer = self._ids_of_newer(name, again)
                second = [error for error in second if again[error["index"]]["_id"] not in newer]
            errors = [error for error in errors if error.get("code") != DUPLICATE_KEY]
            return _refusals(documents, errors) + _refusals(again, second)
        return _refusals(documents, errors)

    def _bulk(self, name: str, documents: list[Document], write: Write) -> list[Document]:
        """The write errors, by position; empty when all was written. StoreError when that is not confirmed."""
        build = _BUILD[write]
        try:
            operations = [build(document) for document in documents]
            _do("writing", lambda: self._database[name].bulk_write(operations, ordered=False))
        except BulkWriteError as error:
            unconfirmed = error.details.get("writeConcernErrors", [])
            if unconfirmed:  # whatever else failed: all of it is written again
                raise StoreError(write_concern_sentence(unconfirmed)) from None
            return list(error.details.get("writeErrors", []))
        return []

    def _ids_of_newer(self, name: str, documents: list[Document]) -> set[str]:
        """Which of them are there in a later revision."""
        revs = {document["_id"]: document.get("rev", 0) for document in documents}
        query = {"_id": {"$in": list(revs)}}
        stored = _read("reading revisions", lambda: list(self._database[name].find(query, {"rev": 1})))
        return {document["_id"] for document in stored if document.get("rev", 0) > revs[document["_id"]]}


def _do(what: str, call: Callable[[], T]) -> T:
    """Trouble of the server is a StoreError; what is wrong with the documents is the caller's to sort out."""
    try:
        return call()
    except (InvalidDocument, BulkWriteError):
        raise
    except (PyMongoError, BSONError, struct.error) as error:
        raise StoreError(sentence_of(what, error)) from None


def _read(what: str, call: Callable[[], T]) -> T:
    """As `_do`, where no document of ours is sent: whatever else goes wrong is an odd answer."""
    try:
        return _do(what, call)
    except (InvalidDocument, BulkWriteError, *ODD_ANSWERS) as error:
        raise StoreError(sentence_of(what, error)) from None


def _replace(document: Document) -> Operation:
    return ReplaceOne({"_id": document["_id"]}, document, upsert=True)


def _replace_unless_newer(document: Document) -> Operation:
    # With a newer one there the filter finds nothing, and the insert that follows meets its `_id`.
    older = {"_id": document["_id"], "rev": {"$lte": document.get("rev", 0)}}
    return ReplaceOne(older, document, upsert=True)


def _insert_if_absent(document: Document) -> Operation:
    fields = {name: value for name, value in document.items() if name != "_id"}
    return UpdateOne({"_id": document["_id"]}, {"$setOnInsert": fields}, upsert=True)


_BUILD: dict[Write, Callable[[Document], Operation]] = {
    Write.REPLACE: _replace,
    Write.REPLACE_UNLESS_NEWER: _replace_unless_newer,
    Write.ADD: _insert_if_absent,
}


def _refusals(documents: list[Document], errors: list[Document]) -> list[RefusedDocument]:
    for error in errors:
        if not _is_documents_fault(error):
            raise StoreError(write_error_sentence(error))
    return [RefusedDocument(documents[error["index"]], short(error.get("errmsg"))) for error in errors]


def _is_documents_fault(error: Document) -> bool:
    code, text = error.get("code"), str(error.get("errmsg", "")).lower()
    if code == UNKNOWN_ERROR:
        return not any(word in text for word in SERVER_TROUBLE_WORDS)
    return code == DUPLICATE_KEY or code in DOCUMENT_FAULT_CODES


def _sorted_out(documents: list[Document]) -> tuple[list[Document], list[RefusedDocument]]:
    """Those that can be written as BSON, and those that cannot."""
    fit: list[Document] = []
    unfit: list[RefusedDocument] = []
    for document in documents:
        try:
            if "_id" not in document:
                raise ValueError("it has no _id")
            if len(bson.encode(document)) > LARGEST_DOCUMENT_BYTES:
                raise ValueError("it is larger than 16 MB")
            fit.append(document)
        except (bson.errors.BSONError, OverflowError, TypeError, ValueError, RecursionError) as error:
            unfit.append(RefusedDocument(document, short(error)))
    return fit, unfit
