"""The journal: every frame and mark of a shard, on disk before anything else happens to it.

    writer = JournalWriter(directory, shard); writer.append(entry); writer.sync()
    for entry in read_journal(path, after): ...

Files are `JOURNAL_DIR/YYYY-MM-DD/ticks-<shard>.journal` (IST date of the entry ids), compressed after the day;
`broker-<shard>.journal` beside them has what the broker publishes about the account.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import zstandard

from utils.journal.entries import ZERO_ID, Entry, EntryId, Topic
from utils.journal.files import (
    compress_finished_days,
    drop_old_days,
    is_compressed,
    journal_days,
    journal_path,
    open_compressed,
    plain_path,
    sync_directory,
)
from utils.journal.records import (
    HEADER_LENGTH,
    JournalDamage,
    JournalError,
    RecordParser,
    check_header,
    pack_header,
    pack_record,
)
from utils.market.ist import EPOCH_ORDINAL, ist_date, ist_day

__all__ = [
    "JournalDamage",
    "JournalError",
    "JournalWriter",
    "compress_finished_days",
    "drop_old_days",
    "journal_days",
    "journal_path",
    "last_entry_id",
    "read_journal",
    "seek_offset",
]

_CHUNK = 1 << 20
_ALL_OF_IT = 1 << 62
_TAIL = 1 << 25  # more than the longest record, so that the last whole one is always within it


def read_journal(path: Path, after: EntryId = ZERO_ID, damage: list[JournalDamage] | None = None) -> Iterator[Entry]:
    """The entries of one file (plain or `.zst`) with ids above `after`, up to the last whole record.

    A torn tail ends it silently. In the place of what is damaged in the middle stands a `gap` mark; `damage`, when a
    list is given, has where.
    JournalError when the file is no journal at all; OSError when it cannot be read.
    """
    start = HEADER_LENGTH if is_compressed(path) or after == ZERO_ID else seek_offset(path, after)
    parser = RecordParser(start)
    for data in _chunks(path, start):
        yield from (entry for entry in parser.feed(data) if entry.id > after)
    yield from (entry for entry in parser.finish() if entry.id > after)
    if damage is not None:
        damage += parser.damage


def _chunks(path: Path, start: int) -> Iterator[bytes]:
    """The file's bytes from `start` on, its header checked first."""
    try:
        with open_compressed(path) if is_compressed(path) else path.open("rb") as stream:
            header = stream.read(HEADER_LENGTH)
            if len(header) < HEADER_LENGTH:
                return  # torn off in the moment it was made
            check_header(header, path.name)
            if start > HEADER_LENGTH:
                stream.seek(start)
            while data := stream.read(_CHUNK):
                yield data
    except zstandard.ZstdError as error:
        raise JournalError(f"{path.name} is a broken zstd file ({error}): restore it from a backup") from None


def seek_offset(path: Path, after: EntryId) -> int:
    """An offset of a plain file where a record begins, with no id above `after` before it: found by bisection."""
    with path.open("rb") as file:
        low, high = HEADER_LENGTH, os.fstat(file.fileno()).st_size
        while high - low > _CHUNK:
            middle = (low + high) // 2
            found = _first_record(file.fileno(), middle, high)
            if found is None or found[1].id > after:
                high = middle
            else:
                low = found[0]
    return low


def _first_record(descriptor: int, start: int, end: int) -> tuple[int, Entry] | None:
    """The first whole record that begins in [start, end), with its offset."""
    parser, at = RecordParser(start), start
    while data := os.pread(descriptor, _CHUNK, at):
        at += len(data)
        parser.pending += data
        if parser.skip_to_whole():
            break
        if parser.offset >= end or at >= end + _TAIL:
            return None
    offset = parser.offset
    entries = parser.feed(b"")
    return (offset, entries[0]) if entries and offset < end else None


def last_entry_id(path: Path) -> EntryId:
    """The id of the last whole record of a file; ZERO_ID when it has none."""
    if not is_compressed(path):
        return _scan_tail(path)[1]
    last = ZERO_ID
    for entry in read_journal(path):
        last = entry.id
    return last


