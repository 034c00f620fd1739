"""The journal on a real disk: what is appended is read again, whatever happened in between."""

import random
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, is_gap
from utils.journal.files import journal_path, plain_path
from utils.journal.follower import JournalFollower
from utils.journal.writer import JournalDamage, JournalError, JournalWriter, last_entry_id, read_journal, seek_offset

MIDNIGHT_MS = 1_795_113_000_000  # 2026-11-20T00:00:00+05:30, from another calendar: 2026-11-19T18:30:00Z
FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
DAY_MS = 24 * 3600 * 1000


def entry(ms: int, counter: int = 0, payload: bytes = b"payload") -> Entry:
    return Entry(EntryId(MIDNIGHT_MS + ms, counter), Kind.FRAME, payload)


def write(directory: Path, entries: list[Entry], shard: int = 0) -> Path:
    writer = JournalWriter(directory, shard)
    for entry in entries:
        writer.append(entry)
    writer.close()
    return plain_path(directory, FRIDAY, shard)


@pytest.fixture
def entries() -> list[Entry]:
    return [entry(number * 10, number % 3, bytes([number]) * (number * 7 % 50)) for number in range(40)]


def test_what_is_appended_is_read_in_order(tmp_path: Path, entries: list[Entry]) -> None:
    path = write(tmp_path, entries)
    assert path == tmp_path / "2026-11-20" / "ticks-0.journal"
    assert list(read_journal(path)) == entries
    assert list(read_journal(path, entries[10].id)) == entries[11:]
    assert list(read_journal(path, entries[-1].id)) == []
    assert last_entry_id(path) == entries[-1].id


def test_an_append_is_with_the_operating_system_when_it_returns(tmp_path: Path, entries: list[Entry]) -> None:
    writer = JournalWriter(tmp_path, 0)
    for count, entry in enumerate(entries, start=1):
        writer.append(entry)
        assert list(read_journal(plain_path(tmp_path, FRIDAY, 0))) == entries[:count]
    writer.close()


def test_each_day_has_its_file_by_the_calendar_of_india(tmp_path: Path) -> None:
    before, after = entry(DAY_MS - 1), entry(DAY_MS)
    write(tmp_path, [before, after])
    assert list(read_journal(tmp_path / "2026-11-20" / "ticks-0.journal")) == [before]
    assert list(read_journal(tmp_path / "2026-11-21" / "ticks-0.journal")) == [after]


def test_the_last_id_is_taken_up_again(tmp_path: Path, entries: list[Entry]) -> None:
    write(tmp_path, entries)
    again = JournalWriter(tmp_path, 0)
    assert (again.last_id, again.cut_bytes) == (entries[-1].id, 0)
    again.append(entry(5000))
    again.close()
    assert list(read_journal(plain_path(tmp_path, FRIDAY, 0))) == [*entries, entry(5000)]
    assert JournalWriter(tmp_path, 1).last_id == ZERO_ID


def test_cut_at_every_byte_it_goes_on_behind_the_last_whole_record(tmp_path: Path, entries: list[Entry]) -> None:
    whole = write(tmp_path / "whole", entries[:5]).read_bytes()
    for cut in range(len(whole) + 1):
        directory = tmp_path / str(cut)
        path = plain_path(directory, FRIDAY, 0)
        path.parent.mkdir(parents=True)
        path.write_bytes(whole[:cut])
        kept = list(read_journal(path))
        assert kept == entries[: len(kept)]
        writer = JournalWriter(directory, 0)
        assert writer.last_id == (kept[-1].id if kept else ZERO_ID), cut
        writer.append(entry(9000))
        writer.close()
        assert list(read_journal(path)) == [*kept, entry(9000)], cut
        follower = JournalFollower(directory, 0)
        assert follower.read(100) == [*kept, entry(9000)], cut
        follower.close()


def test_damage_in_the_middle_is_skipped_and_shown(tmp_path: Path, entries: list[Entry]) -> None:
    path = write(tmp_path, entries)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    damage: list[JournalDamage] = []
    read = list(read_journal(path, damage=damage))
    (gap,) = [at for at, entry in enumerate(read) if is_gap(entry)]
    assert [*read[:gap], *read[gap + 1 :]] == [*entries[:gap], *entries[gap + 1 :]]
    assert entries[gap - 1].id < read[gap].id < entries[gap + 1].id
    assert len(damage) == 1
    follower = JournalFollower(tmp_path, 0)
    assert follower.read(1_000) == read, "the live path says the same"
    for number in range(gap - 2, gap + 3):
        follower.seek(read[number].id)
        assert follower.read(1_000) == read[number + 1 :], "from wherever it goes on"
    follower.close()
    assert JournalWriter(tmp_path, 0).last_id == entries[-1].id
    assert path.stat().st_size == len(data), "damage in the middle is never cut off"


