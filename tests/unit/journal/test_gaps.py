"""Records that cannot be read are an outage to candles, coverage and health, on the live path and in a replay."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.reference.candles import reference_candles
from tests.reference.engine_runs import run_engine
from tests.reference.inputs import Entry as PlainEntry
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.unit.candles.test_against_reference import differences
from utils.connector.recorder import TickRecorder
from utils.coverage.outages import outages_of_day
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, is_gap
from utils.journal.files import compress_finished_days, plain_path
from utils.journal.follower import JournalFollower
from utils.journal.keeper import JournalKeeper
from utils.journal.records import RECORD_OVERHEAD
from utils.journal.writer import JournalWriter, read_journal
from utils.market.ist import ist_date, ist_midnight_ms

INSTRUMENTS = [who.reference for who in WHO]
SETTINGS = ReferenceSettings(timeframes=(("5s", 5_000), ("1m", 60_000), ("1d", 0)), z_window=30)
DAY_MS = 86_400_000
AT_MS = 1_795_145_400_000  # 2026-11-20 09:00 IST
DAY = ist_date(AT_MS)


def written(directory: Path, entries: list[Entry]) -> Path:
    writer = JournalWriter(directory, 0)
    for entry in entries:
        writer.append(entry)
    writer.close()
    return plain_path(directory, ist_date(entries[0].id.ms), 0)


def damage(path: Path, entries: list[Entry], first: int, last: int) -> None:
    """A byte in the payload, or in the head, of each of these records."""
    data = bytearray(path.read_bytes())
    at = 12
    for number, entry in enumerate(entries):
        if first <= number <= last:
            data[at + (3 if number % 2 else RECORD_OVERHEAD - 1)] ^= 0x55
        at += RECORD_OVERHEAD + len(entry.payload)
    path.write_bytes(data)


def plain(entries: list[Entry]) -> list[PlainEntry]:
    return [PlainEntry(entry.id.ms, entry.id.counter, entry.kind.value, entry.payload) for entry in entries]


@pytest.mark.parametrize("seed", range(6))
def test_candles_that_damage_touches_are_incomplete(tmp_path: Path, seed: int) -> None:
    """By the reference, too. What ended before the damage, and what begins after it, is as it would have been."""
    chance = random.Random(seed)
    entries = [
        Entry(EntryId(*entry[:2]), Kind(entry.kind), entry.payload) for entry in random_feed(seed, "09:13:00", 600)
    ]
    path = written(tmp_path, entries)
    first = chance.randrange(len(entries) // 3, len(entries) // 2)
    last = first + chance.randrange(1, 40)
    damage(path, entries, first, last)
    read = list(read_journal(path))
    assert [entry for entry in read if not is_gap(entry)] == entries[:first] + entries[last + 1 :]
    (gap,) = [entry for entry in read if is_gap(entry)]
    ours = run_engine(plain(read), INSTRUMENTS, SETTINGS)
    assert differences(ours, reference_candles(plain(read), INSTRUMENTS, SETTINGS)) == []
    lost_from_ms = max((entry.id.ms for entry in entries[:first] if entry.kind is not Kind.MARK), default=0)
    touched = [
        document
        for document in ours.final.values()
        if document.start_ms < gap.id.ms and document.end_ms > lost_from_ms and document.timeframe == "1m"
    ]
    assert touched
    assert not any(document.complete for document in touched), f"seed {seed}"


def test_coverage_names_the_gap(tmp_path: Path) -> None:
    entries = [Entry(EntryId(AT_MS + 1_000 * n, 0), Kind.FRAME, b"\0") for n in range(60)]
    path = written(tmp_path, entries)
    damage(path, entries, 20, 29)
    (outage,) = outages_of_day(0, read_journal(path), AT_MS + DAY_MS, is_over=False)
    assert (outage.began_ms, outage.ended_ms) == (AT_MS + 19_000, AT_MS + 29_999)
    assert outage.reason == f"{10 * (RECORD_OVERHEAD + 1)} bytes of the journal cannot be read"


@pytest.mark.parametrize("bit", range(24))
def test_a_length_that_is_damaged_holds_nothing_up(tmp_path: Path, bit: int) -> None:
    """It may claim megabytes that will not come for hours; the writer knows that the record is over."""
    entries = [Entry(EntryId(AT_MS + n, 0), Kind.FRAME, bytes(30)) for n in range(9)]
    recorder = TickRecorder(tmp_path, 0, lambda: AT_MS, lambda: None, structlog.get_logger("test"))
    for entry in entries:
        recorder.writer.append(entry)
    path = plain_path(tmp_path, DAY, 0)
    data = bytearray(path.read_bytes())
    at = 12 + 4 * (RECORD_OVERHEAD + 30) + 4
    length = int.from_bytes(data[at : at + 4], "big") ^ (1 << bit)
    data[at : at + 4] = length.to_bytes(4, "big")
    path.write_bytes(data)
    recorder.seek(ZERO_ID)
    taken = recorder.take(100, 1 << 20)
    assert [entry for entry in taken if not is_gap(entry)] == entries[:4] + entries[5:], f"bit {bit}"
    assert (recorder.gaps, recorder.last_gap) == (1, EntryId(AT_MS + 4, 4_294_967_295))
    assert recorder.gap_met_ms == recorder.now_ms()
    recorder.seek(ZERO_ID)
    assert recorder.take(100, 1 << 20) == taken
    assert recorder.gaps == 1, "the same damage, read again"


def test_a_torn_last_record_is_no_gap(tmp_path: Path) -> None:
    entries = [Entry(EntryId(AT_MS + n, 0), Kind.FRAME, bytes(30)) for n in range(5)]
    path = written(tmp_path, entries)
    path.write_bytes(path.read_bytes()[:-7])
    follower = JournalFollower(tmp_path, 0, whole_to=lambda _day: 1 << 62)
    assert follower.read(100) == entries[:4] == list(read_journal(path))
    follower.close()


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def failing(monkeypatch: pytest.MonkeyPatch, is_to_fail: Callable[[], bool]) -> None:
    """fsync fails when that says so."""
    real = os.fsync

    def fsync(descriptor: Any) -> None:
        if is_to_fail():
            raise OSError(errno.EIO, "Input/output error")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)


def test_one_sync_that_fails_leaks_nothing_and_keeps_no_other_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, 0)
    for days in range(4):  # three files are over, one is written to
        writer.append(Entry(EntryId(AT_MS + days * DAY_MS, 0), Kind.FRAME, b"\0"))
    opened, calls = open_descriptors(), iter([True, False, True, False])
    with monkeypatch.context() as patch:
        failing(patch, lambda: next(calls))
        with pytest.raises(OSError, match="Input/output"):
            writer.sync()
    assert next(calls, None) is None, "each was tried"
    assert open_descriptors() == opened - 3
    writer.close()


def test_what_could_not_be_synced_stays_in_doubt_until_its_day_is_written_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that takes the next sync has not taken the pages that it refused."""
    now_ms = AT_MS
    recorder = TickRecorder(tmp_path, 0, lambda: now_ms, lambda: None, structlog.get_logger("test"))
    keeper = JournalKeeper(tmp_path, [recorder], 1.0, 30, lambda: now_ms, structlog.get_logger("test"))
    recorder.frame(b"\0", is_binary=True)
    assert keeper._sync(recorder)
    sure = recorder.writer.last_id
    now_ms += 1_000
    recorder.frame(b"\0", is_binary=True)
    with monkeypatch.context() as patch:
        failing(patch, lambda: True)
        assert not keeper._sync(recorder)
    assert keeper._sync(recorder)
    assert (keeper.sync_faults, recorder.writer.unsynced_after) == (1, sure)
    now_ms += DAY_MS
    keeper._clean(keeper._first_unfinished_day())
    assert recorder.writer.unsynced_after == sure, "its file is still the last one"
    recorder.frame(b"\0", is_binary=True)
    keeper._clean(keeper._first_unfinished_day())
    assert recorder.writer.unsynced_after is None


