"""Reading the streams of frames, and noticing what was dropped from them before it was read.

The connector bounds its streams in time and bytes (STREAM_HOURS, STREAM_MAX_MB); a worker that was away for too long
finds the entries behind its position gone. Redis counts all that was ever added to a stream, and the reader counts
what it read: the difference is a `Gap`, which is told, and shown to the engine as the outage that it is for candles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from utils.feed import ZERO_ID, Entry, EntryId, Kind, down_mark
from utils.keys import Keys

READ_BYTES = 16 << 20  # about as much of a shard is read at once, however large its frames are
_FIRST_READ = 16
_LAST_COUNTER = (1 << 32) - 1
_GAP_REASON = "entries were dropped from the stream before they were read"


@dataclass(frozen=True, slots=True)
class Gap:
    """Entries of a shard, `entries` in number, that were after `after` and before `until`, and are gone unread."""

    shard: int
    after: EntryId
    until: EntryId
    entries: int

    @property
    def lost_ms(self) -> int:
        return self.until.ms - self.after.ms


@dataclass(frozen=True, slots=True)
class _StreamFacts:
    """`dropped` entries stood before the first one, `added` is all that there ever were."""

    added: int
    dropped: int
    first: EntryId


@dataclass(slots=True)
class _Reading:
    """How far a shard was read: `count` is the number of its stream's entries up to `position`, None: not known."""

    position: EntryId = ZERO_ID
    count: int | None = 0
    asked: int = 0
    at_once: int = _FIRST_READ


class TickReader:
    """RedisError from `begin` and `read`, which may be repeated. Gaps wait in `gaps` to be told."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.gaps: list[Gap] = []
        self._client = client
        self._keys = keys
        self._readings: dict[int, _Reading] = {}

    def begin(self, shard: int) -> None:
        """A snapshot is about to be loaded: reading goes on where that was made."""
        stored: Any = self._client.hget(self._keys.candle_state_counts(), str(shard))
        position, _, count = (stored or b"0-0 0").decode().partition(" ")
        self._readings[shard] = _Reading(EntryId.parse(position), int(count)) if count else _Reading()

    def note_of(self, shard: int) -> str:
        """To be stored with a snapshot, in the field of the shard; empty when the count is not known."""
        reading = self._readings.get(shard, _Reading())
        return "" if reading.count is None else f"{reading.position} {reading.count}"

    def read(self, positions: Mapping[int, EntryId], block_ms: int, most: int) -> list[tuple[int, list[Entry]]]:
        """Entries of each shard beyond its position, at most so many each; waits when there are none.

        After a gap the first one is a mark of our own, with an id from within the gap.
        """
        found = self._read_now(positions, most)
        if not found and positions:
            streams: dict[Any, Any] = {self._keys.ticks(shard): str(at) for shard, at in positions.items()}
            if self._client.xread(streams, count=1, block=max(1, block_ms)):
                found = self._read_now(positions, most)
        return found

    def _read_now(self, positions: Mapping[int, EntryId], most: int) -> list[tuple[int, list[Entry]]]:
        """In one transaction with what Redis says about each stream, so that no trim comes between."""
        pipeline = self._client.pipeline(transaction=True)
        for shard, position in positions.items():
            name = self._keys.ticks(shard)
            pipeline.xread({name: str(position)}, count=self._at_once(shard, position, most))
            pipeline.xinfo_stream(name)
        answers = pipeline.execute(raise_on_error=False)
        found: list[tuple[int, list[Entry]]] = []
        for (shard, position), read, info in zip(positions.items(), answers[::2], answers[1::2], strict=True):
            for answer in (read, info):
                if isinstance(answer, Exception) and "no such key" not in str(answer):
                    raise answer
            if read:
                entries = [entry_of(raw) for raw in read[0][1]]
                found.append((shard, self._noted(shard, position, entries, _facts(info))))
        return found

    def _at_once(self, shard: int, position: EntryId, most: int) -> int:
        reading = self._readings.setdefault(shard, _Reading())
        if reading.position != position:  # not where we left it: an older snapshot, or one from before the count
            reading.position, reading.count = position, 0 if position == ZERO_ID else None
        reading.asked = min(most, reading.at_once)
        return reading.asked

    def _noted(self, shard: int, position: EntryId, entries: list[Entry], facts: _StreamFacts) -> list[Entry]:
        """The entries, with a mark before them when something is missing there."""
        reading = self._readings[shard]
        missing = _missing(reading, facts)
        if len(entries) < reading.asked:  # that was all
            reading.count = facts.added
        elif missing or reading.count is not None:
            count = max(reading.count or 0, facts.dropped) + len(entries)
            reading.count = count if count <= facts.added else None
        reading.position = entries[-1].id
        largest = max(len(entry.payload) for entry in entries)
        reading.at_once = max(1, min(2 * reading.at_once, READ_BYTES // max(1, largest)))
        if not missing:
            return entries
        if position != ZERO_ID:  # whoever begins has missed nothing that it was to read
            self.gaps.append(Gap(shard, position, entries[0].id, missing))
        return [self._mark_for(shard, entries[0].id), *entries]

    def _mark_for(self, shard: int, first: EntryId) -> Entry:
        """The last subscription before the first entry, said again; none is known: down until there is one."""
        at = EntryId(first.ms, first.counter - 1) if first.counter else EntryId(first.ms - 1, _LAST_COUNTER)
        said: Any = self._client.hgetall(self._keys.ticks_subscribed(shard))
        if b"mark" in said and EntryId.parse(said[b"id"]) < first:
            return Entry(at, Kind.MARK, said[b"mark"])
        return Entry(at, Kind.MARK, down_mark(_GAP_REASON))


def _facts(info: Any) -> _StreamFacts:
    added = int(info["entries-added"])
    return _StreamFacts(added, added - int(info["length"]), EntryId.parse(info["first-entry"][0]))


def _missing(reading: _Reading, facts: _StreamFacts) -> int:
    """How many entries after the position are gone; where that is not known, at most so many."""
    if reading.count is not None:
        return max(0, facts.dropped - reading.count)
    return facts.dropped if facts.first > reading.position else 0


def entry_of(raw: tuple[bytes, dict[bytes, bytes]]) -> Entry:
    """A stream entry. One that is none of the connector's is a mark that nobody can read: the engine rejects it."""
    raw_id, fields = raw
    name, payload = next(iter(fields.items()), (b"", b""))
    if len(fields) == 1 and name in _KINDS:
        return Entry(EntryId.parse(raw_id), _KINDS[name], payload)
    return Entry(EntryId.parse(raw_id), Kind.MARK, b"not of the connector: " + repr(fields)[:400].encode())


_KINDS = {kind.value.encode(): kind for kind in Kind}
