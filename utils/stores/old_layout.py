"""Keys of version 1 of the layout (`closed:0`, `said`): an update leaves them behind, and nothing reads them.

The streams of version 2 are empty then. So the connector sends them today's journal from its beginning, and the
workers make today's candles and signals again, under the same `_id`: nothing has to be moved.
"""

from __future__ import annotations

import redis

from utils.keys import CANDLES_COLLECTION, Keys
from utils.runtime.settings import MAX_CONNECTIONS
from utils.stores.left_shards import is_there, unstored

_OF_ALL = ("said", "signals", "state-counts", "ticks.rejected", "archive.rejected")
_OF_SHARD = ("ticks", "ticks-subscribed", "broker", "closed", "state", "signal-state")
_OF_ROLES = ("lease:candle_worker:{}:last", "lease:signal_worker:{}:last")


def old_keys_sentence(client: redis.Redis, keys: Keys) -> str:
    """What is there and what to do; empty where there is nothing. RedisError.

    Asks only about streams that each of our users may read: the rest came with them.
    """
    shards = [shard for shard in range(MAX_CONNECTIONS) if _has_stream(client, keys, shard)]
    if not shards:
        return ""
    names = [*_OF_ALL, *(name for shard in shards for name in _names_of(shard))]
    return (
        "Redis has keys from before the update, under names that nothing reads any more; today's candles and signals "
        f"are made again from the journal. {_of_unstored(client, keys, shards)}"
        f"Free their memory with redis-cli DEL {' '.join(keys.prefix + name for name in names)}."
    )


def _has_stream(client: redis.Redis, keys: Keys, shard: int) -> bool:
    return any(is_there(client, f"{keys.prefix}{name}:{shard}") for name in ("ticks", "closed"))


def _names_of(shard: int) -> list[str]:
    return [f"{name}:{shard}" for name in _OF_SHARD] + [name.format(shard) for name in _OF_ROLES]


def _of_unstored(client: redis.Redis, keys: Keys, shards: list[int]) -> str:
    """What only the version before can store: candles of earlier days, where MongoDB was away. '' for none."""
    count = sum(unstored(client, f"{keys.prefix}closed:{shard}", CANDLES_COLLECTION) for shard in shards)
    if not count:
        return ""
    return (
        f"But {count:,} candles there are not in MongoDB: if any is of an earlier day, first start the version "
        "before once more until doctor names none. "
    )
