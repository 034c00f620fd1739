"""Hashes of a shard, written only where nothing newer was: a worker that stood still overwrites nothing.

A key holds the id of the entry that the shard's hashes were last written for. It is watched from when it is read, and
each write is a transaction that sets it: the server refuses one that comes after another worker's, however long its
sender stood still. That costs five commands a write, and no round trip: what the key holds next comes with the reply
(see the row on guarded writes in bench/).
"""

from __future__ import annotations

from typing import Any

import redis

from utils.journal.entries import ZERO_ID, EntryId
from utils.stores.redis_connection import OwnConnection, command_at, pack

KEPT_SECONDS = 86_400  # whoever stands still for longer than that, while nobody else writes, is not refused
_MULTI, _EXEC = pack("MULTI"), pack("EXEC")
_LAST_REPLIES = 3  # of EXEC, WATCH and GET


class GuardedWrites:
    """One shard's writes, over a connection of its own. Every method raises RedisError; not safe for threads."""

    def __init__(self, client: redis.Redis, key: str) -> None:
        self._own = OwnConnection(client)
        self._key = key
        self._watch = pack("WATCH", key) + pack("GET", key)
        self._socket: object = None  # over which the key is watched
        self._known = ZERO_ID
        self._sent = b""
        self._view: object = object()

    def view(self, position: EntryId) -> object | None:
        """None where newer was written than what is true for `position`.

        Another object than last time: what was written before may be lost, or another worker's.
        """
        self.settle()
        if self._socket is None or self._own.socket is not self._socket:
            self._begin()
        if self._known > position:
            self._view = object()
            return None
        return self._view

    def write(self, packed: bytes, count: int, position: EntryId) -> bool:
        """Send `count` commands, true for `position`. False, and nothing is sent, where newer was written.

        Not waited for: what became of them `settle` finds out, and `view` is another one if they were refused.
        """
        if self.view(position) is None:
            return False
        head = _MULTI + pack("SET", self._key, str(position), "EX", KEPT_SECONDS)
        self._own.send(b"".join((head, packed, _EXEC, self._watch)), count + 2 + _LAST_REPLIES)
        self._sent = packed
        return True

    def settle(self) -> None:
        """Read the replies that are awaited."""
        if not self._sent:
            return
        packed, self._sent = self._sent, b""
        try:
            self._own.settle(leave=_LAST_REPLIES)
            done, _, stored = self._own.replies()
            _raise_first(done or (), packed)
        except BaseException:
            self.forget()
            raise
        self._known = _entry_id(stored)
        if done is None:  # somebody wrote in between
            self._view = object()

    def forget(self) -> None:
        """Begin anew over another connection: this one may be dead, and what was sent over it not done."""
        self._own.forget()
        self._socket, self._sent, self._view = None, b"", object()

    def _begin(self) -> None:
        self.forget()
        self._own.send(self._watch, 2)
        _, stored = self._own.replies()
        self._socket, self._known = self._own.socket, _entry_id(stored)


def _raise_first(replies: Any, packed: bytes) -> None:
    """The first is that of our own SET."""
    for at, reply in enumerate(replies):
        if isinstance(reply, redis.ResponseError):
            name = b" ".join(command_at(packed, at - 1)[:2]).decode(errors="replace") if at else "SET"
            raise redis.ResponseError(f"{reply} in {name}")


def _entry_id(stored: Any) -> EntryId:
    """ZERO_ID where there is none, or none that can be read: then anything is newer."""
    try:
        return EntryId.parse(stored) if stored else ZERO_ID
    except ValueError:
        return ZERO_ID
