"""The signals as lines of JSON, one file a market day, each signal once whatever is repeated."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from utils.market.ist import ist_date
from utils.market.signal import Signal

DAYS_HELD_OPEN = 3
LOCK_SECONDS, LOOK_AGAIN_SECONDS = 0.3, 0.005


def signal_path(directory: Path, at_ms: int) -> Path:
    """`signals_2026-11-20.jsonl` of the market day (IST) of an instant, epoch ms."""
    return directory / f"signals_{ist_date(at_ms).isoformat()}.jsonl"


@dataclass(frozen=True, slots=True)
class SignalLine:
    """A signal as the file has it: `content` is its JSON and the end of the line."""

    id: str
    at_ms: int
    content: bytes

    @classmethod
    def of(cls, signal: Signal) -> SignalLine:
        """The line of a signal."""
        return cls(signal.id, signal.at_ms, orjson.dumps(signal.as_document(), option=orjson.OPT_APPEND_NEWLINE))

    @classmethod
    def read(cls, content: bytes) -> SignalLine:
        """From `content`. ValueError: it is none."""
        try:
            document = orjson.loads(content)
            return cls(str(document["id"]), int(document["t"]), content)
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a signal ({error})") from None


@dataclass(slots=True)
class _Known:
    """What a file was found to hold: the ids in its first `length` bytes."""

    length: int = 0
    ids: set[str] = field(default_factory=set)


class SignalFile:
    """Appends to the day's file. What is in it already is not written again, whoever wrote it and when.

    Under a lock of the file, each time: several workers write to it, and one that stood still may go on while another
    has taken over. One that hangs with the lock in its hand is waited for once, and not again before it let go.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._known: dict[Path, _Known] = {}
        self._lock_seconds = LOCK_SECONDS

    def append(self, lines: Sequence[SignalLine]) -> int:
        """Write those that are not there yet; returns how many. OSError: say all of them again later."""
        of_day: dict[Path, list[SignalLine]] = {}
        for line in lines:
            of_day.setdefault(signal_path(self._directory, line.at_ms), []).append(line)
        return sum(self._append(path, chosen) for path, chosen in of_day.items())

    def _append(self, path: Path, lines: Sequence[SignalLine]) -> int:
        known = self._known.pop(path, None) or _Known()  # forgotten when the disk fails: then all is read again
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            self._lock(descriptor)
            _catch_up(descriptor, known)
            new = {one.id: one.content for one in lines if one.id not in known.ids}
            content = b"".join(new.values())
            _write(descriptor, content)
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
                raise BlockingIOError(errno.EWOULDBLOCK, "another process does not let go of the file's lock")
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
    """Reads what came since. A last line without its end was torn by a crash: it is cut off, to be written again."""
    size = os.fstat(descriptor).st_size
    if size < known.length:
        known.length, known.ids = 0, set()
    content = b""
    while len(content) < size - known.length:
        content += os.pread(descriptor, size - known.length - len(content), known.length + len(content))
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        os.ftruncate(descriptor, known.length + len(whole))
    known.length += len(whole)
    known.ids.update(one for one in map(_id, whole.splitlines()) if one)


def _write(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _id(line: bytes) -> str:
    try:
        content = orjson.loads(line)
    except ValueError:
        return ""
    return str(content.get("id", "")) if isinstance(content, dict) else ""
