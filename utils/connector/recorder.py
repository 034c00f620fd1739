"""A shard's record: each frame and mark gets its id and goes into the journal, from where it is sent on.

`record` and `retry` belong to the thread of the sockets, `take` and `seek` to the sender's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, Topic, is_gap
from utils.journal.follower import JournalFollower
from utils.journal.writer import JournalWriter
from utils.runtime.log import BoundLogger

PENDING_MAX_BYTES = 64 << 20


class TickRecorder:
    """Gives ids that only rise, over restarts too. A disk that fails stops nothing: entries wait in memory."""

    def __init__(
        self,
        directory: Path,
        shard: int,
        now_ms: Callable[[], int],
        on_entry: Callable[[], None],
        log: BoundLogger,
        sync_each: bool = False,
        topic: Topic = Topic.TICKS,
    ) -> None:
        self.shard = shard
        self.topic = topic
        self.writer = JournalWriter(directory, shard, sync_each, topic)
        self.last_id = _above_what_was_torn_off(self.writer.last_id)
        self.frames = self.received_bytes = 0
        self.last_frame_ms = 0
        self.last_mark_ms = 0
        self.lost = 0
        self.gaps = 0
        self.last_gap = ZERO_ID
        self.gap_met_ms = 0
        self.disk_fault = ""
        self._follower = JournalFollower(directory, shard, topic, self.writer.whole_to)
        self.now_ms = now_ms
        self._on_entry = on_entry
        self._log = log
        self._lock = threading.Lock()
        self._pending: deque[Entry] = deque()
        self._pending_bytes = 0

    @property
    def pending(self) -> int:
        """How many entries wait in memory because the disk fails."""
        return len(self._pending)

    @property
    def recorded_to(self) -> EntryId:
        """The id of the newest entry; ZERO_ID when there never was one."""
        return self._pending[-1].id if self._pending else self.writer.last_id

    @property
    def backlog_bytes(self) -> int:
        """About how much is still to be read by the sender."""
        return self._follower.remaining_bytes() + self._pending_bytes

    def frame(self, payload: bytes, is_binary: bool) -> None:
        """A frame as received."""
        entry = self._record(Kind.FRAME if is_binary else Kind.TEXT, payload)
        self.frames += 1
        self.received_bytes += len(payload)
        self.last_frame_ms = entry.id.ms

    def mark(self, payload: bytes) -> None:
        """A mark of the connector itself."""
        self.last_mark_ms = self._record(Kind.MARK, payload).id.ms

    def raise_floor(self, floor: EntryId) -> None:
        """Ids continue above `floor`: the stream is further than the journal, and would refuse lower ones."""
        with self._lock:
            self.last_id = max(self.last_id, floor)

    def retry(self) -> None:
        """Writes what waits in memory, in order, if the disk takes it again."""
        if not self._pending:
            return
        with self._lock:
            try:
                while self._pending:
                    self.writer.append(self._pending[0])
                    self._pending_bytes -= len(self._pending.popleft().payload)
            except OSError as error:
                self.disk_fault = str(error)
                return
            self.disk_fault = ""
        self._log.warning("the journal can be written again, and nothing in it is missing", shard=self.shard)
        self._on_entry()

    def seek(self, after: EntryId) -> None:
        self._follower.seek(after)

    def take(self, max_entries: int, max_bytes: int) -> list[Entry]:
        """The next entries to send; none when all were taken. OSError, JournalError."""
        taken = self._take(max_entries, max_bytes)
        for entry in taken:
            if entry.id > self.last_gap and is_gap(entry):  # the journal may be read more than once
                self._note_gap(entry)
        return taken

    def _take(self, max_entries: int, max_bytes: int) -> list[Entry]:
        if not self._pending:
            return self._follower.read(max_entries, max_bytes)
        # With the lock nothing moves from memory to the disk in between, so the order is kept.
        with self._lock:
            taken = self._follower.read(max_entries, max_bytes)
            if taken:
                return taken
            position = self._follower.position
            waiting = [entry for entry in self._pending if entry.id > position][:max_entries]
            if waiting:
                self._follower.position = waiting[-1].id
            return waiting

    def _note_gap(self, gap: Entry) -> None:
        self.gaps += 1
        self.last_gap = gap.id
        self.gap_met_ms = self.now_ms()
        self._log.error(
            "records of the journal cannot be read: the candles that they touch have complete=false; "
            "check the disk of JOURNAL_DIR, and that no other program writes there",
            shard=self.shard,
            before=str(gap.id),
            damage=gap.payload.decode(),
        )

    def close(self) -> None:
        """Everything is on disk when this returns. OSError when the disk fails."""
        self.retry()
        self.writer.close()

    def _record(self, kind: Kind, payload: bytes) -> Entry:
        with self._lock:
            entry = Entry(self.last_id.after(self.now_ms()), kind, payload)
            self.last_id = entry.id
            self._write(entry)
        self._on_entry()
        return entry

    def _write(self, entry: Entry) -> None:
        if self._pending:
            self._keep(entry)
            return
        try:
            self.writer.append(entry)
        except OSError as error:
            self.disk_fault = str(error)
            self._keep(entry)
            self._log.error(
                "the journal cannot be written: free the disk of JOURNAL_DIR; until then frames wait in memory",
                shard=self.shard,
                error=str(error),
            )

    def _keep(self, entry: Entry) -> None:
        self._pending.append(entry)
        self._pending_bytes += len(entry.payload)
        while self._pending_bytes > PENDING_MAX_BYTES:
            self._pending_bytes -= len(self._pending.popleft().payload)
            self.lost += 1


def _above_what_was_torn_off(last_id: EntryId) -> EntryId:
    # Entries lost with the journal's end may stand in the stream. While the clock stands still (it was stepped back)
    # they have this very millisecond, and their ids must not be given again.
    return last_id if last_id == ZERO_ID else EntryId(last_id.ms + 1, 0)
