"""Looks after the journal beside the sockets: forces it to disk, compresses finished days, drops old ones."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

from utils.journal.entries import ZERO_ID, EntryId, Topic
from utils.journal.files import compress_finished_days, drop_old_days
from utils.journal.writer import JournalWriter
from utils.market.ist import ist_date
from utils.runtime.log import BoundLogger
from utils.runtime.settings import SettingsError

LOCK_NAME = "connector.lock"


class Recorder(Protocol):
    """Who writes a journal: what the keeper asks of it (utils/connector/recorder.py)."""

    shard: int
    topic: Topic
    writer: JournalWriter

    @property
    def pending(self) -> int:
        """Entries that the file has not taken yet."""
        ...


@contextlib.contextmanager
def journal_lock(directory: Path) -> Iterator[None]:
    """Held while the process writes there. SettingsError when another one does, or the folder cannot be made."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SettingsError(
            f"JOURNAL_DIR: {directory} cannot be written ({error.strerror}); name a folder that can"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SettingsError(
            f"JOURNAL_DIR: another connector writes to {directory}; stop it first, or give this one another folder"
        ) from None
    try:
        yield
    finally:
        os.close(descriptor)


class JournalKeeper:
    """Two threads: one syncs every `sync_seconds` (0: never, the writer does), one cleans up once a day."""

    def __init__(
        self,
        directory: Path,
        recorders: Sequence[Recorder],
        sync_seconds: float,
        keep_days: int,
        now_ms: Callable[[], int],
        log: BoundLogger,
    ) -> None:
        self.sync_faults = 0
        self._directory = directory
        self._recorders = recorders
        self._sync_seconds = sync_seconds
        self._keep_days = keep_days
        self._now_ms = now_ms
        self._log = log
        self._ending = threading.Event()

    def start(self) -> None:
        if self._sync_seconds > 0:
            threading.Thread(target=self._sync_on, name="journal-sync", daemon=True).start()
        threading.Thread(target=self._clean_on, name="journal-cleaning", daemon=True).start()

    def stop(self) -> None:
        """Ends the threads soon; a compression that is cut short leaves the plain file, and is done again."""
        self._ending.set()

    def _sync_on(self) -> None:
        synced: dict[Recorder, EntryId] = {}
        while not self._ending.wait(self._sync_seconds):
            for recorder in self._recorders:
                last_id = recorder.writer.last_id
                if last_id != synced.get(recorder, ZERO_ID) and self._sync(recorder):
                    synced[recorder] = last_id

    def _sync(self, recorder: Recorder) -> bool:
        try:
            recorder.writer.sync()
        except OSError as error:
            self.sync_faults += 1
            self._log.error("journal sync failed", shard=recorder.shard, error=str(error))
            return False
        return True

    def _clean_on(self) -> None:
        done: date | None = None
        while True:
            today = self._first_unfinished_day()
            if today != done:
                self._clean(today)
                done = today
            if self._ending.wait(1.0):
                return

    def _first_unfinished_day(self) -> date:
        """No file before this day is written to any more."""
        # The account's journal may be quiet for days: its files are over when those of the same thread's ticks are.
        waiting = [recorder for recorder in self._recorders if recorder.topic is Topic.TICKS or recorder.pending]
        last_ids = [recorder.writer.last_id for recorder in waiting]
        return ist_date(min([self._now_ms(), *(entry_id.ms for entry_id in last_ids if entry_id != ZERO_ID)]))

    def _clean(self, today: date) -> None:
        for step in (self._drop, self._compress):  # a file that cannot be compressed does not fill the disk
            try:
                step(today)
            except Exception as error:
                self._log.error("journal cleanup failed, retrying tomorrow", error=str(error))

    def _drop(self, today: date) -> None:
        for day in drop_old_days(self._directory, today, self._keep_days):
            self._log.info("journal dropped: JOURNAL_DAYS are over", day=day.isoformat())

    def _compress(self, today: date) -> None:
        for path in compress_finished_days(self._directory, today):
            self._log.info("journal compressed", file=str(path.relative_to(self._directory)))
            if self._ending.is_set():
                return
        for recorder in self._recorders:
            recorder.writer.trust_before(today)
