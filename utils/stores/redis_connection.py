"""The one place that makes clients of Redis, with the options that were measured to be safe.

redis-py 8.1's defaults retry a timed-out write (an XADD was seen twice) and let one call to a hung server
block for 58 s. Here nothing is retried by the library: whoever writes sends again knowingly, with an id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_SECONDS = 5.0
BLOCK_MS = 1_000  # must stay well under the socket timeout

RedisError = redis.RedisError


class NamingRedis(redis.Redis):
    """Adds to errors about types and rights, which Redis says of no key in particular, what was asked of which."""

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
