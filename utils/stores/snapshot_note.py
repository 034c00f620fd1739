"""What stands beside a snapshot of the candles: how far its shard's stream of frames is covered by it."""

from __future__ import annotations

from dataclasses import dataclass

from utils.journal.entries import ZERO_ID, EntryId


@dataclass(frozen=True, slots=True)
class SnapshotNote:
    """`count` is the number of the stream's entries up to `position`, None: not known. As text `<id> <count>`."""

    position: EntryId = ZERO_ID
    count: int | None = 0

    @classmethod
    def parse(cls, text: bytes | None) -> SnapshotNote:
        """One that is not there, or cannot be read, covers nothing."""
        position, _, count = (text or b"").partition(b" ")
        try:
            return cls(EntryId.parse(position), int(count) if count else None)
        except ValueError:
            return cls()

    def __str__(self) -> str:
        return str(self.position) if self.count is None else f"{self.position} {self.count}"
