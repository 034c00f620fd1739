"""Many small writes at once: commands made into bytes by hand and sent over redis-py's own connection.

A pipeline of redis-py costs some 20 µs of client time for a hash of 19 fields, nearly all of it around the packing.
What changes little can be packed once and kept; what is left here is to send it and to look at every reply.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

import hiredis
import redis

SENT_AT_ONCE = 2_000  # commands before their replies are read: bounds what the server keeps for us

Word = str | bytes | int | float


def pack(*words: Word) -> bytes:
    """One command as the server reads it; a float as its `repr`, as redis-py writes it."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]  # its stub has only tuples of one word
    return packed


def send_packed(client: redis.Redis, commands: Sequence[bytes]) -> None:
    """Send commands, one to each bytes, in order. RedisError: the first error reply, when all were read, or no link.

    Nothing is repeated. After an error any of them may have been done; the client stays usable.
    """
    if not commands:
        return
    rest = iter(commands)
    with packed_connection(client) as connection:
        while part := list(islice(rest, SENT_AT_ONCE)):
            connection.send(b"".join(part), len(part))


class PackedConnection:
    """A connection that is ours for the time being."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    @property
    def socket(self) -> object:
        """What it is connected by: another object than last time means another connection, perhaps another server."""
        found: object = self._connection._sock
        return found

    def send(self, packed: bytes | memoryview, count: int) -> None:
        """Send `count` commands and read as many replies. RedisError, as `send_packed`."""
        try:
            self._connection.send_packed_command([packed])
            first_error = self._read_replies(count)
        except BaseException:
            self._connection.disconnect()  # whatever replies are still under way belong to nobody
            raise
        if first_error is not None:
            raise first_error

    def _read_replies(self, count: int) -> redis.RedisError | None:
        """Reads that many; returns the first that is an error."""
        first_error: redis.RedisError | None = None
        left = count
        while left:
            left -= 1
            try:
                self._connection.read_response(disable_decoding=True)
            except redis.ResponseError as error:
                first_error = first_error or error
            error_in_buffer, read = self._replies_in_buffer(left)
            first_error = first_error or error_in_buffer
            left -= read
        return first_error

    def _replies_in_buffer(self, most: int) -> tuple[redis.RedisError | None, int]:
        """Takes replies that came with the one before: `read_response` costs three times as much for each."""
        reader = getattr(self._connection._parser, "_reader", None)
        if not isinstance(reader, hiredis.Reader):
            return None, 0
        first_error: redis.RedisError | None = None
        read = 0
        while read < most and reader.has_data():
            reply = reader.gets(False)
            if _is_unfinished(reply):
                break
            read += 1
            if isinstance(reply, redis.RedisError):
                first_error = first_error or reply
        return first_error, read


@contextmanager
def packed_connection(client: redis.Redis) -> Iterator[PackedConnection]:
    """A connection of the client's pool, given back afterwards. RedisError when none can be made."""
    pool: Any = client.connection_pool
    connection = pool.get_connection()
    try:
        yield PackedConnection(connection)
    finally:
        pool.release(connection)


def _is_unfinished(reply: object) -> bool:
    """redis-py's reader answers a bare object for "not enough data yet"; no reply is one."""
    return type(reply) is object
