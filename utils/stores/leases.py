"""Who of a role's workers owns which shard, kept in Redis: here it is decided that a shard changes hands.

A lease saves work, no more: two workers on one shard by mistake publish the same things, which is harmless.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import redis

from utils.keys import Keys
from utils.runtime.shard_worker import Change

# 0: another has it; 1: it is ours as before; 2: it is ours now, and another (or nobody we know of) had it last.
_RENEW = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
if redis.call('GET', KEYS[2]) == ARGV[1] then return 1 end
redis.call('SET', KEYS[2], ARGV[1])
return 2
"""
_SIGN_IN = """
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
    """One role's lease on one shard. Not for several threads at once."""

    def __init__(self, client: redis.Redis, keys: Keys, role: str, shard: int, owner: str, seconds: float) -> None:
        """`owner` names this process and no other; `seconds` is real time, and must outlast one round of its work."""
        self._client = client
        self._name = keys.lease(role, shard)
        self._owner = owner
        self._seconds = seconds
        self._last_owner = keys.last_owner(role, shard)
        self._renew = client.register_script(_RENEW)
        self._release = client.register_script(_RELEASE)
        self._renewed_at = float("-inf")
        self.has_changed_hands = False

    def renew(self) -> bool:
        """Acquire or renew it: whether it is ours now. Asks Redis only when a third of it has passed. RedisError.

        `has_changed_hands`: another may have worked since we last owned it. One that merely ran out is as it was.
        """
        asked_at = time.monotonic()
        self.has_changed_hands = False
        if asked_at - self._renewed_at < self._seconds / 3:
            return True
        self._renewed_at = float("-inf")
        lasts_ms = max(1, round(self._seconds * 1000))
        answer: Any = self._renew(keys=[self._name, self._last_owner], args=[self._owner, lasts_ms])
        self.has_changed_hands = answer == 2
        ours = bool(answer)
        if ours:
            self._renewed_at = asked_at
        return ours

    def covers(self, now_seconds: float) -> bool:
        """Whether it cannot have run out since it was last renewed; `now_seconds` of the monotonic clock."""
        return now_seconds - self._renewed_at < self._seconds

    def release(self) -> None:
        """Give it up if it is ours. With Redis away it runs out by itself."""
        self._renewed_at = float("-inf")
        try:
            self._release(keys=[self._name], args=[self._owner])
        except redis.RedisError:
            return


class Workers:
    """Who works in a role: each signs in again and again, and is gone when it has not for a while."""

    def __init__(self, client: redis.Redis, keys: Keys, role: str, owner: str, seconds: float) -> None:
        self._client = client
        self._name = keys.workers(role)
        self._owner = owner
        self._lasts_ms = max(1, round(seconds * 1000))
        self._sign_in = client.register_script(_SIGN_IN)

    def sign_in(self) -> list[str]:
        """Sign in; the owners of all that have. RedisError."""
        return [value.decode() for value in self._sign_in(keys=[self._name], args=[self._owner, self._lasts_ms])]

    def leave(self) -> None:
        """The others need not wait. With Redis away it is forgotten by itself."""
        try:
            self._client.zrem(self._name, self._owner)
        except redis.RedisError:
            return


def fair_share(shards: int, workers: int) -> int:
    """How many shards each worker owns at most, so that all are owned."""
    return -(-shards // max(1, workers))


class ShardLeases:
    """This process's part in a role."""

    def __init__(self, client: redis.Redis, keys: Keys, role: str, shards: int, seconds: float) -> None:
        # Containers on the host's network share its name, and each has a process 7.
        self.owner = f"{socket.gethostname()}-{secrets.token_hex(4)}:{os.getpid()}"
        self.owners = [self.owner]  # of all workers that were there when it was last asked
        self._workers = Workers(client, keys, role, self.owner, seconds)
        self._leases = {shard: Lease(client, keys, role, shard, self.owner, seconds) for shard in range(shards)}

    def changes(self, owned: Mapping[int, object]) -> Iterator[tuple[int, Change]]:
        """Renews what is owned, and acquires what is free, up to a fair share of all. `owned` is to
        follow each change before the next is asked for. RedisError.
        """
        self.owners = self._workers.sign_in()
        share = fair_share(len(self._leases), len(self.owners))
        # First what is ours already: a shard changes hands only when it must.
        for shard in sorted(self._leases, key=lambda shard: shard not in owned):
            is_owned, is_spare = shard in owned, len(owned.keys() - {shard}) >= share
            if is_spare and not is_owned:
                yield shard, Change.SPARE
            elif not self._leases[shard].renew():
                yield shard, Change.LOST
            elif not is_owned or self._leases[shard].has_changed_hands:
                yield shard, Change.ACQUIRED
            elif is_spare:
                yield shard, Change.SPARE

    def renew(self, shard: int) -> bool:
        """Whether it is ours, asked of Redis if need be. RedisError."""
        return self._leases[shard].renew()

    def covers(self, shard: int, now_seconds: float) -> bool:
        """Whether it is surely ours, without asking; `now_seconds` of the monotonic clock."""
        return self._leases[shard].covers(now_seconds)

    def release(self, shard: int) -> None:
        """Give it up if it is ours."""
        self._leases[shard].release()

    def leave(self) -> None:
        """Give up all there is; the others need not wait."""
        for lease in self._leases.values():
            lease.release()
        self._workers.leave()
