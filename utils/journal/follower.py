"""Reads a shard's journal while it grows: the journal is the queue of what is still to be sent."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from utils.journal.entries import ZERO_ID, Entry, EntryId, Topic
from utils.journal.files import is_compressed, journal_days, journal_path
from utils.journal.records import HEADER_LENGTH, RecordParser, check_header
from utils.journal.writer import read_journal, seek_offset
from utils.market.ist import ist_date

_CHUNK = 1 << 20


class JournalFollower:
    """Gives the entries above `position` in order, over all days, as often as it is asked.

    It begins before the first entry kept; `seek` moves it. A record that is still being written is given next time.
    """

    def __init__(
        self,
        directory: Path,
        shard: int,
        topic: Topic = Topic.TICKS,
        whole_to: Callable[[date], int] = lambda _day: 0,
    ) -> None:
        """`whole_to` gives the byte up to which a day's file is complete (JournalWriter.whole_to).

        What cannot be read before it will never be a record, whatever length it claims. 0: not known.
        """
        self._whole_to = whole_to
        self.position: EntryId = ZERO_ID
        self.damaged_bytes = 0
        self._directory = directory
        self._shard = shard
        self._topic = topic
        self._day: date | None = None
        self._file: _PlainFile | None = None
        self._packed: Iterator[Entry] | None = None
        self._ready: deque[Entry] = deque()

    def seek(self, after: EntryId) -> None:
        """The next read begins with the first entry above `after`."""
        self.close()
        self.position = after
        self._day = None

    def read(self, max_entries: int, max_bytes: int = _CHUNK) -> list[Entry]:
        """The next entries, up to either bound (the last may exceed `max_bytes`); none when there are no more.

        OSError, JournalError.
        """
        taken: list[Entry] = []
        room = max_bytes
        while len(taken) < max_entries and room > 0:
            part = self._read_day(max_entries - len(taken), room)
            if part:
                taken += part
                room -= sum(len(entry.payload) for entry in part)
                self.position = part[-1].id
            elif not self._next_day():
                break
        return taken

    def remaining_bytes(self) -> int:
        """About how much is still to be read."""
        file, day = self._file, self._day
        later = (journal_day for journal_day in journal_days(self._directory) if day is None or journal_day > day)
        paths = (journal_path(self._directory, later_day, self._shard, self._topic) for later_day in later)
        sizes = sum(path.stat().st_size for path in paths if path is not None)
        return sizes + (file.remaining_bytes() if file is not None else 0) + sum(len(e.payload) for e in self._ready)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._packed = None
        self._ready = deque()

    def _read_day(self, max_entries: int, max_bytes: int) -> list[Entry]:
        if self._packed is not None:
            return list(_bounded(self._packed, max_entries, max_bytes))
        if self._file is not None:
            while not self._ready and self._file.grew():
                whole_to = self._whole_to(self._day) if self._day is not None else 0
                self._ready = deque(entry for entry in self._file.read(whole_to) if entry.id > self.position)
        return list(_bounded(_emptied(self._ready), max_entries, max_bytes))

    def _next_day(self) -> bool:
        """Opens the file of the next day that has one; False, and nothing changes, when there is none yet."""
        floor = self._day or (ist_date(self.position.ms) if self.position > ZERO_ID else None)
        for day in journal_days(self._directory):
            if floor is None or day > floor or (day == floor and self._day is None):
                path = journal_path(self._directory, day, self._shard, self._topic)
                if path is None:
                    continue
                if self._file is not None and self._file.grew():
                    return True  # the writer went on to the next day after our last look: read this one to its end
                if self._open(path):
                    self._day = day
                    return True
        return False

    def _open(self, path: Path) -> bool:
        if is_compressed(path):
            self._finish_file()
            self._packed = read_journal(path, self.position)
            return True
        try:
            opened = _PlainFile(path, self.position)
        except FileNotFoundError:  # compressed or dropped a moment ago: the next call sees what is there now
            return False
        except _TooShortError:  # made a moment ago, and its header not yet written
            return False
        self._finish_file()
        self._file = opened
        return True

    def _finish_file(self) -> None:
        if self._file is not None:
            self.damaged_bytes += self._file.damaged_bytes
        self.close()


def _emptied(entries: deque[Entry]) -> Iterator[Entry]:
    while entries:
        yield entries.popleft()


def _bounded(entries: Iterator[Entry], max_entries: int, max_bytes: int) -> Iterator[Entry]:
    """Takes no more from `entries` than it gives."""
    while max_entries > 0 and max_bytes > 0:
        entry = next(entries, None)
        if entry is None:
            return
        max_entries, max_bytes = max_entries - 1, max_bytes - len(entry.payload)
        yield entry


class _TooShortError(Exception):
    pass


class _PlainFile:
    """An open file that may grow. It stays readable when it is deleted."""

    def __init__(self, path: Path, after: EntryId) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            header = os.pread(self._descriptor, HEADER_LENGTH, 0)
            if len(header) < HEADER_LENGTH:
                raise _TooShortError
            check_header(header, path.name)
            self._parser = RecordParser(HEADER_LENGTH if after == ZERO_ID else seek_offset(path, after))
        except BaseException:
            self.close()
            raise
        self._read_to = self._parser.offset
        self._seen_size = 0

    @property
    def damaged_bytes(self) -> int:
        return sum(damage.length for damage in self._parser.damage)

    def remaining_bytes(self) -> int:
        return max(0, os.fstat(self._descriptor).st_size - self._read_to)

    def grew(self) -> bool:
        return os.fstat(self._descriptor).st_size != self._seen_size

    def read(self, whole_to: int) -> list[Entry]:
        """The whole records of the next part; call it while `grew`. What stands before `whole_to` is written."""
        size = os.fstat(self._descriptor).st_size
        data = os.pread(self._descriptor, min(_CHUNK, max(0, size - self._read_to)), self._read_to)
        self._read_to += len(data)
        entries = self._parser.feed(data)
        if self._read_to >= size:
            if self._read_to <= whole_to:
                entries += self._parser.finish()
            # What a full disk took of a record is cut off again: never keep an unfinished one, read it anew.
            self._parser.forget_pending()
            self._read_to = self._parser.offset
            self._seen_size = size
        return entries

    def close(self) -> None:
        os.close(self._descriptor)
