"""The one place that makes clients of Redis, with the options that were measured to be safe.

redis-py 8.1's defaults retry a timed-out write (an XADD was seen twice) and let one call to a hung server
block for 58 s. Here nothing is retried by the library: whoever writes sends again knowingly, with an id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import hiredis
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from utils.journal.entries import EntryId

SOCKET_TIMEOUT_SECONDS = 5.0
BLOCK_MS = 1_000  # must stay well under the socket timeout

RedisError = redis.RedisError


class NamingRedis(redis.Redis):
    """Adds to errors about types and rights, which Redis gives for no key in particular, what was asked of which."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            text = str(error)
            if isinstance(error, redis.exceptions.NoPermissionError) or "WRONGTYPE" in text:
                text = text.partition(" script: on ")[0]
                error.args = (f"{text} in {_asked(args)}",)
            raise


def open_redis(url: str, timeout_seconds: float = SOCKET_TIMEOUT_SECONDS) -> redis.Redis:
    """A lazy client (no I/O here) that answers bytes. ValueError for a URL that is none."""
    return NamingRedis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_timeout=timeout_seconds,
        socket_connect_timeout=timeout_seconds,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        **({} if url.startswith("unix://") else {"socket_keepalive": True}),
    )


def _asked(words: Sequence[Any]) -> str:
    """`GET state:{a}`; of a script its keys."""
    name = str(words[0]).upper()
    keys = words[3 : 3 + int(words[2])] if name.startswith("EVAL") else words[1:2]
    return " ".join([name, *(key.decode() if isinstance(key, bytes) else str(key) for key in keys)])


SENT_AT_ONCE = 2_000  # commands before their replies are read: bounds what the server keeps for us

Word = str | bytes | int | float


def pack(*words: Word) -> bytes:
    """One command as the server reads it; a float as its `repr`, as redis-py writes it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub has only tuples of one word
    return packed


def bulk(word: bytes) -> bytes:
    """A bulk string of Redis' protocol, as it stands in a packed command.

    >>> bulk(b"HSET")
    b'$4\\r\\nHSET\\r\\n'
    """
    return b"$%d\r\n%b\r\n" % (len(word), word)


class OwnConnection:
    """One connection of the client's pool, kept from the first request on. Not safe for threads.

    Every method raises RedisError when there is no link; then it has none any more, and nothing is awaited.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None
        self._awaited = 0

    @property
    def socket(self) -> object:
        """What it is connected by: another object than last time means another connection, perhaps another server."""
        found: object = self._connected()._sock
        return found

    def ask(self, commands: Sequence[Sequence[Word]]) -> None:
        """Send commands, all at once."""
        self.send(b"".join(pack(*words) for words in commands), len(commands))

    def send(self, packed: bytes | memoryview, count: int) -> None:
        """Send `count` commands that are packed already."""
        try:
            self._connected().send_packed_command([packed])
        except BaseException:
            self.forget()
            raise
        self._awaited += count

    def reply(self) -> Any:
        """The oldest that is awaited. An error reply is raised, too, and those after it are forgotten."""
        try:
            found = self._connection.read_response(disable_decoding=True)
        except BaseException:
            self.forget()
            raise
        self._awaited -= 1
        return found

    def replies(self) -> list[Any]:
        """One for each command that was asked; errors as in `reply`."""
        return [self.reply() for _ in range(self._awaited)]

    def settle(self, leave: int = 0) -> None:
        """Read what is awaited, but for the last `leave`, for nothing but its errors.

        The first is raised when all were read.
        """
        first_error = None
        while self._awaited > leave:
            try:
                self._read(leave)
            except redis.ResponseError as error:
                first_error = first_error or error
            except BaseException:
                self.forget()
                raise
        if first_error is not None:
            raise first_error

    def forget(self) -> None:
        """Replies under way belong to nobody any more: only a new connection is sure to have none of them."""
        connection, self._connection, self._awaited = self._connection, None, 0
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)

    def give_back(self) -> None:
        """To the pool, for others to use."""
        if self._awaited:
            self.forget()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.release(connection)

    def _connected(self) -> Any:
        if self._connection is None:
            self._connection = self._pool.get_connection()
        return self._connection

    def _read(self, leave: int) -> None:
        """One reply, and those that came with it: `read_response` costs three times as much for each.

        ResponseError: one of them is an error; nothing after it was read.
        """
        self._awaited -= 1
        self._connection.read_response(disable_decoding=True)
        reader = getattr(self._connection._parser, "_reader", None)
        while isinstance(reader, hiredis.Reader) and self._awaited > leave and reader.has_data():
            reply = reader.gets(False)
            if _is_unfinished(reply):
                break
            self._awaited -= 1
            if isinstance(reply, redis.RedisError):
                raise reply


