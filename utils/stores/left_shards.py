"""Shards that CONNECTIONS does not ask for any more: their streams and snapshots stay, and may hold what nobody read.

Other keys of a shard expire, or are short: a shard that comes back continues from them.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis

from utils.journal.entries import EntryId, Kind
from utils.keys import CANDLES_COLLECTION, SIGNALS_COLLECTION, Keys
from utils.runtime.settings import MAX_CONNECTIONS
from utils.stores.key_types import ABSENT
from utils.stores.snapshot_note import SnapshotNote

LOOK_SECONDS = 60.0
PAGE, MOST_PAGES = 20, 50  # so many marks and heartbeats are looked through for a frame; more are taken for one
MOST_COUNTED = 1_000
HEARTBEAT_BYTES = 1
_FRAME = Kind.FRAME.value.encode()


class LeftShards:
    """For the health report: `shard:frames wait:candles and signals wait` of each, `1:0:120;2:1:0`."""

    def __init__(self, client: redis.Redis, keys: Keys, shards: int) -> None:
        self._client = client
        self._keys = keys
        self._shards = range(shards, MAX_CONNECTIONS)
        self._looked_at = float("-inf")
        self._text = ""

    def fields(self, now_seconds: float) -> dict[str, str]:
        """Looked at once a minute; as before while Redis does not answer."""
        if now_seconds - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now_seconds
            with suppress(redis.RedisError):  # whatever it is, the worker's own work meets it, too
                self._text = ";".join(filter(None, map(self._look, self._shards)))
        return {"left_shards": self._text}

    def _look(self, shard: int) -> str:
        """Empty where there is neither stream."""
        if not any(is_there(self._client, name) for name in (self._keys.ticks(shard), self._keys.closed(shard))):
            return ""
        candles = unstored(self._client, self._keys.closed(shard), CANDLES_COLLECTION)
        signals = unstored(self._client, self._keys.signals(shard), SIGNALS_COLLECTION)
        return f"{shard}:{int(self._has_unread(shard))}:{candles + signals}"

    def _has_unread(self, shard: int) -> bool:
        """Whether frames with quotes lie behind the last snapshot."""
        stored: Any = self._client.get(self._keys.candle_state_counts(shard))
        after = str(SnapshotNote.parse(stored).position)
        for _ in range(MOST_PAGES):
            page: Any = self._client.xrange(self._keys.ticks(shard), min=f"({after}", count=PAGE)
            if any(len(fields.get(_FRAME, b"")) > HEARTBEAT_BYTES for _, fields in page):
                return True
            if len(page) < PAGE:
                return False
            after = page[-1][0].decode()
        return True


def is_there(client: redis.Redis, key: str) -> bool:
    """By TYPE, which any user with a right to the key may ask."""
    return client.type(key) != ABSENT.encode()


def unstored(client: redis.Redis, stream: str, group: str) -> int:
    """How many entries MongoDB has not got, at most; 0 where there is no stream."""
    if not is_there(client, stream):
        return 0
    about: Any = client.xinfo_stream(stream, full=True)  # XINFO GROUPS has the same, and not to the connector's user
    unknown: dict[str, Any] = {"pel-count": 0, "last-delivered-id": "0-0"}
    found = next((facts for facts in about["groups"] if facts["name"] in (group, group.encode())), unknown)
    lag = found.get("lag")
    if lag is None:  # Redis does not know it where entries were dropped
        after = EntryId.parse(found["last-delivered-id"])
        entries: Any = client.xrange(stream, min=f"({after}", count=MOST_COUNTED)
        lag = len(entries)
    return int(found["pel-count"]) + int(lag)
