"""Waiting for something to become true, and for the streams to be drained: by the workers, and into MongoDB.

Each wait has a deadline, and a stop request ends it at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import redis

from commands.shared.processes import CANDLE_WORKER, SIGNAL_WORKER
from commands.shared.readiness import position_of
from utils.journal.entries import ZERO_ID, EntryId
from utils.keys import SIGNALS_FILE_GROUP, Keys
from utils.runtime.lifecycle import StopRequest
from utils.stores.health import read_health

POLL_SECONDS = 0.1


class Interrupted(Exception):
    """The person asked to stop before this was done."""


def wait_for(condition: Callable[[], bool], seconds: float, stop: StopRequest) -> bool:
    """Polls until it holds; False when it did not within the time. Interrupted when asked to stop."""
    deadline = time.monotonic() + seconds
    while not condition():
        if stop.wait(POLL_SECONDS):
            raise Interrupted
        if time.monotonic() > deadline:
            return False
    return True


def wait_while_moving(
    is_done: Callable[[], bool],
    position: Callable[[], Hashable],
    still_seconds: float,
    stop: StopRequest,
    meanwhile: Callable[[], None] = lambda: None,
) -> bool:
    """Waits as long as `position` keeps changing; False when it stood still for that long without being done.

    A long backlog is drained in its own time, a stuck one is noticed soon.
    """
    seen, moved_at = position(), time.monotonic()
    while not is_done():
        if stop.wait(POLL_SECONDS):
            raise Interrupted
        meanwhile()
        here = position()
        if here != seen:
            seen, moved_at = here, time.monotonic()
        elif time.monotonic() - moved_at > still_seconds:
            return False
    return True


def last_id(client: redis.Redis, stream: str) -> EntryId:
    """The id of the newest entry a stream ever took; 0-0 when it is not there."""
    try:
        found: Any = client.xinfo_stream(stream)
    except redis.ResponseError as error:
        if "no such key" in str(error):
            return ZERO_ID
        raise
    return EntryId.parse(found["last-generated-id"])


def unarchived(client: redis.Redis, stream: str) -> int | None:
    """Entries that MongoDB's consumer group has not acknowledged; None when unknown yet.

    Redis counts what a group has not been given (`lag`); what it was given and did not acknowledge is `pending`.
    """
    if last_id(client, stream) == ZERO_ID:
        return 0
    groups = mongodb_groups(client.xinfo_groups(stream))
    if not groups or any(group["lag"] is None for group in groups):
        return None
    return sum(int(group["lag"]) + int(group["pending"]) for group in groups)


def mongodb_groups(groups: Any) -> list[dict[str, Any]]:
    """Without the one of the file: a file that cannot be written holds nobody up."""
    return [group for group in groups if group["name"] != SIGNALS_FILE_GROUP.encode()]


def archived_streams(keys: Keys, shards: list[int]) -> list[str]:
    """The streams that MongoDB is fed from."""
    return [*map(keys.closed, shards), *map(keys.signals, shards)]


def all_archived(client: redis.Redis, keys: Keys, shards: list[int]) -> bool:
    """Whether everything published so far is in MongoDB."""
    return all(unarchived(client, stream) == 0 for stream in archived_streams(keys, shards))


STILL_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class _Stage:
    """Something to be drained: whether it is, and how far it has come."""

    name: str
    is_done: Callable[[], bool]
    position: Callable[[], Hashable]


def drain(
    client: redis.Redis, keys: Keys, shards: list[int], stop: StopRequest, look: Callable[[], None]
) -> list[str]:
    """Stage by stage, each as long as it moves. Returns what stood still, in sentences.

    `look` is called again and again meanwhile. Interrupted when asked to stop; RedisError when Redis is away.
    """
    faults = []
    for stage in _stages(client, keys, shards):
        if not wait_while_moving(stage.is_done, stage.position, STILL_SECONDS, stop, look):
            faults.append(f"{stage.name} stood still for {STILL_SECONDS:g} s before everything was drained.")
    return faults


def _stages(client: redis.Redis, keys: Keys, shards: list[int]) -> list[_Stage]:
    streams = archived_streams(keys, shards)
    return [
        _worker_stage(client, keys, shards, CANDLE_WORKER, keys.ticks),
        _worker_stage(client, keys, shards, SIGNAL_WORKER, keys.closed),
        _Stage(
            "The archive of candles and signals in MongoDB",
            lambda: all_archived(client, keys, shards),
            lambda: tuple(unarchived(client, stream) for stream in streams),
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
