"""Shards that CONNECTIONS does not ask for any more: their streams and snapshots stay, and may hold what nobody read.

Other keys of a shard expire, or are one short field each (of `said` and `state-counts`), from which a shard that
comes back goes on.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import redis

from utils.journal.entries import EntryId, Kind
from utils.keys import CANDLES_COLLECTION, Keys
from utils.runtime.settings import MAX_CONNECTIONS
from utils.stores.key_types import ABSENT

LOOK_SECONDS = 60.0
PAGE, MOST_PAGES = 20, 50  # so many marks and heartbeats are looked through for a frame; more are taken for one
MOST_COUNTED = 1_000
HEARTBEAT_BYTES = 1
_GROUP = (CANDLES_COLLECTION, CANDLES_COLLECTION.encode())
_FRAME = Kind.FRAME.value.encode()


class LeftShards:
    """For the health report: `shard:frames wait:candles wait` of each, `1:0:120;2:1:0`."""

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
        if not self._is_there(self._keys.ticks(shard)) and not self._is_there(self._keys.closed(shard)):
            return ""
        return f"{shard}:{int(self._has_unread(shard))}:{self._unstored(shard)}"

    def _is_there(self, stream: str) -> bool:
        return self._client.type(stream) != ABSENT.encode()

    def _has_unread(self, shard: int) -> bool:
        """Whether frames with quotes lie behind the last snapshot."""
        stored: Any = self._client.hget(self._keys.candle_state_counts(), str(shard))
        after = (stored or b"").partition(b" ")[0] or b"0-0"
        for _ in range(MOST_PAGES):
            page: Any = self._client.xrange(self._keys.ticks(shard), min=b"(" + after, count=PAGE)
            if any(len(one.get(_FRAME, b"")) > HEARTBEAT_BYTES for _, one in page):
                return True
            if len(page) < PAGE:
                return False
            after = page[-1][0]
        return True

    def _unstored(self, shard: int) -> int:
        """How many closed candles MongoDB has not got."""
        stream = self._keys.closed(shard)
        if not self._is_there(stream):
            return 0
        groups: Any = self._client.xinfo_groups(stream)
        unknown: dict[str, Any] = {"pending": 0, "last-delivered-id": "0-0"}
        of_archive = next((one for one in groups if one["name"] in _GROUP), unknown)
        lag = of_archive.get("lag")
        if lag is None:  # Redis does not know it where entries were dropped
            after = EntryId.parse(of_archive["last-delivered-id"])
            entries: Any = self._client.xrange(stream, min=f"({after}", count=MOST_COUNTED)
            lag = len(entries)
        return int(of_archive["pending"]) + int(lag)
