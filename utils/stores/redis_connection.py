"""One way to open a Redis connection, with the options that were measured to be safe.

redis-py 8.1's defaults retry a timed-out write (an XADD was seen twice) and let one call to a hung server
block for 58 s. Here nothing is retried by the library: whoever writes sends again knowingly, with an id.
"""

from __future__ import annotations

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

SOCKET_TIMEOUT_SECONDS = 5.0
BLOCK_MS = 1_000  # must stay well under the socket timeout

RedisError = redis.RedisError


def open_redis(url: str) -> redis.Redis:
    """A lazy client (no I/O here) that answers bytes. ValueError for a URL that is none."""
    return redis.Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
        health_check_interval=0,
        retry=Retry(NoBackoff(), 0),
        **({} if url.startswith("unix://") else {"socket_keepalive": True}),
    )
