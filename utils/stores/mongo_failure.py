"""What MongoDB's errors mean, by their kind: a sentence that names what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    ExecutionTimeout,
    InvalidName,
    OperationFailure,
    ServerSelectionTimeoutError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from utils.text import shortened

LONGEST_TEXT = 200

AWAY = "MongoDB is away ({what}): {text}; check MONGO_URL and that the server runs"
NOT_READY = "MongoDB is not ready ({what}): {text}; it is asked again until it is"
CREDENTIALS = "MongoDB refuses the user or the password of MONGO_URL ({text}): correct them, and its authSource"
RIGHTS = "MongoDB does not allow the user of MONGO_URL this ({what}): give it readWrite on the database MONGO_DB"
NAMESPACE = "MONGO_DB is no name for a database ({text}): use letters, digits and _"
DISK = "MongoDB's disk is full or fails ({text}): free it, and see MongoDB's log"
CONCERN = (
    "MongoDB could not confirm a write as MONGO_URL asks for ({text}): "
    "bring the other members of the replica set back, or lower w in MONGO_URL"
)
UNACKNOWLEDGED = "MONGO_URL has w=0, and what MongoDB never confirms is lost in silence: take w=0 out of it"
TLS = "TLS with MongoDB fails ({text}): check tls=true in MONGO_URL, and the certificate"
HOST = "the host of MONGO_URL is not known ({text}): correct its name"
REPLICA_SET = "MongoDB's replica set has no primary, or another name than replicaSet in MONGO_URL ({text})"
COMMAND = "MongoDB does not know a command ({text}): it has to be MongoDB 6 or newer"
SLOW = "MongoDB took too long ({what}: {text}): give it more memory or a faster disk"
ODD = "MongoDB gave an answer that cannot be read ({what}: {text}): check that MONGO_URL names a MongoDB"
OTHER = "MongoDB failed ({what}): {text}"

_BY_CODE = {
    **dict.fromkeys((11, 18, 8000), CREDENTIALS),
    13: RIGHTS,
    73: NAMESPACE,
    **dict.fromkeys((14031, 39), DISK),
    **dict.fromkeys((64, 79, 100), CONCERN),
    **dict.fromkeys((91, 189, 10058, 10107, 11600, 11602, 13435, 13436), NOT_READY),
    **dict.fromkeys((59, 115), COMMAND),
    **dict.fromkeys((50, 262), SLOW),
}
_BY_WORDS = (
    ("uthentication failed", CREDENTIALS),
    ("bad auth", CREDENTIALS),
    ("not authorized", RIGHTS),
    ("No space left", DISK),
    ("SSL", TLS),
    ("TLS", TLS),
    ("Name or service not known", HOST),
    ("nodename nor servname", HOST),
    ("No replica set members", REPLICA_SET),
    ("No primary available", REPLICA_SET),
)


def sentence_of(what: str, error: Exception) -> str:
    """`what` was being done. Hosts may be named, the password never is."""
    return _template(error).format(what=what, text=short(error))


def write_concern_sentence(errors: list[Mapping[str, Any]]) -> str:
    """Of a bulk write that was done, but not confirmed."""
    first = errors[0]
    template = _BY_CODE.get(int(first.get("code", 0)), CONCERN)
    return template.format(what="writing", text=short(first.get("errmsg", "write concern")))


def write_error_sentence(error: Mapping[str, Any]) -> str:
    """Of one write that failed for the server's sake."""
    code, text = int(error.get("code") or 0), short(error.get("errmsg"))
    template = _BY_CODE.get(code) or _by_words(text) or OTHER
    return template.format(what="writing", text=text)


def short(error: object) -> str:
    """pymongo's texts name hosts, never the password; the topology dump behind the first comma helps nobody."""
    text = str(error).split(", full error:")[0].split(", Timeout:")[0].split(" (configured timeouts:")[0]
    return shortened(text, LONGEST_TEXT)


def _template(error: Exception) -> str:
    by_words = _by_words(str(error))
    if isinstance(error, InvalidName):
        return NAMESPACE
    if isinstance(error, WriteConcernError):
        return CONCERN
    if isinstance(error, ServerSelectionTimeoutError | AutoReconnect | WaitQueueTimeoutError):
        return by_words or AWAY
    if isinstance(error, ExecutionTimeout):
        return SLOW
    if isinstance(error, OperationFailure):
        return _BY_CODE.get(error.code or 0) or by_words or OTHER
    return by_words or (OTHER if isinstance(error, ConfigurationError) else ODD)


def _by_words(text: str) -> str | None:
    return next((template for words, template in _BY_WORDS if words in text), None)
