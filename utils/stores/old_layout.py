"""Keys of version 1 of the layout (`closed:0`, `said`): an update leaves them behind, and nothing reads them.

The streams of version 2 are empty then. So the connector sends them today's journal from its beginning, and the
workers make today's candles and signals again, under the same `_id`: nothing has to be moved.
"""

from __future__ import annotations

from contextlib import suppress

import redis

from utils.keys import CANDLES_COLLECTION, Keys
from utils.runtime.settings import MAX_CONNECTIONS
from utils.stores.key_types import ABSENT
from utils.stores.left_shards import unstored

_OF_ALL = ("said", "signals", "state-counts", "ticks.rejected", "archive.rejected")
_OF_SHARD = ("ticks", "ticks-subscribed", "broker", "closed", "state", "signal-state")
_OF_ROLES = ("lease:candle_worker:{}:last", "lease:signal_worker:{}:last")


def old_keys_sentence(client: redis.Redis, keys: Keys) -> str:
    """What is there and what to do; empty where there is none that this user may see. RedisError."""
    shards = [shard for shard in range(MAX_CONNECTIONS) if _some_exist(client, _names_of(keys, shard))]
    common = [keys.prefix + name for name in _OF_ALL]
    if not shards and not _some_exist(client, common):
        return ""
    names = common + [name for shard in shards for name in _names_of(keys, shard)]
    return (
        "Redis has keys from before the update, under names that nothing reads any more; today's candles and signals "
        f"are made again from the journal. {_of_unstored(client, keys, shards)}"
        f"Free their memory with redis-cli DEL {' '.join(names)}."
    )


def _names_of(keys: Keys, shard: int) -> list[str]:
    names = [f"{name}:{shard}" for name in _OF_SHARD] + [name.format(shard) for name in _OF_ROLES]
    return [keys.prefix + name for name in names]


def _some_exist(client: redis.Redis, names: list[str]) -> bool:
    """Of those that this user may ask about."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.type(name)
    answers = pipeline.execute(raise_on_error=False)
    return any(isinstance(answer, bytes) and answer != ABSENT.encode() for answer in answers)


def _of_unstored(client: redis.Redis, keys: Keys, shards: list[int]) -> str:
    """What only the version before can store: candles of earlier days, where MongoDB was away. '' for none."""
    count = 0
    with suppress(redis.exceptions.NoPermissionError):  # the connector's user has nothing to do with it
        count = sum(unstored(client, f"{keys.prefix}closed:{shard}", CANDLES_COLLECTION) for shard in shards)
    if not count:
        return ""
    return (
        f"But {count:,} candles there are not in MongoDB: if any is of an earlier day, first start the version "
        "before once more until doctor names none. "
    )
