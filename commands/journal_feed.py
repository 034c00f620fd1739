"""A recorded day, sent to the workers under its original ids, never further ahead of them than memory allows."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import redis

from utils.feed import ZERO_ID, Entry, EntryId
from utils.journal import JournalDamage, last_entry_id, read_journal
from utils.keys import Keys
from utils.stores.packed_commands import pack, send_packed

ENTRIES_AT_ONCE = 500
AHEAD_ENTRIES = 50_000
AHEAD_BYTES = 128 << 20  # what a fast replay sends until it sees how far the worker is


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


def shown_position(client: redis.Redis, keys: Keys, symbols: Sequence[str]) -> EntryId:
    """An entry that the worker of these symbols has taken for sure: the newest one in their live view. RedisError.

    The live view is some four times as fresh as the health report.
    """
    pipeline = client.pipeline(transaction=False)
    for symbol in symbols:
        pipeline.hget(keys.tick(symbol), "t")
    return EntryId(max((int(one) for one in pipeline.execute() if one is not None), default=0), 0)


class JournalFeed:
    """Sends entries, and forgets in Redis what the worker has taken: the stream stays as short as the lead.

    `last_sent` has the last id sent to each shard.
    """

    def __init__(self, client: redis.Redis, keys: Keys, shards: list[int]) -> None:
        self._client = client
        self._streams = {shard: keys.ticks(shard) for shard in shards}
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
        commands: list[bytes] = []
        for shard, entry in batch:
            commands.append(pack("XADD", self._streams[shard], str(entry.id), entry.kind.value, entry.payload))
            self._ahead[shard].append((entry.id, len(entry.payload)))
            self._ahead_bytes += len(entry.payload)
            self.last_sent[shard] = entry.id
        send_packed(self._client, commands)
        self.sent += len(batch)

    def forget_taken(self, shard: int, position: EntryId) -> None:
        """The worker has taken everything up to `position`: the stream need not keep it. RedisError."""
        waiting, taken = self._ahead[shard], False
        while waiting and waiting[0][0] <= position:
            self._ahead_bytes -= waiting.popleft()[1]
            taken = True
        if taken:
            after = EntryId(position.ms, position.counter + 1)
            self._client.xtrim(self._streams[shard], minid=str(after), approximate=False)
