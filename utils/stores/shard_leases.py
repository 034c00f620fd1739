"""The shards of a role, shared out between the workers that are there: who holds which, and what changes."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from enum import Enum, auto

import redis

from utils.keys import Keys
from utils.stores.lease import Lease, Workers, fair_share


class Change(Enum):
    """What becomes of a shard."""

    OURS = auto()  # it is now, and another may have worked on it: what we know of it is old
    LOST = auto()  # another has it
    SPARE = auto()  # there are others to share with; `release` it when it is in order


class ShardLeases:
    """This process's part in a role."""

    def __init__(self, client: redis.Redis, keys: Keys, role: str, shards: int, seconds: float) -> None:
        # Containers on the host's network share its name, and each has a process 7.
        self.owner = f"{socket.gethostname()}-{secrets.token_hex(4)}:{os.getpid()}"
        self.owners = [self.owner]  # of all workers that were there when it was last asked
        self._workers = Workers(client, keys, role, self.owner, seconds)
        self._leases = {shard: Lease(client, keys, role, shard, self.owner, seconds) for shard in range(shards)}

    def changes(self, held: Mapping[int, object]) -> Iterator[tuple[int, Change]]:
        """Renews what is held, and takes what is free, up to a fair share of all. `held` is to
        follow each change before the next is asked for. RedisError.
        """
        self.owners = self._workers.come()
        share = fair_share(len(self._leases), len(self.owners))
        # First what is ours already: a shard changes hands only when it must.
        for shard in sorted(self._leases, key=lambda shard: shard not in held):
            is_held, is_spare = shard in held, len(held.keys() - {shard}) >= share
            if is_spare and not is_held:
                yield shard, Change.SPARE
            elif not self._leases[shard].hold():
                yield shard, Change.LOST
            elif not is_held or self._leases[shard].was_taken:
                yield shard, Change.OURS
            elif is_spare:
                yield shard, Change.SPARE

    def hold(self, shard: int) -> bool:
        """Whether it is ours, renewed if need be. RedisError."""
        return self._leases[shard].hold()

    def cover(self, shard: int, now_seconds: float) -> bool:
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
