"""What becomes of the journal's days: compressed when over, dropped when old."""

from datetime import date
from pathlib import Path

import pytest

from tests.unit.journal.test_writer import DAY_MS, FRIDAY, MIDNIGHT_MS, SATURDAY, entry
from utils.journal.entries import Entry
from utils.journal.files import compress_finished_days, drop_old_days, journal_days, journal_path, journal_shards
from utils.journal.follower import JournalFollower
from utils.journal.writer import JournalError, JournalWriter, last_entry_id, read_journal
from utils.market.ist import ist_date, ist_day, ist_midnight_ms

MONDAY = date(2026, 11, 23)


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """Three days of shard 0, one of shard 1."""
    entries = [entry(day * DAY_MS + at, 0, b"x" * at) for day in range(3) for at in range(50)]
    for shard, some in ((0, entries), (1, entries[:50])):
        writer = JournalWriter(tmp_path, shard)
        for record in some:
            writer.append(record)
        writer.close()
    return entries


def test_days_begin_at_the_midnight_of_india() -> None:
    assert ist_midnight_ms(FRIDAY) == MIDNIGHT_MS
    assert (ist_date(MIDNIGHT_MS), ist_date(MIDNIGHT_MS - 1)) == (FRIDAY, date(2026, 11, 19))
    assert ist_day(MIDNIGHT_MS) == ist_day(MIDNIGHT_MS - 1) + 1


def test_finished_days_are_compressed_and_read_the_same(tmp_path: Path, entries: list[Entry]) -> None:
    today = date(2026, 11, 22)
    packed = list(compress_finished_days(tmp_path, today))
    assert [path.name for path in packed] == ["ticks-0.journal.zst", "ticks-1.journal.zst", "ticks-0.journal.zst"]
    assert journal_days(tmp_path) == [FRIDAY, SATURDAY, today]
    assert journal_shards(tmp_path, FRIDAY) == [0, 1]
    assert sorted(path.name for path in (tmp_path / "2026-11-20").iterdir()) == [
        "ticks-0.journal.zst",
        "ticks-1.journal.zst",
    ]
    path = journal_path(tmp_path, FRIDAY, 0)
    assert path is not None
    assert list(read_journal(path)) == entries[:50]
    assert list(read_journal(path, entries[10].id)) == entries[11:50]
    assert last_entry_id(path) == entries[49].id
    assert JournalWriter(tmp_path, 1).last_id == entries[49].id
    assert list(compress_finished_days(tmp_path, today)) == []


def test_a_follower_reads_compressed_days_and_goes_on(tmp_path: Path, entries: list[Entry]) -> None:
    follower = JournalFollower(tmp_path, 0)
    assert follower.read(20) == entries[:20]
    list(compress_finished_days(tmp_path, date(2026, 11, 22)))
    assert follower.read(1000) == entries[20:]
    follower.seek(entries[30].id)
    assert follower.read(7) + follower.read(1000) == entries[31:]
    follower.close()


def test_a_broken_compressed_file_is_named(tmp_path: Path, entries: list[Entry]) -> None:
    path = next(compress_finished_days(tmp_path, SATURDAY))
    data = path.read_bytes()
    path.write_bytes(data[:-9] + b"\xff" + data[-8:])
    with pytest.raises(JournalError, match=r"ticks-0\.journal\.zst"):
        list(read_journal(path))


def test_old_days_are_dropped_and_foreign_files_left(tmp_path: Path, entries: list[Entry]) -> None:
    (tmp_path / "2026-11-20" / "notes.txt").write_text("mine")
    (tmp_path / "instruments-2026-11-20.csv.gz").write_bytes(b"")
    assert drop_old_days(tmp_path, MONDAY, 2) == [FRIDAY]
    assert [path.name for path in (tmp_path / "2026-11-20").iterdir()] == ["notes.txt"]
    assert drop_old_days(tmp_path, MONDAY, 1) == [FRIDAY, SATURDAY]
    assert not (tmp_path / "2026-11-21").exists()
    assert journal_path(tmp_path, date(2026, 11, 22), 0) is not None
    assert (tmp_path / "instruments-2026-11-20.csv.gz").exists()
