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
from pathlib import Path

import zstandard

from utils.feed import ZERO_ID, Entry, EntryId, Topic
from utils.journal_files import (
    compress_finished_days,
    day_number,
    day_of,
    drop_old_days,
    is_compressed,
    journal_days,
    journal_path,
    open_compressed,
    plain_path,
    sync_directory,
)
from utils.journal_records import (
    HEADER_LENGTH,
    JournalDamage,
    JournalError,
    RecordParser,
    check_header,
    pack_header,
    pack_record,
)

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
_TAIL = 1 << 25  # more than the longest record, so that the last whole one is always within it


def read_journal(path: Path, after: EntryId = ZERO_ID, damage: list[JournalDamage] | None = None) -> Iterator[Entry]:
    """The entries of one file (plain or `.zst`) with ids above `after`, up to the last whole record.

    A torn tail ends it silently. What is damaged in the middle is skipped, and told in `damage` when a list is given.
    JournalError when the file is no journal at all; OSError when it can not be read.
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

    After a crash the torn tail is cut off (`cut_bytes` tells how much) and `last_id` is the id of the last whole
    record of the newest file. With `sync_each` no append returns before the entry is on disk.
    """

    def __init__(self, directory: Path, shard: int, sync_each: bool = False, topic: Topic = Topic.TICKS) -> None:
        """OSError when the directory can not be written; JournalError when the newest file is no journal."""
        self.shard = shard
        self.last_id = ZERO_ID
        self.cut_bytes = 0
        self._directory = directory
        self._topic = topic
        self._sync_each = sync_each
        self._day = -1
        self._descriptor = -1
        self._end = 0
        self._swap = threading.Lock()
        self._finished: list[int] = []
        self._recover()

    def append(self, entry: Entry) -> None:
        """Hands the entry to the operating system in one write: a kill -9 behind it loses nothing.

        OSError (a full disk) leaves the file as it was before, and the entry unwritten.
        """
        day = day_number(entry.id.ms)
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
            finished, self._finished = self._finished, []
            current = os.dup(self._descriptor) if self._descriptor >= 0 else -1
        for descriptor in (*finished, *([current] if current >= 0 else [])):
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

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
        path = plain_path(self._directory, day_of(first.ms), self.shard, self._topic)
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
            os.fsync(self._descriptor)


def _write_whole(descriptor: int, data: bytes, offset: int) -> None:
    """All of it or nothing: what a failing disk took of it is cut off again."""
    try:
        written = os.pwrite(descriptor, data, offset)
        while written < len(data):
            written += os.pwrite(descriptor, data[written:], offset + written)
    except OSError:
        os.ftruncate(descriptor, offset)
        raise
