"""Waiting until everything that was said is worked off: by the workers, and by what feeds MongoDB."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import redis

from commands.shared.processes import CANDLE_WORKER, SIGNAL_WORKER
from commands.shared.readiness import position_of
from commands.shared.stream_ends import all_archived, archived_streams, last_id, unarchived
from commands.shared.waiting import wait_while_moving
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.runtime.lifecycle import StopRequest
from utils.stores.health import read_health

STILL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Stage:
    """Something to be worked off: whether it is, and how far it has come."""

    name: str
    is_done: Callable[[], bool]
    position: Callable[[], Hashable]


def work_off(
    client: redis.Redis, keys: Keys, shards: list[int], stop: StopRequest, look: Callable[[], None]
) -> list[str]:
    """Stage by stage, each as long as it moves. Returns what stood still, in sentences.

    `look` is called again and again meanwhile. Interrupted when asked to stop; RedisError when Redis is away.
    """
    faults = []
    for stage in _stages(client, keys, shards):
        if not wait_while_moving(stage.is_done, stage.position, STILL_SECONDS, stop, look):
            faults.append(f"{stage.name} stood still for {STILL_SECONDS:g} s before everything was worked off.")
    return faults


def _stages(client: redis.Redis, keys: Keys, shards: list[int]) -> list[_Stage]:
    streams = archived_streams(keys, shards)
    return [
        _worker_stage(client, keys, shards, CANDLE_WORKER, keys.ticks),
        _worker_stage(client, keys, shards, SIGNAL_WORKER, keys.closed),
        _Stage(
            "The archive of candles and signals in MongoDB",
            lambda: all_archived(client, keys, shards),
            lambda: tuple(unarchived(client, one) for one in streams),
        ),
    ]


def _worker_stage(
    client: redis.Redis, keys: Keys, shards: list[int], process: str, stream: Callable[[int], str]
) -> _Stage:
    def positions() -> tuple[EntryId, ...]:
        reports = read_health(client, keys)
        return tuple(position_of(reports, process, shard) for shard in shards)

    def is_done() -> bool:
        return all(at >= last_id(client, stream(shard)) for shard, at in zip(shards, positions(), strict=True))

    return _Stage(f"The {process.replace('_', ' ')}", is_done, positions)
