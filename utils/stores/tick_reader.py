"""Reading the streams of frames, and noticing what was dropped from them before it was read.

The connector bounds its streams in time and bytes (STREAM_HOURS, STREAM_MAX_MB); a worker that was away for too long
finds the entries behind its position gone. Redis counts all that was ever added to a stream, and the reader counts
what it read: the difference is a `Gap`, which is logged, and shown to the engine as the outage that it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, down_mark
from utils.keys import Keys
from utils.stores.redis_connection import (
    BLOCK_MS,
    OwnConnection,
    StreamFacts,
    StreamRequest,
    ask_streams,
    stream_answers,
)
from utils.stores.snapshot_note import SnapshotNote

READ_BYTES = 16 << 20  # about as much is read at once, however large the frames are
ENTRY_BYTES = 32  # about what an entry takes in memory beside its payload
_FIRST_READ = 16
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


@dataclass(slots=True)
class _Reading:
    """How far a shard was read: `count` is the number of its stream's entries up to `position`, None: not known."""

    position: EntryId = ZERO_ID
    count: int | None = 0
    at_once: int = _FIRST_READ
    unsaved_bytes: int = 0


class TickReader:
    """RedisError from `begin` and `read`, which may be repeated. Gaps wait in `gaps` to be logged.

    While there is a backlog it reads ahead: a batch's last id is where the next one begins, so that is asked for
    before the batch is given out, and Redis puts it together while the batch is worked on. Where it turns out that
    the next batch is to begin elsewhere, the reply is thrown away, connection and all.
    """

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self.gaps: list[Gap] = []
        self.is_behind = False
        self._client = client
        self._keys = keys
        self._own = OwnConnection(client)
        self._asked: dict[int, StreamRequest] = {}
        self._readings: dict[int, _Reading] = {}

    def begin(self, shard: int) -> None:
        """A snapshot is about to be loaded: reading continues where that was made."""
        self._asked, self.is_behind = {}, False
        self._own.forget()  # it may be dead without having been asked anything since
        stored: Any = self._client.get(self._keys.candle_state_counts(shard))
        note = SnapshotNote.parse(stored)
        self._readings[shard] = _Reading(note.position, note.count)

    def note_of(self, shard: int) -> str:
        """To be stored with a snapshot; only the position when the count is not known."""
        reading = self._readings.get(shard, _Reading())
        return str(SnapshotNote(reading.position, reading.count))

    def unsaved_bytes(self, shard: int) -> int:
        """About how much memory in Redis what was read since the last snapshot takes."""
        return self._readings.get(shard, _Reading()).unsaved_bytes

    def note_saved(self, shard: int) -> None:
        """A snapshot was stored that covers all that was read."""
        self._readings.setdefault(shard, _Reading()).unsaved_bytes = 0

    def read(self, positions: Mapping[int, EntryId], block_ms: int, most: int) -> list[tuple[int, list[Entry]]]:
        """Entries of each shard beyond its position, at most so many each; waits when there are none.

        After a gap the first one is a mark of our own, with an id from within the gap. `is_behind` shows afterwards
        whether a shard had as many as were asked for.
        """
        if not positions:
            return []
        found = self._answers(positions) if self._is_asked(positions) else []
        if not found:
            self._forget()
            self._ask(positions, most, block_ms)
            found = self._answers(positions)
        if self.is_behind:
            self._read_ahead({**positions, **{shard: entries[-1].id for shard, entries in found}}, most)
        return found

    def _read_ahead(self, positions: Mapping[int, EntryId], most: int) -> None:
        with suppress(redis.RedisError):  # what was found is given out all the same: the next call meets it again
            self._ask(positions, most)

    def _is_asked(self, positions: Mapping[int, EntryId]) -> bool:
        """Whether a reply is under way that shows what comes after each of these positions."""
        asked = self._asked
        return all(shard in asked and asked[shard].after == after for shard, after in positions.items())

    def _ask(self, positions: Mapping[int, EntryId], most: int, block_ms: int | None = None) -> None:
        """With `block_ms` it waits for an entry, so long at most."""
        for shard, after in positions.items():
            count = self._at_once(shard, after, most)
            self._asked[shard] = StreamRequest(self._keys.ticks(shard), after, count)
        wait_ms = 0 if block_ms is None else min(max(1, block_ms), BLOCK_MS)
        try:
            ask_streams(self._own, [self._asked[shard] for shard in positions], wait_ms)
        except BaseException:
            self._forget()
            raise

    def _answers(self, positions: Mapping[int, EntryId]) -> list[tuple[int, list[Entry]]]:
        """Of the shards that are named, the entries that came; others that were asked about are passed over."""
        asked, self._asked = self._asked, {}
        is_behind = False
        found: list[tuple[int, list[Entry]]] = []
        for (shard, request), answer in zip(asked.items(), stream_answers(self._own), strict=True):
            if answer is not None and shard in positions:
                entries = [entry_of(raw) for raw in answer.entries]
                is_behind |= len(entries) >= request.count
                found.append((shard, self._noted(shard, request, entries, answer.facts, len(asked))))
        self.is_behind = is_behind  # other threads look at it
        return found

    def _forget(self) -> None:
        """What was asked for is not wanted any more."""
        if self._asked:
            self._asked = {}
            self._own.forget()

    def _at_once(self, shard: int, position: EntryId, most: int) -> int:
        reading = self._readings.setdefault(shard, _Reading())
        if reading.position != position:  # not where we left it: an older snapshot, or one from before the count
            reading.position, reading.count = position, 0 if position == ZERO_ID else None
        return min(most, reading.at_once)

    def _noted(
        self, shard: int, request: StreamRequest, entries: list[Entry], facts: StreamFacts, shards: int
    ) -> list[Entry]:
        """The entries, with a mark before them when something is missing there."""
        reading = self._readings[shard]
        missing = _missing(reading, facts)
        if len(entries) < request.count:  # that was all
            reading.count = facts.added
        elif missing or reading.count is not None:
            count = max(reading.count or 0, facts.dropped) + len(entries)
            reading.count = count if count <= facts.added else None
        reading.position = entries[-1].id
        reading.unsaved_bytes += sum(len(entry.payload) + ENTRY_BYTES for entry in entries)
        largest = max(len(entry.payload) for entry in entries)
        reading.at_once = max(1, min(2 * reading.at_once, READ_BYTES // max(1, shards * largest)))
        if not missing:
            return entries
        if request.after != ZERO_ID:  # whoever begins has missed nothing that it was to read
            self.gaps.append(Gap(shard, request.after, entries[0].id, missing))
        return [self._mark_for(shard, entries[0].id), *entries]

    def _mark_for(self, shard: int, first: EntryId) -> Entry:
        """The last subscription before the first entry, repeated; none is known: down until there is one."""
        at = first.before()
        texts: Any = self._client.hgetall(self._keys.ticks_subscribed(shard))
        if _is_before(texts.get(b"id", b""), first) and b"mark" in texts:
            return Entry(at, Kind.MARK, texts[b"mark"])
        return Entry(at, Kind.MARK, down_mark(_GAP_REASON))


def _is_before(raw_id: bytes, first: EntryId) -> bool:
    try:
        return EntryId.parse(raw_id) < first
    except ValueError:
        return False


def _missing(reading: _Reading, facts: StreamFacts) -> int:
    """How many entries after the position are gone; where that is not known, at most so many."""
    if reading.count is not None:
        return max(0, facts.dropped - reading.count)
    return facts.dropped if facts.first > reading.position else 0


def entry_of(raw: tuple[bytes, list[bytes]]) -> Entry:
    """A stream entry. One that is none of the connector's is a mark that nobody can read: the engine rejects it."""
    raw_id, fields = raw
    if len(fields) == 2 and fields[0] in _KINDS:
        return Entry(EntryId.parse(raw_id), _KINDS[fields[0]], fields[1])
    return Entry(EntryId.parse(raw_id), Kind.MARK, b"not of the connector: " + repr(fields)[:400].encode())


_KINDS = {kind.value.encode(): kind for kind in Kind}
