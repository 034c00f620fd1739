"""A recorded day, sent to the workers under its original ids, never further ahead of them than memory allows."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import redis

from utils.feed import ZERO_ID, Entry, EntryId
from utils.journal import JournalDamage, last_entry_id, read_journal
from utils.keys import Keys

ENTRIES_AT_ONCE = 500
AHEAD_ENTRIES = 50_000
AHEAD_BYTES = 64 << 20


class ShardEntry(NamedTuple):
    """An entry and the shard it belongs to."""

    shard: int
    entry: Entry


@dataclass(frozen=True, slots=True)
class JournalFile:
    """One shard's journal of the day."""

    shard: int
    path: Path
    damage: list[JournalDamage] = field(default_factory=list)


def merged_entries(files: list[JournalFile]) -> Iterator[ShardEntry]:
    """All shards' entries in the order of their ids. OSError, JournalError."""
    return heapq.merge(*map(_entries_of, files), key=lambda one: (one.entry.id, one.shard))


def _entries_of(file: JournalFile) -> Iterator[ShardEntry]:
    for entry in read_journal(file.path, damage=file.damage):
        yield ShardEntry(file.shard, entry)


def journal_window_ms(files: list[JournalFile]) -> tuple[int, int]:
    """The first and the last millisecond of all files; the last is 1 ms later at least. OSError, JournalError."""
    firsts = [entry.id.ms for one in files for entry in islice(read_journal(one.path), 1)]
    lasts = [last_entry_id(one.path).ms for one in files]
    first = min(firsts, default=0)
    return first, max(first + 1, *lasts)


class JournalFeed:
    """Sends entries, and forgets in Redis what the worker has taken: the stream stays as short as the lead.

    `last_sent` has the last id sent to each shard.
    """

    def __init__(self, client: redis.Redis, keys: Keys, shards: list[int]) -> None:
        self._client = client
        self._keys = keys
        self.last_sent: dict[int, EntryId] = dict.fromkeys(shards, ZERO_ID)
        self.sent = 0
        self._ahead: dict[int, deque[tuple[EntryId, int]]] = {shard: deque() for shard in shards}
        self._ahead_bytes = 0

    @property
    def ahead_entries(self) -> int:
        """How many entries the worker has not taken yet."""
        return sum(map(len, self._ahead.values()))

    @property
    def is_too_far_ahead(self) -> bool:
        """Whether the worker must catch up before more is sent."""
        return self._ahead_bytes > AHEAD_BYTES or self.ahead_entries > AHEAD_ENTRIES

    def send(self, batch: list[ShardEntry]) -> None:
        """Appends the entries with their own ids. RedisError."""
        pipeline = self._client.pipeline(transaction=False)
        for shard, entry in batch:
            fields: Any = {str(entry.kind): entry.payload}
            pipeline.xadd(self._keys.ticks(shard), fields, id=str(entry.id))
            self._ahead[shard].append((entry.id, len(entry.payload)))
            self._ahead_bytes += len(entry.payload)
            self.last_sent[shard] = entry.id
        pipeline.execute()
        self.sent += len(batch)

    def forget_taken(self, shard: int, position: EntryId) -> None:
        """The worker has taken everything up to `position`: the stream need not keep it. RedisError."""
        waiting, taken = self._ahead[shard], False
        while waiting and waiting[0][0] <= position:
            self._ahead_bytes -= waiting.popleft()[1]
            taken = True
        if taken:
            after = EntryId(position.ms, position.counter + 1)
            self._client.xtrim(self._keys.ticks(shard), minid=str(after), approximate=False)
