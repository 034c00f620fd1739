"""A recorded day, sent to the workers under its original ids, never further ahead of them than memory allows."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import click
import redis

from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.journal.files import journal_days, journal_path, journal_shards
from utils.journal.writer import JournalDamage, last_entry_id, read_journal
from utils.keys import Keys
from utils.market.ist import DAY_MS
from utils.stores.redis_connection import pack, send_packed

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
    return heapq.merge(*map(_entries_of, files), key=lambda of_shard: (of_shard.entry.id, of_shard.shard))


def _entries_of(file: JournalFile) -> Iterator[ShardEntry]:
    for entry in read_journal(file.path, damage=file.damage):
        yield ShardEntry(file.shard, entry)


def journal_window_ms(files: list[JournalFile]) -> tuple[int, int]:
    """The first and the last millisecond of all files; the last is 1 ms later at least. OSError, JournalError."""
    firsts = [entry.id.ms for file in files for entry in islice(read_journal(file.path), 1)]
    lasts = [last_entry_id(file.path).ms for file in files]
    first = min(firsts, default=0)
    return first, max(first + 1, *lasts)


def shown_position(client: redis.Redis, keys: Keys, symbols: Sequence[str]) -> EntryId:
    """An entry that the worker of these symbols has taken for sure: the newest one in their live view. RedisError.

    The live view is fresher than the health report.
    """
    pipeline = client.pipeline(transaction=False)
    for symbol in symbols:
        pipeline.hget(keys.tick(symbol), "t")
    return EntryId(max((int(answer) for answer in pipeline.execute() if answer is not None), default=0), 0)


def batches(entries: Iterable[ShardEntry], span_ms: int) -> Iterator[list[ShardEntry]]:
    """What is sent together: at most ENTRIES_AT_ONCE, and no more than so much of the market's time."""
    batch: list[ShardEntry] = []
    for entry in entries:
        if batch and (len(batch) == ENTRIES_AT_ONCE or entry.entry.id.ms - batch[0].entry.id.ms > span_ms):
            yield batch
            batch = []
        batch.append(entry)
    if batch:
        yield batch


@dataclass(frozen=True, slots=True)
class ClosingBound:
    """How many candles of a shard what is sent may close before they are known to be published: `most`.

    `instruments` is their number by shard, `lengths_ms` has the timeframes' lengths.
    """

    instruments: Mapping[int, int]
    lengths_ms: Sequence[int]
    most: int

    def closed_by(self, shard: int, span_ms: int, packets: int) -> int:
        """At most, by entries that span so much time and have so many packets in their frames.

        In each bucket that ends an instrument has a candle at most, and that is open or a packet must open it: there
        are few packets where hardly anything is traded, and few buckets where much is.
        """
        instruments = self.instruments[shard]
        return sum(
            min(instruments * (span_ms // length_ms + 1), instruments + packets) for length_ms in self.lengths_ms
        )

    @property
    def span_at_once_ms(self) -> int:
        """What may be sent without a look at how far the worker is: a quarter of it all."""
        in_a_day = max(1, *self.instruments.values()) * sum(DAY_MS / length_ms for length_ms in self.lengths_ms)
        return int(self.most / 4 / in_a_day * DAY_MS)


class _Sent(NamedTuple):
    """An entry that the worker may not have taken yet."""

    id: EntryId
    size: int
    packets: int


class JournalFeed:
    """Sends entries, and forgets in Redis what the worker has taken: the stream stays as short as the lead.

    `last_sent` has the last id sent to each shard.
    """

    def __init__(self, client: redis.Redis, keys: Keys, bound: ClosingBound) -> None:
        shards = list(bound.instruments)
        self._client = client
        self._bound = bound
        self._streams = {shard: keys.ticks(shard) for shard in shards}
        self.last_sent: dict[int, EntryId] = dict.fromkeys(shards, ZERO_ID)
        self.sent = 0
        self._ahead: dict[int, deque[_Sent]] = {shard: deque() for shard in shards}
        self._ahead_packets = dict.fromkeys(shards, 0)
        self._ahead_bytes = 0

    @property
    def ahead_entries(self) -> int:
        """How many entries the worker has not taken yet."""
        return sum(map(len, self._ahead.values()))

    def is_too_far_ahead(self, batch: Sequence[ShardEntry]) -> bool:
        """Whether the worker must catch up before this is sent; with nothing ahead of it anything may be."""
        if self._ahead_bytes > AHEAD_BYTES or self.ahead_entries > AHEAD_ENTRIES:
            return True
        newest_ms = batch[-1].entry.id.ms
        packets = sum(_packets(pending.entry) for pending in batch)
        return any(
            self._bound.closed_by(shard, newest_ms - waiting[0].id.ms, self._ahead_packets[shard] + packets)
            > self._bound.most
            for shard, waiting in self._ahead.items()
            if waiting
        )

    def send(self, batch: list[ShardEntry]) -> None:
        """Appends the entries with their own ids. RedisError."""
        commands: list[bytes] = []
        for shard, entry in batch:
            commands.append(pack("XADD", self._streams[shard], str(entry.id), entry.kind.value, entry.payload))
            sent = _Sent(entry.id, len(entry.payload), _packets(entry))
            self._ahead[shard].append(sent)
            self._ahead_packets[shard] += sent.packets
            self._ahead_bytes += sent.size
            self.last_sent[shard] = entry.id
        send_packed(self._client, commands)
        self.sent += len(batch)

    def forget_taken(self, shard: int, position: EntryId) -> None:
        """The worker has taken everything up to `position`: the stream need not keep it. RedisError."""
        waiting, taken = self._ahead[shard], False
        while waiting and waiting[0].id <= position:
            sent = waiting.popleft()
            self._ahead_packets[shard] -= sent.packets
            self._ahead_bytes -= sent.size
            taken = True
        if taken:
            after = EntryId(position.ms, position.counter + 1)
            self._client.xtrim(self._streams[shard], minid=str(after), approximate=False)


def _packets(entry: Entry) -> int:
    """The number of packets in a frame, from its header; the heartbeat of one byte has none."""
    return int.from_bytes(entry.payload[:2]) if entry.kind is Kind.FRAME and len(entry.payload) > 1 else 0


def recorded_files(directory: Path, day: date) -> list[JournalFile]:
    """Each shard's file of the day. ClickException when there is none."""
    paths = {shard: journal_path(directory, day, shard) for shard in journal_shards(directory, day)}
    files = [JournalFile(shard, path) for shard, path in paths.items() if path is not None]
    if not files:
        held = journal_days(directory)
        what = f"it holds {held[0]} to {held[-1]}" if held else "it holds no day at all"
        raise click.ClickException(f"JOURNAL_DIR: {directory} has no journal of {day}; {what}.")
    return files
