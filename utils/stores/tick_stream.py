"""The streams that the connector writes: every command on `ticks:{shard}` and `broker:{shard}`, and the `instruments`
hash beside them.
"""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import redis

from utils.journal.entries import Entry, EntryId, Topic
from utils.keys import Keys
from utils.market.instruments import Instrument

_LEAST_BYTES = 16 << 20  # as the least STREAM_MAX_MB: to drop from so little would not help a full Redis
_KEEP_OF_LIMIT = 0.9  # a forced trim goes a bit below the limit, so that it is not needed again at once

# Adds only to a stream that is where the caller left it. redis-py connects again without a word, and a server that
# came back empty would take the next entry, and refuse for good the earlier ones that it lost.
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
    """Redis took nothing, but has some room now: add it again."""


class TickStream:
    """RedisError from every method; nothing is retried in here, and after one it is open whether it was done."""

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
        """Redis is full: the oldest entries of a large stream go, or nothing would ever come in again."""
        used = self._client.memory_usage(self._keys.ticks(shard)) or 0
        dropped = self.trim_to_bytes(shard, round(used * _KEEP_OF_LIMIT)) if used > _LEAST_BYTES else 0
        if dropped:
            raise StreamFullError(
                f"Redis is out of memory: the {dropped} oldest entries of {self._keys.ticks(shard)} were dropped; "
                "lower STREAM_MAX_MB or give Redis more"
            )

    def trim_older(self, shard: int, min_ms: int, topic: Topic = Topic.TICKS) -> int:
        """Drops entries older than `min_ms` (whole stream nodes only); returns how many."""
        return int(self._client.xtrim(self.name(shard, topic), minid=f"{max(0, min_ms)}-0", approximate=True))

    def trim_to_bytes(self, shard: int, max_bytes: int, topic: Topic = Topic.TICKS) -> int:
        """Drops the oldest entries when the stream takes more memory than that; returns how many."""
        name = self.name(shard, topic)
        used = self._client.memory_usage(name) or 0
        if used <= max_bytes:
            return 0
        keep = int(self._client.xlen(name) * _KEEP_OF_LIMIT * max_bytes / used)
        return int(self._client.xtrim(name, maxlen=keep, approximate=True))

    def store_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Replaces the hash of symbol to instrument (JSON)."""
        name = self._keys.instruments()
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(name)
        if instruments:
            items = [part for one in instruments for part in (one.symbol, orjson.dumps(one.as_dict()))]
            pipeline.hset(name, items=items)
        pipeline.execute()


def _is_out_of_memory(error: redis.ResponseError) -> bool:
    return isinstance(error, redis.OutOfMemoryError) or "OOM" in str(error)
