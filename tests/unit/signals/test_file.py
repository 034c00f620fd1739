"""The file of signals, written by who has them again and again: each is in it in the end, once, and on the disk."""

from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import orjson
import pytest

from utils.indicators import INDICATOR_NAMES
from utils.market.ist import DAY_MS
from utils.market.signal import Direction, Signal
from utils.signals.file import SignalFile, signal_path
from utils.stores.documents import Document, StoreError

AT_MS = 1_795_146_300_000
NONSENSE: tuple[Any, ...] = (None, [], {}, 1.5, 1 << 70, -(1 << 70))


def signal(number: int, at_ms: int = AT_MS) -> Document:
    values = dict.fromkeys(INDICATOR_NAMES, 1.0)
    at_ms += number
    made = Signal("momentum", "NSE:INFY", "1m", at_ms, at_ms, Direction.LONG, 1.0, 0.5, 2.0, ("a",), values, True, 0)
    document: Document = orjson.loads(orjson.dumps(made.as_document()))  # as an archiver reads it from the stream
    return document


def signals(*numbers: int) -> list[Document]:
    return [signal(number) for number in numbers]


def content(path: Path) -> list[Document]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def ids(documents: list[Document]) -> list[str]:
    return [document["id"] for document in documents]


def refused(file: SignalFile, documents: list[Document]) -> str:
    with pytest.raises(StoreError) as caught:
        file.write(documents)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The day's file, whose name a folder has."""
    taken = signal_path(tmp_path, AT_MS)
    taken.mkdir()
    return taken


def test_what_was_refused_is_written_once_however_often_it_comes_again(tmp_path: Path, path: Path) -> None:
    file = SignalFile(tmp_path)
    assert refused(file, signals(1, 2)).startswith("LOG_DIR's file takes no signals: they are in Redis")
    assert "Is a directory" in refused(file, signals(2, 3))
    assert file.is_refused
    path.rmdir()
    assert file.write(signals(1, 2, 3)) == []
    assert not file.is_refused
    assert file.write(signals(3, 4)) == []
    assert content(path) == signals(1, 2, 3, 4)


def test_another_owner_writes_only_what_the_file_lacks(tmp_path: Path, path: Path) -> None:
    first, second = SignalFile(tmp_path), SignalFile(tmp_path)
    for file in (first, second):
        refused(file, signals(1, 2, 3))
    path.rmdir()
    second.write(signals(1, 2, 3, 4))
    first.write(signals(1, 2, 3))
    assert content(path) == signals(1, 2, 3, 4)


def test_a_day_that_is_refused_loses_and_doubles_nothing_of_another(tmp_path: Path, path: Path) -> None:
    before, after = signal(0, AT_MS - DAY_MS), signal(0, AT_MS + DAY_MS)
    documents = [before, *signals(1), after]
    file = SignalFile(tmp_path)
    refused(file, documents)
    path.rmdir()
    file.write(documents)
    for document in documents:
        assert content(signal_path(tmp_path, document["t"])) == [document]


@contextmanager
def files_no_longer_than(length: int) -> Iterator[None]:
    """As on a disk that is full: a write reaches as far as there is room, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 700, 1_300])
def test_a_line_torn_by_a_full_disk_is_mended_by_whoever_writes_next(tmp_path: Path, room: int) -> None:
    first, second, path = SignalFile(tmp_path), SignalFile(tmp_path), signal_path(tmp_path, AT_MS)
    first.write(signals(1))
    length = path.stat().st_size
    with files_no_longer_than(length + room):
        refused(first, signals(2, 3, 4))
        refused(second, signals(5))
    assert path.stat().st_size == length + room
    second.write(signals(5))
    first.write(signals(2, 3, 4))
    assert sorted(ids(content(path))) == ids(signals(1, 2, 3, 4, 5))


def test_nothing_counts_as_written_before_it_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a new file's name, nor what another process wrote and did not live to sync."""
    synced: list[str] = []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    SignalFile(tmp_path).write(signals(1))
    assert synced == ["file", "folder"]
    SignalFile(tmp_path).write(signals(1))
    assert synced == ["file", "folder", "file"]

    def broken(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    file = SignalFile(tmp_path)
    assert "Input/output error" in refused(file, signals(2))
    monkeypatch.setattr(os, "fsync", fsync)
    file.write(signals(2))
    assert content(signal_path(tmp_path, AT_MS)) == signals(1, 2)


@pytest.mark.parametrize("field", ["t", "id"])
def test_what_is_no_signal_is_refused_and_the_others_are_written(tmp_path: Path, field: str) -> None:
    without = {name: value for name, value in signal(2).items() if name != field}
    damaged = [without]
    damaged += [{**signal(2), field: value} for value in NONSENSE]
    answer = SignalFile(tmp_path).write([*signals(1), *damaged, *signals(3)])
    assert [refusal.document for refusal in answer] == damaged
    assert all("not a signal" in refusal.reason for refusal in answer)
    assert content(signal_path(tmp_path, AT_MS)) == signals(1, 3)


def test_threads_that_share_it_write_each_signal_once(tmp_path: Path) -> None:
    """Each has a shard's stream; what was published twice is in two of them."""
    file = SignalFile(tmp_path)
    threads = [
        Thread(target=lambda first=first: [file.write(signals(n, n + 1)) for n in range(first, first + 40)])
        for first in (0, 20, 40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(content(signal_path(tmp_path, AT_MS)))) == ids(signals(*range(81)))
