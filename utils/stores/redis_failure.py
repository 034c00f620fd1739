"""What kind of failure an error of Redis is: an outage that passes, or something that somebody has to mend."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

import redis

from utils.runtime.settings import EXIT_BAD_SETTINGS, EXIT_REFUSED

LONGEST_TEXT = 200


class StreamAheadError(redis.RedisError):
    """A stream has entries with ids above those that its only writer gives."""

    def __init__(self, stream: str, published: str) -> None:
        super().__init__(
            f"{stream} has ids above those that Candlewick writes there: stop the other program that writes to it "
            f"(or see who deleted the key {published}), then delete the key {stream}; MongoDB keeps what it has."
        )


class ClusterModeError(redis.RedisError):
    """The server runs in cluster mode."""


class TlsMismatchError(redis.RedisError):
    """REDIS_URL asks for TLS and the server speaks none, or the other way round."""


class RedisFailure(Enum):
    """The sentence for each kind (what is wrong, what to do), and the exit code where waiting cannot help."""

    OUTAGE = ("Redis does not answer ({name}): check REDIS_URL and that the server runs.", 0)
    NOT_READY = ("Redis is not ready ({text}): it is asked again until it is.", 0)
    HOST = ("The host of REDIS_URL is not known ({text}): correct its name.", 0)
    TLS = ("TLS with Redis fails ({text}): check redis:// or rediss:// in REDIS_URL, and the certificate.", 0)
    TLS_MISMATCH = ("{text}.", EXIT_BAD_SETTINGS)
    NO_REDIS = ("What answers at REDIS_URL is no Redis ({text}): correct its host and port.", 0)
    MEMORY = ("Redis is out of memory: raise its maxmemory (REDIS_MAXMEMORY), or lower STREAM_MAX_MB.", 0)
    DISK = ("Redis takes no writes because it cannot save to its disk ({text}): free that disk, see Redis' log.", 0)
    STREAM = ("{text}.", EXIT_REFUSED)
    CREDENTIALS = (
        "Redis refuses the user or the password of REDIS_URL ({text}): correct them, then start again.",
        EXIT_BAD_SETTINGS,
    )
    DATABASE = (
        "REDIS_URL names a database that this Redis does not have ({text}): end it with /0.",
        EXIT_BAD_SETTINGS,
    )
    CLUSTER = (
        "Redis runs in cluster mode, which Candlewick does not support: "
        "let REDIS_URL name a server with cluster mode off.",
        EXIT_BAD_SETTINGS,
    )
    RIGHTS = (
        "Redis denies the user of REDIS_URL a command or a key ({text}): "
        "give it the rights in deploy/redis/start.sh, with this REDIS_PREFIX.",
        EXIT_REFUSED,
    )
    TYPE = (
        "A key of Candlewick holds another type ({text}): 'python manage.py doctor' names it; rename or delete it.",
        EXIT_REFUSED,
    )
    COMMAND = ("Redis does not know a command ({text}): it has to be Redis 7.2, Valkey 8 or newer.", EXIT_REFUSED)
    SCRIPT = (
        "A script of Candlewick fails in Redis ({text}): a key was changed by hand, or the server is older than "
        "Redis 7.2; mend that, then start again.",
        EXIT_REFUSED,
    )
    OTHER = ("Redis answers with an error ({text}).", 0)
    OURS = ("{text}.", 0)

    def __init__(self, sentence: str, exit_code: int) -> None:
        self.sentence = sentence
        self.exit_code = exit_code


_OUTAGES = (RedisFailure.OUTAGE, RedisFailure.NOT_READY, RedisFailure.HOST)
_TYPES: tuple[tuple[type[Exception], RedisFailure], ...] = (
    (StreamAheadError, RedisFailure.STREAM),
    (ClusterModeError, RedisFailure.CLUSTER),
    (TlsMismatchError, RedisFailure.TLS_MISMATCH),
    (redis.AuthenticationError, RedisFailure.CREDENTIALS),
    (redis.exceptions.AuthenticationWrongNumberOfArgsError, RedisFailure.CREDENTIALS),
    (redis.exceptions.AuthorizationError, RedisFailure.CREDENTIALS),
    (redis.exceptions.NoPermissionError, RedisFailure.RIGHTS),
    (redis.OutOfMemoryError, RedisFailure.MEMORY),
    (redis.BusyLoadingError, RedisFailure.NOT_READY),
    (redis.ReadOnlyError, RedisFailure.NOT_READY),
    (redis.exceptions.MasterDownError, RedisFailure.NOT_READY),
    (redis.exceptions.NoScriptError, RedisFailure.NOT_READY),
    (redis.exceptions.TryAgainError, RedisFailure.NOT_READY),
    (redis.exceptions.ClusterError, RedisFailure.CLUSTER),
    (redis.exceptions.AskError, RedisFailure.CLUSTER),
    (redis.exceptions.ClusterCrossSlotError, RedisFailure.CLUSTER),
    (redis.InvalidResponse, RedisFailure.NO_REDIS),
)
# A script's errors and those inside a pipeline have their code somewhere in the text, not in their type.
_WORDS: tuple[tuple[str, RedisFailure], ...] = (
    ("Name or service not known", RedisFailure.HOST),
    ("No address associated", RedisFailure.HOST),
    ("SSL", RedisFailure.TLS),
    ("Protocol Error", RedisFailure.NO_REDIS),
    ("max number of clients", RedisFailure.NOT_READY),
    ("WRONGTYPE", RedisFailure.TYPE),
    ("NOPERM", RedisFailure.RIGHTS),
    ("ACL failure", RedisFailure.RIGHTS),
    ("OOM ", RedisFailure.MEMORY),
    ("MISCONF", RedisFailure.DISK),
    ("READONLY", RedisFailure.NOT_READY),
    ("NOREPLICAS", RedisFailure.NOT_READY),
    ("MASTERDOWN", RedisFailure.NOT_READY),
    ("LOADING", RedisFailure.NOT_READY),
    ("UNBLOCKED", RedisFailure.NOT_READY),
    ("BUSY ", RedisFailure.NOT_READY),
    ("MOVED ", RedisFailure.CLUSTER),
    ("CROSSSLOT", RedisFailure.CLUSTER),
    ("cluster mode", RedisFailure.CLUSTER),
    ("DB index", RedisFailure.DATABASE),
    ("invalid DB", RedisFailure.DATABASE),
    ("unknown command", RedisFailure.COMMAND),
    ("unknown subcommand", RedisFailure.COMMAND),
    ("Error compiling script", RedisFailure.SCRIPT),
    ("user_script", RedisFailure.SCRIPT),
)
_OF_SCRIPT = re.compile(r" script: (on |[0-9a-f]{40}).*")  # which of its lines: of no use to people
SMALLER_ID = "equal or smaller than the target stream top item"


@dataclass(frozen=True, slots=True)
class Failure:
    """One error: its kind, and the sentence for people (what is wrong, what to do)."""

    kind: RedisFailure
    sentence: str

    @property
    def is_outage(self) -> bool:
        """Whether it passes by itself: the server is away or not ready."""
        return self.kind in _OUTAGES

    @property
    def exit_code(self) -> int:
        """With which a process ends that can do nothing without Redis; 0 where asking again may help."""
        return self.kind.exit_code


def failure_of(error: redis.RedisError) -> Failure:
    """The kind of an error, and its sentence."""
    kind = _kind_of(error, str(error))
    longest = None if kind in (RedisFailure.OURS, RedisFailure.STREAM) else LONGEST_TEXT
    text = _OF_SCRIPT.sub("", " ".join(str(error).split()))[:longest].rstrip(". ")
    return Failure(kind, kind.sentence.format(text=text or type(error).__name__, name=type(error).__name__))


def _kind_of(error: redis.RedisError, text: str) -> RedisFailure:
    for error_type, kind in _TYPES:
        if isinstance(error, error_type):
            return kind
    is_answer = isinstance(error, redis.ResponseError)
    if is_answer or isinstance(error, redis.ConnectionError | redis.TimeoutError):
        named = next((kind for words, kind in _WORDS if words in text), None)
        return named or (RedisFailure.OTHER if is_answer else RedisFailure.OUTAGE)
    return RedisFailure.OURS
