"""How much of a backlog may go to a stream: nothing that the candle worker may still need is trimmed for it.

The journal is the queue. While a backlog is sent, the stream holds at most `limit_bytes` beyond the worker's newest
snapshot, and what comes after that stays in the journal. Frames that are sent as they come know no window.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from utils.runtime.log import BoundLogger
from utils.stores.tick_reader import ENTRY_BYTES
from utils.stores.tick_stream import StreamUse

ANNOUNCED_SECONDS = 10.0  # a shorter wait is the ordinary pace of a large backlog

NO_SNAPSHOT = StreamUse(entries=0, used_bytes=0, unread=0)


class SendWindow:
    """One shard's. `look` asks Redis how much of the stream no snapshot covers (RedisError)."""

    def __init__(
        self,
        shard: int,
        look: Callable[[], StreamUse],
        limit_bytes: int,
        log: BoundLogger,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_behind = False
        self.use = NO_SNAPSHOT
        self._shard = shard
        self._look = look
        self._limit_bytes = limit_bytes
        self._log = log
        self._monotonic = monotonic
        self._room_bytes = 0
        self._waits_since: float | None = None
        self._is_announced = False

    def begin(self) -> None:
        """A backlog may be in the journal: the stream was asked anew how far it got."""
        self.is_behind, self._room_bytes = True, 0
        self._note_wait(False)

    def end(self) -> None:
        """The stream has everything: from here on entries are sent as they come."""
        self.is_behind = False
        self._note_wait(False)

    def room_bytes(self, most: int) -> int:
        """How many bytes may be sent now, at most `most`; 0: the candle worker has to store a snapshot first."""
        if not self.is_behind:
            return most
        if self._room_bytes <= 0:
            self.look()
            self._room_bytes = self._limit_bytes - self.use.unread_bytes
        self._note_wait(self._room_bytes <= 0)
        return max(0, min(most, self._room_bytes))

    def note_sent(self, entries: int, payload_bytes: int) -> None:
        self._room_bytes -= payload_bytes + entries * ENTRY_BYTES

    def look(self) -> StreamUse:
        """The stream as it is now. RedisError."""
        self.use = self._look()
        return self.use

    @property
    def waiting_seconds(self) -> float:
        """How long sending has waited for a snapshot; 0 when it does not."""
        return self._monotonic() - self._waits_since if self._waits_since is not None else 0.0

    def _note_wait(self, is_waiting: bool) -> None:
        if not is_waiting:
            self._waits_since, self._is_announced = None, False
            return
        if self._waits_since is None:
            self._waits_since = self._monotonic()
        if not self._is_announced and self.waiting_seconds >= ANNOUNCED_SECONDS:
            self._is_announced = True
            self._log.error(
                "sending waits for the candle worker: frames stay in the journal, and readers of the stream get none",
                shard=self._shard,
                unread_entries=self.use.unread,
            )