def test_each_round_tries_again_what_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = TickRecorder(tmp_path, 0, lambda: AT_MS, lambda: None, structlog.get_logger("test"))
    keeper = JournalKeeper(tmp_path, [recorder], 0.001, 30, lambda: AT_MS, structlog.get_logger("test"))
    recorder.frame(b"\0", is_binary=True)
    tried: list[bool] = []

    def fails() -> bool:
        tried.append(len(tried) < 3)
        if not tried[-1]:
            keeper.stop()
        return tried[-1]

    failing(monkeypatch, fails)
    keeper._sync_on()
    assert tried == [True, True, True, False]


def test_an_entry_that_could_not_be_synced_at_once_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = JournalWriter(tmp_path, 0, sync_each=True)
    entries = [Entry(EntryId(AT_MS + n, 0), Kind.FRAME, bytes(n)) for n in range(3)]
    writer.append(entries[0])
    with monkeypatch.context() as patch:
        failing(patch, lambda: True)
        with pytest.raises(OSError, match="Input/output"):
            writer.append(entries[1])
    assert list(read_journal(plain_path(tmp_path, DAY, 0))) == entries[:1]
    for entry in entries[1:]:
        writer.append(entry)
    assert list(read_journal(plain_path(tmp_path, DAY, 0))) == entries
    writer.close()


def test_a_day_that_cannot_be_compressed_keeps_no_other_from_it(tmp_path: Path) -> None:
    days = [ist_date(AT_MS + n * DAY_MS) for n in range(3)]
    for day in days:
        written(tmp_path, [Entry(EntryId(ist_midnight_ms(day), 0), Kind.FRAME, b"\0")])
    (tmp_path / days[0].isoformat() / ".ticks-0.journal.zst.partial").mkdir()
    found = []
    with pytest.raises(IsADirectoryError):
        for path in compress_finished_days(tmp_path, days[2]):
            found.append(path.parent.name)
    assert found == [days[1].isoformat()]