def command_at(packed: bytes, index: int) -> list[bytes]:
    """The words of one of several packed commands: for what an error was about."""
    words: list[bytes] = []
    at = 0
    for _ in range(index + 1):
        words, at = _words_from(packed, at)
    return words


def _words_from(packed: bytes, at: int) -> tuple[list[bytes], int]:
    """Of the command that begins at `at`, and where the next one begins."""
    end = packed.index(b"\r\n", at)
    count, at, words = int(packed[at + 1 : end]), end + 2, []
    for _ in range(count):
        end = packed.index(b"\r\n", at)
        size = int(packed[at + 1 : end])
        words.append(packed[end + 2 : end + 2 + size])
        at = end + size + 4
    return words, at


def send_packed(client: redis.Redis, commands: Sequence[bytes]) -> None:
    """Send commands, one to each bytes, in order. RedisError: the first error reply, when all were read, or no link.

    Nothing is repeated. After an error any of them may have been done; the client stays usable.
    """
    own = OwnConnection(client)
    try:
        for first in range(0, len(commands), SENT_AT_ONCE):
            part = commands[first : first + SENT_AT_ONCE]
            own.send(b"".join(part), len(part))
            own.settle()
    finally:
        own.give_back()


def _is_unfinished(reply: object) -> bool:
    """redis-py's reader answers a bare object for "not enough data yet"; no reply is one."""
    return type(reply) is object


_COMMANDS = 4  # of each request
RawEntry = tuple[bytes, list[bytes]]  # id; names and values of its fields, one after the other


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """At most `count` entries after `after`."""

    stream: str
    after: EntryId
    count: int


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """`dropped` entries stood before the first one, `added` is all that there ever were."""

    added: int
    dropped: int
    first: EntryId


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """Some entries, and how their stream stood at that moment."""

    entries: list[RawEntry]
    facts: StreamFacts


def ask_streams(own: OwnConnection, requests: Sequence[StreamRequest], block_ms: int = 0) -> None:
    """A transaction for each. RedisError.

    With `block_ms` the first begins when there is an entry, or after that time: that costs no round trip. Only this
    waiting names streams of several shards.
    """
    commands: list[tuple[Word, ...]] = []
    for request in requests:
        read = ("XREAD", "COUNT", request.count, "STREAMS", request.stream, str(request.after))
        commands += (("MULTI",), read, ("XINFO", "STREAM", request.stream), ("EXEC",))
    if block_ms:
        streams, afters = [request.stream for request in requests], [str(request.after) for request in requests]
        commands.insert(0, ("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", *streams, *afters))
    own.ask(commands)


def stream_answers(own: OwnConnection) -> Iterator[StreamAnswer | None]:
    """To each request in order; None where nothing came. RedisError."""
    replies: Any = own.replies()
    waited = len(replies) % _COMMANDS  # for the reply to the blocking read
    for read, info in replies[waited:][_COMMANDS - 1 :: _COMMANDS]:
        for answer in (read, info):
            if isinstance(answer, Exception) and "no such key" not in str(answer):
                raise answer
        yield StreamAnswer(read[0][1], _facts(info)) if read else None


def _facts(info: Sequence[Any]) -> StreamFacts:
    fields = dict(zip(info[::2], info[1::2], strict=True))
    if b"entries-added" not in fields:
        raise redis.ResponseError("unknown subcommand: XINFO STREAM without entries-added")
    added = int(fields[b"entries-added"])
    return StreamFacts(added, added - int(fields[b"length"]), EntryId.parse(fields[b"first-entry"][0]))
