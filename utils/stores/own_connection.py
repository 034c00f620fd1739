"""Requests whose replies are fetched later: what the server does meanwhile, nobody waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from utils.stores.packed_commands import Word, pack


class OwnConnection:
    """One connection of the client's pool, kept from the first request on. Not safe for threads."""

    def __init__(self, client: redis.Redis) -> None:
        self._pool: Any = client.connection_pool
        self._connection: Any = None
        self._awaited = 0

    def ask(self, commands: Sequence[Sequence[Word]]) -> None:
        """Send commands, all at once. RedisError when that can not be done; then none is awaited."""
        try:
            if self._connection is None:
                self._connection = self._pool.get_connection()
            self._connection.send_packed_command([b"".join(pack(*words) for words in commands)])
        except BaseException:
            self.forget()
            raise
        self._awaited += len(commands)

    def replies(self) -> list[Any]:
        """One for each command that was asked. RedisError: an error reply, or no link; then none is awaited."""
        try:
            found = [self._connection.read_response(disable_decoding=True) for _ in range(self._awaited)]
        except BaseException:
            self.forget()
            raise
        self._awaited = 0
        return found

    def forget(self) -> None:
        """Replies under way belong to nobody any more: only a new connection is sure to have none of them."""
        connection, self._connection, self._awaited = self._connection, None, 0
        if connection is not None:
            connection.disconnect()
            self._pool.release(connection)
