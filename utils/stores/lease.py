"""A lease on a shard: one worker of a role holds it, another stands by and takes over when the holder is gone.

It saves work, no more: two workers on one shard by mistake say the same things, which is harmless.
"""

from __future__ import annotations

import time
from typing import Any

import redis

from utils.keys import Keys

# 0: another has it; 1: it is ours as before; 2: it is ours now, and another (or nobody we know of) had it last.
_HOLD = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[1] then return 1 end
redis.call('SET', KEYS[2], ARGV[1])
return 2
"""
_COME = """
local now = redis.call('TIME')
local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
redis.call('ZADD', KEYS[1], now_ms + ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now_ms)
return redis.call('ZRANGE', KEYS[1], 0, -1)
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


class Lease:
    """One role's hold on one shard. Not for several threads at once."""

    def __init__(self, client: redis.Redis, keys: Keys, role: str, shard: int, owner: str, seconds: float) -> None:
        """`owner` names this process and no other; `seconds` is real time, and must outlast one round of its work."""
        self._client = client
        self._name = keys.lease(role, shard)
        self._owner = owner
        self._seconds = seconds
        self._last_owner = keys.last_owner(role, shard)
        self._hold = client.register_script(_HOLD)
        self._release = client.register_script(_RELEASE)
        self._renewed_at = float("-inf")
        self.was_taken = False

    def hold(self) -> bool:
        """Take or renew it: whether it is ours now. Asks Redis only when a third of it has passed. RedisError.

        `was_taken` says that another may have worked since we last held it; one that merely ran out is as it was.
        """
        asked_at = time.monotonic()
        self.was_taken = False
        if asked_at - self._renewed_at < self._seconds / 3:
            return True
        self._renewed_at = float("-inf")
        lasts_ms = max(1, round(self._seconds * 1000))
        answer: Any = self._hold(keys=[self._name, self._last_owner], args=[self._owner, lasts_ms])
        self.was_taken = answer == 2
        ours = bool(answer)
        if ours:
            self._renewed_at = asked_at
        return ours

    def covers(self, now_seconds: float) -> bool:
        """Whether it can not have run out since it was last renewed; `now_seconds` of the monotonic clock."""
        return now_seconds - self._renewed_at < self._seconds

    def release(self) -> None:
        """Give it up if it is ours. With Redis away it runs out by itself."""
        self._renewed_at = float("-inf")
        try:
            self._release(keys=[self._name], args=[self._owner])
        except redis.RedisError:
            return


class Workers:
    """Who works in a role: each says again and again that it is there, and is gone when it has not for a while."""

    def __init__(self, client: redis.Redis, keys: Keys, role: str, owner: str, seconds: float) -> None:
        self._client = client
        self._name = keys.workers(role)
        self._owner = owner
        self._lasts_ms = max(1, round(seconds * 1000))
        self._come = client.register_script(_COME)

    def come(self) -> list[str]:
        """Say that this one is there; the owners of all that are. RedisError."""
        return [one.decode() for one in self._come(keys=[self._name], args=[self._owner, self._lasts_ms])]

    def leave(self) -> None:
        """The others need not wait. With Redis away it is forgotten by itself."""
        try:
            self._client.zrem(self._name, self._owner)
        except redis.RedisError:
            return


def fair_share(shards: int, workers: int) -> int:
    """How many shards each worker holds at most, so that all are held."""
    return -(-shards // max(1, workers))
