"""The note beside a snapshot: read as it was written, and worth nothing when it cannot be read."""

from __future__ import annotations

import pytest

from utils.journal.entries import ZERO_ID, EntryId
from utils.stores.snapshot_note import SnapshotNote


@pytest.mark.parametrize(("count", "text"), [(940, "17-2 940"), (None, "17-2")])
def test_a_note_is_read_as_it_was_written(count: int | None, text: str) -> None:
    note = SnapshotNote(EntryId(17, 2), count)
    assert str(note) == text
    assert SnapshotNote.parse(text.encode()) == note


@pytest.mark.parametrize("text", [None, b"", b"hello 3", b"17-2 many", b"\xff 1"])
def test_one_that_is_not_there_or_cannot_be_read_covers_nothing(text: bytes | None) -> None:
    assert SnapshotNote.parse(text) == SnapshotNote(ZERO_ID, 0)
