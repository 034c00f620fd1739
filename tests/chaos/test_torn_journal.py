"""A journal that lost its end: capture continues, and no id is given twice, though the clock stands still."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog

from utils.connector.recorder import TickRecorder
from utils.journal.writer import journal_days, journal_path, read_journal

NOW_MS = 1_795_146_300_000


def recorder(directory: Path, now_ms: int) -> TickRecorder:
    return TickRecorder(directory, 0, lambda: now_ms, lambda: None, structlog.get_logger())


@pytest.mark.parametrize("cut", range(1, 90, 4))
def test_capture_continues_behind_any_cut(tmp_path: Path, cut: int) -> None:
    """The records below are 29 bytes each; the clock was stepped back an hour meanwhile."""
    before = recorder(tmp_path, NOW_MS)
    for index in range(5):
        before.frame(bytes([index]) * 5, True)
    before.close()
    path = journal_path(tmp_path, journal_days(tmp_path)[0], 0)
    assert path is not None
    given = {entry.id for entry in read_journal(path)}
    os.truncate(path, path.stat().st_size - cut)
    after = recorder(tmp_path, NOW_MS - 3_600_000)
    after.frame(b"after", True)
    after.close()
    entries = list(read_journal(path))
    assert [entry.payload[0] for entry in entries[:-1]] == list(range((5 * 29 - cut) // 29))
    assert entries[-1].payload == b"after"
    assert entries[-1].id > max(given)
