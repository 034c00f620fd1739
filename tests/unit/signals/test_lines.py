"""Signals that the file refuses: each is in it in the end, once, or it is counted and said that it is not."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import structlog
from structlog.testing import capture_logs

from strategies import Direction
from utils.indicators import INDICATOR_NAMES
from utils.indicators.snapshot import SnapshotError, pack, unpack
from utils.market.ist import DAY_MS
from utils.market.signal import Signal
from utils.signals import lines as signal_lines
from utils.signals.file import SignalFile, signal_path
from utils.signals.lines import SignalLines
from utils.signals.snapshot import lines_of, with_lines

AT_MS = 1_795_146_300_000
LOG: Any = structlog.get_logger()


def signal(nth: int, at_ms: int = AT_MS) -> Signal:
    values = dict.fromkeys(INDICATOR_NAMES, 1.0)
    at_ms += nth
    return Signal("momentum", "NSE:INFY", "1m", at_ms, at_ms, Direction.LONG, 1.0, 0.5, 2.0, ("a",), values, True, 0)


def signals(*nths: int) -> list[Signal]:
    return [signal(nth) for nth in nths]


def ids(path: Path) -> list[str]:
    return [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()]


def the_lines(folder: Path, counts: Counter[str] | None = None) -> SignalLines:
    return SignalLines(SignalFile(folder), counts if counts is not None else Counter(), LOG)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The day's file, whose name a folder has."""
    refused = signal_path(tmp_path, AT_MS)
    refused.mkdir()
    return refused


def test_what_is_refused_waits_and_is_written_once_whoever_asks(tmp_path: Path, path: Path) -> None:
    lines = the_lines(tmp_path)
    lines.write(signals(1, 2))
    lines.write(signals(2, 3))
    assert len(lines) == 3
    path.rmdir()
    lines.write()
    assert (len(lines), lines.content()) == (0, b"")
    lines.write(signals(3, 4))
    assert ids(path) == [one.id for one in signals(1, 2, 3, 4)]


def test_another_goes_on_with_what_waited(tmp_path: Path, path: Path) -> None:
    first, second = the_lines(tmp_path), the_lines(tmp_path)
    first.write(signals(1, 2))
    kept = first.content()
    first.write(signals(3))
    second.write(signals(3, 4))
    second.restore(kept)
    assert len(second) == 4
    path.rmdir()
    second.write()
    first.write()
    assert ids(path) == [one.id for one in signals(1, 2, 3, 4)]
    expected = [orjson.loads(orjson.dumps(one.as_document())) for one in signals(1, 2, 3, 4)]
    assert [orjson.loads(line) for line in path.read_bytes().splitlines()] == expected


def test_a_day_that_is_refused_loses_and_doubles_nothing_of_another(tmp_path: Path, path: Path) -> None:
    lines = the_lines(tmp_path)
    before, after = signal(0, AT_MS - DAY_MS), signal(0, AT_MS + DAY_MS)
    lines.write([before, *signals(1), after])
    path.rmdir()
    lines.write()
    for one in (before, signal(1), after):
        assert ids(signal_path(tmp_path, one.at_ms)) == [one.id]


@contextmanager
def files_no_longer_than(length: int) -> Iterator[None]:
    """As on a disk that is full: a write goes as far as there is room, the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 1, 700, 1_300])
def test_a_line_torn_by_a_full_disk_is_mended_by_whoever_writes_next(tmp_path: Path, room: int) -> None:
    first, second, path = the_lines(tmp_path), the_lines(tmp_path), signal_path(tmp_path, AT_MS)
    first.write(signals(1))
    with capture_logs(), files_no_longer_than(path.stat().st_size + room):
        first.write(signals(2, 3, 4))
        second.write(signals(5))
    assert path.stat().st_size == len(first.content()) // 3 + room
    assert (len(first), len(second)) == (3, 1)
    second.write()
    first.write()
    assert sorted(ids(path)) == [one.id for one in signals(1, 2, 3, 4, 5)]


def test_the_oldest_are_forced_out_counted_and_said_once(
    tmp_path: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal_lines, "MOST_WAITING", 4)
    counts: Counter[str] = Counter()
    with capture_logs() as logged:
        lines = the_lines(tmp_path, counts)
        for nth in range(7):
            lines.write(signals(nth))
            assert len(lines) == min(nth + 1, 4)
    assert counts["file_lost"] == 3
    assert [one["event"].split(":")[0] for one in logged] == [
        "LOG_DIR's file takes no signals",
        "more than 4 signals wait for LOG_DIR's file",
    ]
    path.rmdir()
    with capture_logs() as logged:
        lines.write()
        lines.write(signals(9))
    assert [(one["event"], one["lines"]) for one in logged] == [("LOG_DIR's file has all signals that waited", 4)]
    assert ids(path) == [one.id for one in signals(3, 4, 5, 6, 9)]
    assert counts["file_lost"] == 3


def test_what_is_restored_and_can_not_be_read_is_counted(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    lines = the_lines(tmp_path, counts)
    good = the_lines(tmp_path / "none")
    (tmp_path / "none").write_bytes(b"")  # a file has the folder's name
    good.write(signals(1))
    with capture_logs() as logged:
        lines.restore(b'{"id": "torn\n[1]\n{"id": "x", "t": []}\n' + good.content())
    assert (len(lines), counts["file_lost"], len(logged)) == (1, 3, 3)


def test_lines_go_with_a_snapshot_and_are_not_seen_by_who_does_not_ask() -> None:
    dtype = np.dtype(np.float64)
    packed = pack({"caller": 1}, [np.arange(6.0).reshape(2, 3)])
    assert (lines_of(packed), with_lines(packed, b"")) == (b"", packed)
    both = with_lines(packed, b"one\ntwo\n")
    assert lines_of(both) == b"one\ntwo\n"
    header, arrays = unpack(both, [dtype])
    assert (header, arrays[0].tolist()) == ({"caller": 1}, [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]])


def test_lines_outlive_a_snapshot_of_another_version() -> None:
    both = with_lines(pack({}, [np.arange(3, dtype=np.int8)]), b"one\n")
    with pytest.raises(SnapshotError):
        unpack(both, [np.dtype(np.float64)])
    assert lines_of(both) == b"one\n"


@pytest.mark.parametrize("nth", range(1, 40))
def test_what_is_torn_or_no_snapshot_has_no_lines_or_its_own(nth: int) -> None:
    both = with_lines(pack({}, []), b"one\n")
    assert lines_of(both[:-nth]) == b""
    assert lines_of(b"none"[:nth]) == b""
