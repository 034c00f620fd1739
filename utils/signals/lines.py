"""The way of a shard's signals into the file: those that it refuses wait here, and in the snapshot meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from utils.market.signal import Signal
from utils.runtime.log import BoundLogger
from utils.signals.file import SignalFile, SignalLine

MOST_WAITING = 10_000  # of a shard: 10 MB in memory


class SignalLines:
    """What waits belongs in each snapshot, or nobody would make it again: its candles are behind the snapshot.

    Whoever goes on from there gives it to `restore`. The file knows what it has, so it may be written by two.
    """

    def __init__(self, file: SignalFile, counts: Counter[str], log: BoundLogger) -> None:
        """What is forced out for good is counted as `file_lost`."""
        self._file = file
        self._counts = counts
        self._log = log
        self._waiting: dict[str, SignalLine] = {}
        self._is_refused = self._has_lost = False

    def __len__(self) -> int:
        return len(self._waiting)

    def write(self, signals: Sequence[Signal] = ()) -> None:
        """These, and all that wait. What the file refuses waits on, the oldest only as long as there is room."""
        self._waiting.update({signal.id: SignalLine.of(signal) for signal in signals})
        if not self._waiting:
            return
        try:
            self._file.append(list(self._waiting.values()))
        except OSError as error:
            self._note_refused(error)
        else:
            self._note_written()

    def content(self) -> bytes:
        """What waits, as lines."""
        return b"".join(one.content for one in self._waiting.values())

    def restore(self, content: bytes) -> None:
        """What waited when a snapshot was taken waits again."""
        restored: dict[str, SignalLine] = {}
        for content_line in content.splitlines(keepends=True):
            try:
                line = SignalLine.read(content_line)
            except ValueError as error:
                self._counts["file_lost"] += 1
                self._log.error(
                    "a signal in the snapshot can not be read, LOG_DIR's file lacks it", reason=str(error)
                )
            else:
                restored[line.id] = line
        self._waiting = {**restored, **self._waiting}

    def _note_refused(self, error: OSError) -> None:
        if not self._is_refused:
            self._log.error(
                "LOG_DIR's file takes no signals: they are in Redis, and written as soon as it does;"
                " make room on the disk, or end the process that holds the file",
                reason=str(error),
            )
        self._is_refused = True
        self._force_out()

    def _force_out(self) -> None:
        too_many = list(self._waiting)[:-MOST_WAITING]
        for name in too_many:
            del self._waiting[name]
        self._counts["file_lost"] += len(too_many)
        if too_many and not self._has_lost:
            self._has_lost = True
            self._log.error(
                f"more than {MOST_WAITING} signals wait for LOG_DIR's file: from now on the oldest are dropped"
                " (`file_lost` in health:signal_worker); MongoDB has them"
            )

    def _note_written(self) -> None:
        if self._is_refused:
            self._log.info("LOG_DIR's file has all signals that waited", lines=len(self._waiting))
        self._waiting = {}
        self._is_refused = self._has_lost = False
