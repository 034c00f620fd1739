"""The types that our keys have in Redis, and which keys hold something else: a name that another program took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import redis

from utils.keys import Keys

STREAM, HASH, STRING, SET, SORTED_SET = "stream", "hash", "string", "set", "zset"
ABSENT = "none"


class WrongType(NamedTuple):
    """A key, what it holds, and what belongs there."""

    key: str
    found: str
    expected: str


def types_of(keys: Keys, process: str, shards: Sequence[int]) -> dict[str, str]:
    """Of every key that a process uses, but for those of single instruments, which errors name."""
    common = {keys.health(process): HASH, keys.health_processes(): SET, keys.instruments(): HASH}
    if process == "connector":
        return common | _of_connector(keys, shards)
    own = _of_candle_worker(keys, shards) if process == "candle_worker" else _of_signal_worker(keys, shards)
    return common | own | _of_each_worker(keys, process, shards)


def _of_connector(keys: Keys, shards: Sequence[int]) -> dict[str, str]:
    return {keys.broker(0): STREAM} | _of_ticks(keys, shards)


def _of_candle_worker(keys: Keys, shards: Sequence[int]) -> dict[str, str]:
    found = _of_ticks(keys, shards)
    for shard in shards:
        found |= {keys.closed(shard): STREAM, keys.rejected(shard): STREAM}
        found |= {keys.candle_state(shard): STRING, keys.candle_state_counts(shard): STRING}
    return found


def _of_signal_worker(keys: Keys, shards: Sequence[int]) -> dict[str, str]:
    found: dict[str, str] = {}
    for shard in shards:
        found |= {keys.closed(shard): STREAM, keys.signals(shard): STREAM, keys.signal_state(shard): STRING}
    return found


def _of_ticks(keys: Keys, shards: Sequence[int]) -> dict[str, str]:
    found = {keys.ticks(shard): STREAM for shard in shards}
    return found | {keys.ticks_subscribed(shard): HASH for shard in shards}


def _of_each_worker(keys: Keys, process: str, shards: Sequence[int]) -> dict[str, str]:
    found = {keys.workers(process): SORTED_SET}
    for shard in shards:
        found |= {keys.published(shard): HASH, keys.archive_rejected(shard): STREAM}
        for name in (keys.lease, keys.last_owner, keys.written):
            found[name(process, shard)] = STRING
    return found


def wrong_types(client: redis.Redis, expected: Mapping[str, str]) -> list[WrongType]:
    """Keys that hold another type; those that this user may not ask about are left out. RedisError."""
    pipeline = client.pipeline(transaction=False)
    for key in expected:
        pipeline.type(key)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    named = (
        (key, answer.decode()) for key, answer in zip(expected, answers, strict=True) if isinstance(answer, bytes)
    )
    return [WrongType(key, found, expected[key]) for key, found in named if found not in (ABSENT, expected[key])]