def test_a_long_file_is_entered_in_the_middle(tmp_path: Path) -> None:
    seed = 20261120
    print(f"seed {seed}")
    chance = random.Random(seed)
    many = [entry(number, 0, chance.randbytes(chance.randrange(3000))) for number in range(4000)]
    path = write(tmp_path, many)
    for number in [0, 1, 1777, 3000, 3998, *(chance.randrange(4000) for _ in range(10))]:
        assert seek_offset(path, many[number].id) <= path.stat().st_size
        assert list(read_journal(path, many[number].id)) == many[number + 1 :]
    assert seek_offset(path, many[3900].id) > 1 << 20, "it must not read the whole file"
    path.write_bytes(path.read_bytes()[:-1])
    assert JournalWriter(tmp_path, 0).last_id == many[-2].id


def test_a_full_disk_leaves_the_file_as_it_was(
    tmp_path: Path, entries: list[Entry], monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, 0)
    writer.append(entries[0])
    real, calls = __import__("os").pwrite, iter([True, False])

    def failing(descriptor: int, data: bytes, offset: int) -> int:
        if next(calls):
            return int(real(descriptor, data[:5], offset))
        raise OSError(28, "No space left on device")

    follower = JournalFollower(tmp_path, 0)
    with monkeypatch.context() as patch:
        patch.setattr("utils.journal.writer.os.pwrite", failing)
        with pytest.raises(OSError, match="No space"):
            writer.append(entries[1])
    assert writer.last_id == entries[0].id
    assert follower.read(10) == entries[:1]
    writer.append(entries[1])
    writer.close()
    assert list(read_journal(plain_path(tmp_path, FRIDAY, 0))) == entries[:2]


def test_a_foreign_file_is_named(tmp_path: Path) -> None:
    path = plain_path(tmp_path, FRIDAY, 0)
    path.parent.mkdir()
    path.write_bytes(b"something else entirely")
    with pytest.raises(JournalError, match=r"ticks-0\.journal is no journal"):
        JournalWriter(tmp_path, 0)


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[JournalFollower]:
    journal_follower = JournalFollower(tmp_path, 0)
    yield journal_follower
    journal_follower.close()


def test_a_follower_gives_what_was_added_since(
    tmp_path: Path, follower: JournalFollower, entries: list[Entry]
) -> None:
    assert follower.read(10) == []
    writer = JournalWriter(tmp_path, 0)
    for start in range(0, 40, 8):
        for entry in entries[start : start + 8]:
            writer.append(entry)
        assert follower.read(5) == entries[start : start + 5]
        assert follower.read(5) == entries[start + 5 : start + 8]
        assert follower.read(5) == []
    assert follower.position == entries[-1].id
    follower.seek(entries[20].id)
    assert follower.read(100) == entries[21:]
    follower.seek(ZERO_ID)
    assert follower.read(100) == entries
    writer.close()


def test_a_follower_waits_for_the_rest_of_a_record(
    tmp_path: Path, follower: JournalFollower, entries: list[Entry]
) -> None:
    path = write(tmp_path, entries[:3])
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        follower.seek(ZERO_ID)
        first = follower.read(10)
        path.write_bytes(whole)
        assert first + follower.read(10) == entries[:3], cut


def test_a_follower_goes_over_midnight_and_misses_nothing(tmp_path: Path, follower: JournalFollower) -> None:
    writer = JournalWriter(tmp_path, 0)
    writer.append(entry(DAY_MS - 2))
    assert follower.read(10) == [entry(DAY_MS - 2)]
    writer.append(entry(DAY_MS - 1))
    writer.append(entry(DAY_MS))
    writer.append(entry(3 * DAY_MS))
    assert follower.read(10) == [entry(DAY_MS - 1), entry(DAY_MS), entry(3 * DAY_MS)]
    follower.seek(entry(DAY_MS - 1).id)
    assert follower.read(10) == [entry(DAY_MS), entry(3 * DAY_MS)]
    follower.seek(entry(2 * DAY_MS).id)
    assert follower.read(10) == [entry(3 * DAY_MS)]
    writer.close()
    assert journal_path(tmp_path, SATURDAY, 0) == plain_path(tmp_path, SATURDAY, 0)
