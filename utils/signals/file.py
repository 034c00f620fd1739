"""LOG_DIR's file of signals: lines of JSON, one file a market day, each signal once whatever is repeated.

An archiver (utils/stores/archive.py) reads the stream of signals by a consumer group of the file's own, and
acknowledges what `SignalFile.write` has put on the disk.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from utils.journal.files import sync_directory
from utils.market.ist import ist_date
from utils.stores.documents import Document, RefusedDocument, StoreError

DAYS_HELD_OPEN = 3
LOCK_SECONDS, LOOK_AGAIN_SECONDS = 0.3, 0.005


def signal_path(directory: Path, at_ms: int) -> Path:
    """`signals_2026-11-20.jsonl` of the market day (IST) of an instant, epoch ms."""
    return directory / f"signals_{ist_date(at_ms).isoformat()}.jsonl"


@dataclass(frozen=True, slots=True)
class SignalLine:
    """A signal as the file has it: `content` is its JSON and the end of the line."""

    id: str
    path: Path
    content: bytes

    @classmethod
    def of(cls, document: Document, directory: Path) -> SignalLine:
        """ValueError: it is no signal."""
        name, at_ms = document.get("id"), document.get("t")
        if not isinstance(name, str) or not isinstance(at_ms, int):
            raise ValueError("not a signal: no text for id, or no whole number for t")
        try:
            path = signal_path(directory, at_ms)
        except (ValueError, OverflowError) as error:
            raise ValueError(f"not a signal: no day has the instant {at_ms} ({error})") from None
        return cls(name, path, orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))


@dataclass(slots=True)
class _Known:
    """What a file was found to hold: the ids in its first `length` bytes."""

    length: int = 0
    ids: set[str] = field(default_factory=set)


class SignalFile:
    """Appends to the day's file. What is in it already is not written again, whoever wrote it and when.

    Each time under a lock of the file: several workers write to it, and one that stood still may resume while
    another has taken over. One that hangs while it has the lock is waited for once, and not again before it
    released the lock.
    Safe to share between threads.
    """

    def __init__(self, directory: Path) -> None:
        self.is_refused = False  # the last write was
        self._directory = directory
        self._known: dict[Path, _Known] = {}
        self._lock_seconds = LOCK_SECONDS
        self._turn = threading.Lock()

    def write(self, documents: Sequence[Document]) -> list[RefusedDocument]:
        """All are on the disk when this returns, but for those that are no signals. StoreError: write them again."""
        lines: list[SignalLine] = []
        refused: list[RefusedDocument] = []
        for document in documents:
            try:
                lines.append(SignalLine.of(document, self._directory))
            except ValueError as error:
                refused.append(RefusedDocument(document, str(error)))
        try:
            self.append(lines)
        except OSError as error:
            self.is_refused = True
            raise StoreError(
                "LOG_DIR's file takes no signals: they are in Redis, and written as soon as it does;"
                f" make room on the disk, or end the process that holds the file ({error.strerror})"
            ) from error
        self.is_refused = False
        return refused

    def append(self, lines: Sequence[SignalLine]) -> int:
        """Write those that are not there yet; returns how many. OSError: append all of them again later."""
        of_day: dict[Path, list[SignalLine]] = {}
        for line in lines:
            of_day.setdefault(line.path, []).append(line)
        with self._turn:
            return sum(self._append(path, chosen) for path, chosen in of_day.items())

    def _append(self, path: Path, lines: Sequence[SignalLine]) -> int:
        known = self._known.pop(path, None) or _Known()  # forgotten when the disk fails: then all is read again
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._lock(descriptor)
            _catch_up(descriptor, known)
            new = {line.id: line.content for line in lines if line.id not in known.ids}
            content = b"".join(new.values())
            _write(descriptor, content)
            fcntl.flock(descriptor, fcntl.LOCK_UN)  # a slow disk keeps nobody else from writing
            _sync(descriptor, path, is_new=not known.length)
        finally:
            os.close(descriptor)
        known.ids.update(new)
        known.length += len(content)
        self._keep(path, known)
        return len(new)

    def _lock(self, descriptor: int) -> None:
        """BlockingIOError when another has it for too long."""
        deadline = time.monotonic() + self._lock_seconds
        while not _is_locked(descriptor):
            if time.monotonic() >= deadline:
                self._lock_seconds = 0.0
                raise BlockingIOError(errno.EWOULDBLOCK, "another process does not release the file's lock")
            time.sleep(LOOK_AGAIN_SECONDS)
        self._lock_seconds = LOCK_SECONDS

    def _keep(self, path: Path, known: _Known) -> None:
        self._known[path] = known
        for oldest in sorted(self._known)[:-DAYS_HELD_OPEN]:
            if oldest != path:
                del self._known[oldest]


def _is_locked(descriptor: int) -> bool:
    """Whether we have the file's lock now."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _catch_up(descriptor: int, known: _Known) -> None:
    """Read what came since. A last line without its end was torn by a crash: it is cut off, to be written again."""
    size = os.fstat(descriptor).st_size
    if size < known.length:
        known.length, known.ids = 0, set()
    content = b""
    while len(content) < size - known.length:
        content += os.pread(descriptor, size - known.length - len(content), known.length + len(content))
    complete = content[: content.rfind(b"\n") + 1]
    if len(complete) < len(content):
        os.ftruncate(descriptor, known.length + len(complete))
    known.length += len(complete)
    known.ids.update(filter(None, map(_id, complete.splitlines())))


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync(descriptor: int, path: Path, is_new: bool) -> None:
    """Also what another process wrote and may have died before it synced; of a new file the name, too."""
    os.fsync(descriptor)
    if is_new:
        sync_directory(path.parent)


def _id(line: bytes) -> str:
    try:
        content = orjson.loads(line)
    except ValueError:
        return ""
    return str(content.get("id", "")) if isinstance(content, dict) else ""