def _scan_tail(path: Path) -> tuple[int, EntryId]:
    """Where the last whole record of a plain file ends, and its id."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        header = file.read(HEADER_LENGTH)
        if len(header) < HEADER_LENGTH:
            return 0, ZERO_ID
        check_header(header, path.name)
        start = max(HEADER_LENGTH, size - _TAIL)
        parser = RecordParser(start)
        parser.pending = os.pread(file.fileno(), size - start, start)
    if start > HEADER_LENGTH and not parser.skip_to_whole():
        raise JournalError(f"{path} has no whole record in its last {_TAIL >> 20} MB: move it away")
    entries = parser.feed(b"") + parser.finish()
    return parser.offset, entries[-1].id if entries else ZERO_ID


class JournalWriter:
    """Appends to the day's file of one shard. One thread appends; `sync` may be called from another.

    After a crash the torn tail is cut off (`cut_bytes` is its size) and `last_id` is the id of the last whole
    record of the newest file. With `sync_each` no append returns before the entry is on disk. What the disk refused
    once may be gone even when it takes the next sync: `unsynced_after` is the last id that is sure to be there.
    """

    def __init__(self, directory: Path, shard: int, sync_each: bool = False, topic: Topic = Topic.TICKS) -> None:
        """OSError when the directory cannot be written; JournalError when the newest file is no journal."""
        self.shard = shard
        self.last_id = ZERO_ID
        self.cut_bytes = 0
        self.unsynced_after: EntryId | None = None
        self._refused_to = ZERO_ID
        self._directory = directory
        self._topic = topic
        self._sync_each = sync_each
        self._day = -1
        self._descriptor = -1
        self._end = 0
        self._swap = threading.Lock()
        self._finished: list[int] = []
        self._recover()
        self._synced_to = self.last_id

    def whole_to(self, day: date) -> int:
        """Up to which byte the day's file has nothing but what was written to its end."""
        return self._end if self._descriptor >= 0 and self._day == day.toordinal() - EPOCH_ORDINAL else _ALL_OF_IT

    def append(self, entry: Entry) -> None:
        """Hands the entry to the operating system in one write: a kill -9 behind it loses nothing.

        OSError (a full disk) leaves the file as it was before, and the entry is not in it.
        """
        day = ist_day(entry.id.ms)
        if day != self._day:
            self._roll(entry.id)
            self._day = day
        record = pack_record(entry)
        self._write(record)
        self._end += len(record)
        self.last_id = entry.id

    def sync(self) -> None:
        """Everything appended so far survives a power cut. OSError when the disk fails."""
        with self._swap:
            last_id = self.last_id
            current = [os.dup(self._descriptor)] if self._descriptor >= 0 else []
            finished, self._finished = self._finished, []
        errors = [error for path in (*finished, *current) if (error := _sync_and_close(path)) is not None]
        if errors:
            self._refused_to = last_id
            self.unsynced_after = self.unsynced_after or self._synced_to
            raise errors[0]
        self._synced_to = last_id

    def trust_before(self, day: date) -> None:
        """The files of earlier days are on disk: they were written anew and read back."""
        if ist_date(self._refused_to.ms) < day:
            self.unsynced_after = None

    def close(self) -> None:
        """Syncs and closes. A later append opens the file again."""
        with self._swap:
            self._retire()
            self._day = -1
        self.sync()

    def _recover(self) -> None:
        for day in reversed(journal_days(self._directory)):
            path = journal_path(self._directory, day, self.shard, self._topic)
            if path is None:
                continue
            self.last_id = self._cut_tail(path) if not is_compressed(path) else last_entry_id(path)
            if self.last_id != ZERO_ID:
                return

    def _cut_tail(self, path: Path) -> EntryId:
        end, last = _scan_tail(path)
        torn = path.stat().st_size - end
        if torn:
            self.cut_bytes += torn
            os.truncate(path, end)
        return last

    def _roll(self, first: EntryId) -> None:
        """Opens the file of the day on which the id falls."""
        path = plain_path(self._directory, ist_date(first.ms), self.shard, self._topic)
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            end = os.fstat(descriptor).st_size
            if end < HEADER_LENGTH:
                header = pack_header(self.shard)
                _write_whole(descriptor, header, 0)
                end = len(header)
            sync_directory(path.parent)
        except OSError:
            os.close(descriptor)
            raise
        with self._swap:
            self._retire()
            self._descriptor, self._end = descriptor, end

    def _retire(self) -> None:
        if self._descriptor >= 0:
            self._finished.append(self._descriptor)
            self._descriptor = -1

    def _write(self, record: bytes) -> None:
        _write_whole(self._descriptor, record, self._end)
        if self._sync_each:
            try:
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._end)
                raise


def _sync_and_close(descriptor: int) -> OSError | None:
    try:
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error
    return None


def _write_whole(descriptor: int, data: bytes, offset: int) -> None:
    """All of it or nothing: what a failing disk took of it is cut off again."""
    try:
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], offset + written)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
