"""The streams that the connector writes: every command on `ticks:{shard}` and `broker:{shard}`, and the `instruments`
hash beside them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from utils.journal.entries import ZERO_ID, Entry, EntryId, Topic
from utils.keys import Keys
from utils.market.instruments import Instrument
from utils.stores.snapshot_note import SnapshotNote

_LEAST_BYTES = 16 << 20  # as the least STREAM_MAX_MB: dropping from so little would not help a full Redis
_KEEP_OF_LIMIT = 0.9  # a forced trim goes a bit below the limit: it is not needed again at once

# Adds only to a stream that is where the caller left it. redis-py reconnects silently, and a server that came back
# empty would accept the next entry, and refuse for good the earlier ones that it lost.
_ADD = """
local last = '0-0'
if redis.call('EXISTS', KEYS[1]) == 1 then
  local info = redis.call('XINFO', 'STREAM', KEYS[1])
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then last = info[at + 1] end
  end
end
if last ~= ARGV[1] then return last end
for at = 2, #ARGV, 3 do
  last = redis.call('XADD', KEYS[1], ARGV[at], ARGV[at + 1], ARGV[at + 2])
  if ARGV[at + 1] == 'm' and string.find(ARGV[at + 2], '"mark":"subscribed"', 1, true) then
    redis.call('HSET', KEYS[2], 'id', last, 'mark', ARGV[at + 2])
  end
end
return last
"""


class StreamMovedError(redis.RedisError):
    """The stream is not where its writer left it: it lost entries, or someone else writes to it."""


class StreamFullError(redis.RedisError):
    """Redis accepted nothing, but has some room now: add it again."""


@dataclass(frozen=True, slots=True)
class StreamUse:
    """A stream's length and memory, and what the candle worker may still need of it.

    `unread` of its `entries` (the newest) came after `covered`, the entry that the worker's snapshot is true for.
    """

    entries: int
    used_bytes: int
    unread: int
    covered: EntryId = ZERO_ID

    @property
    def unread_bytes(self) -> int:
        """About how much memory these take."""
        return self.used_bytes * self.unread // max(1, self.entries)


class TickStream:
    """RedisError from every method. Nothing is retried in here: after one it is open whether it was done."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._add = client.register_script(_ADD)

    @property
    def keys(self) -> Keys:
        """The names under which it writes."""
        return self._keys

    def name(self, shard: int, topic: Topic) -> str:
        """The key of the stream."""
        return self._keys.ticks(shard) if topic is Topic.TICKS else self._keys.broker(shard)

    def last_id(self, shard: int, topic: Topic = Topic.TICKS) -> EntryId | None:
        """The highest id the shard's stream ever had, also when that entry is trimmed. None: there is no stream."""
        try:
            info = self._client.xinfo_stream(self.name(shard, topic))
        except redis.ResponseError as error:
            if "no such key" in str(error).lower():
                return None
            raise
        return EntryId.parse(info["last-generated-id"])

    def add(self, shard: int, entries: Sequence[Entry], after: EntryId, topic: Topic = Topic.TICKS) -> None:
        """Adds the entries under their own ids, in order, all or none, to a stream whose last id is `after`.

        ZERO_ID stands for no stream. StreamMovedError, and nothing was added, when it is another; ask `last_id` then.
        """
        arguments: list[str | bytes] = [str(after)]
        for entry in entries:
            arguments += (str(entry.id), entry.kind.value, entry.payload)
        name = self.name(shard, topic)
        try:
            last = EntryId.parse(self._add(keys=[name, self._keys.ticks_subscribed(shard)], args=arguments))
        except redis.ResponseError as error:
            if _is_out_of_memory(error):
                self._make_room(shard)
            raise
        if last != entries[-1].id:
            raise StreamMovedError(f"{name} is at {last}, and was left at {after}")

    def _make_room(self, shard: int) -> None:
        """Redis is full: the oldest entries of a large stream go, or nothing would ever come in again.

        First those that a snapshot covers. Unread ones only when nothing else is left: a candle worker that cannot
        store its snapshot would stay where it is for good.
        """
        use = self.use(shard)
        if use.used_bytes <= _LEAST_BYTES:
            return
        limit = round(use.used_bytes * _KEEP_OF_LIMIT)
        dropped = self.trim_to_bytes(shard, limit, keep=use.unread) or self.trim_to_bytes(shard, limit)
        if dropped:
            raise StreamFullError(
                f"Redis is out of memory: the {dropped} oldest entries of {self._keys.ticks(shard)} were dropped; "
                "lower STREAM_MAX_MB or give Redis more"
            )

    def use(self, shard: int) -> StreamUse:
        """What the ticks of a shard take, and how much of that no snapshot of the candle worker covers yet."""
        name = self._keys.ticks(shard)
        pipeline = self._client.pipeline(transaction=False)
        # The snapshot first: one that is stored in between makes less unread, never more.
        pipeline.get(self._keys.candle_state_counts(shard))
        pipeline.xinfo_stream(name)
        pipeline.memory_usage(name)
        note, info, used = pipeline.execute(raise_on_error=False)
        for answer in (note, info, used):
            if isinstance(answer, redis.RedisError):
                if "no such key" in str(answer).lower():
                    return StreamUse(0, 0, 0)
                raise answer
        snapshot = SnapshotNote.parse(note)
        return StreamUse(int(info["length"]), int(used or 0), _unread(info, snapshot), snapshot.position)

    def trim_older(self, shard: int, min_ms: int, topic: Topic = Topic.TICKS) -> int:
        """Drops entries older than `min_ms` (full stream nodes only); returns how many."""
        return int(self._client.xtrim(self.name(shard, topic), minid=f"{max(0, min_ms)}-0", approximate=True))

    def trim_to_bytes(self, shard: int, max_bytes: int, topic: Topic = Topic.TICKS, keep: int = 0) -> int:
        """Drops the oldest entries when the stream uses more memory than that; returns how many. `keep` stay."""
        name = self.name(shard, topic)
        used = self._client.memory_usage(name) or 0
        if used <= max_bytes:
            return 0
        fitting = int(self._client.xlen(name) * _KEEP_OF_LIMIT * max_bytes / used)
        return int(self._client.xtrim(name, maxlen=max(keep, fitting), approximate=True))

    def store_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Replaces the hash of symbol to instrument (JSON)."""
        name = self._keys.instruments()
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(name)
        if instruments:
            items = [
                part for instrument in instruments for part in (instrument.symbol, orjson.dumps(instrument.as_dict()))
            ]
            pipeline.hset(name, items=items)
        pipeline.execute()


def _unread(info: Any, snapshot: SnapshotNote) -> int:
    """How many of a stream's entries are newer than the snapshot; all where nobody knows."""
    length, added, count = int(info["length"]), int(info["entries-added"]), snapshot.count
    if EntryId.parse(info["last-generated-id"]) <= snapshot.position:
        return 0
    if count is None or count > added:  # a gap was met, or the stream is another one than the snapshot's
        return length
    return min(length, added - count)


def _is_out_of_memory(error: redis.ResponseError) -> bool:
    return isinstance(error, redis.OutOfMemoryError) or "OOM" in str(error)
