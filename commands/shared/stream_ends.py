"""How far the streams are worked off: what was said last, and whether the archivers have stored all of it."""

from __future__ import annotations

from typing import Any

import redis

from utils.journal.entries import ZERO_ID, EntryId
from utils.keys import Keys


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
    """Entries that the stream's consumer group has not acknowledged; None when there is no telling yet.

    Redis counts what a group has not been given (`lag`); what it was given and did not acknowledge is `pending`.
    """
    if last_id(client, stream) == ZERO_ID:
        return 0
    groups: Any = client.xinfo_groups(stream)
    if not groups or any(one["lag"] is None for one in groups):
        return None
    return sum(int(one["lag"]) + int(one["pending"]) for one in groups)


def archived_streams(keys: Keys, shards: list[int]) -> list[str]:
    """The streams that MongoDB is fed from."""
    return [*(keys.closed(shard) for shard in shards), keys.signals()]


def all_archived(client: redis.Redis, keys: Keys, shards: list[int]) -> bool:
    """Whether everything said so far is in MongoDB."""
    return all(unarchived(client, stream) == 0 for stream in archived_streams(keys, shards))
