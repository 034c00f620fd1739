"""A sender and a candle worker in made-up time: while a backlog is sent, nothing that no snapshot covers is trimmed.

The sender, the recorder and the journal are the real ones. Redis' stream and the worker are models: the worker is
slower than the sender, reads, stores snapshots, dies and returns to the last one, in whatever order the seed draws.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from utils.connector.recorder import TickRecorder
from utils.connector.send_window import SendWindow
from utils.connector.sender import TickSender
from utils.journal.entries import ZERO_ID, Entry, EntryId, Topic
from utils.keys import Keys
from utils.stores.health import HealthReport
from utils.stores.tick_reader import ENTRY_BYTES
from utils.stores.tick_stream import StreamUse, TickStream

START_MS = 1_795_150_000_000
MAX_BYTES = 200_000
SEEDS = range(20_261_128, 20_261_148)


class ModelStream:
    """What TickStream promises, over a list; trims leave up to a node more than they were asked for, as Redis'."""

    def __init__(self, dice: random.Random) -> None:
        self.keys = Keys()
        self.entries: list[Entry] = []
        self.added = 0
        self.snapshot: tuple[EntryId, int] = (ZERO_ID, 0)
        self.most_bytes = 0
        self.trimmed_unread: list[EntryId] = []
        self.is_behind = True
        self._dice = dice

    @property
    def used_bytes(self) -> int:
        return sum(len(entry.payload) + ENTRY_BYTES for entry in self.entries)

    def name(self, shard: int, topic: Topic) -> str:
        return f"{topic.value}:{shard}"

    def last_id(self, shard: int, topic: Topic = Topic.TICKS) -> EntryId | None:
        return self.entries[-1].id if self.entries else None

    def add(self, shard: int, entries: Sequence[Entry], after: EntryId, topic: Topic = Topic.TICKS) -> None:
        assert after == (self.entries[-1].id if self.entries else ZERO_ID)
        self.entries += entries
        self.added += len(entries)
        self.most_bytes = max(self.most_bytes, self.used_bytes)

    def use(self, shard: int) -> StreamUse:
        covered, count = self.snapshot
        return StreamUse(len(self.entries), self.used_bytes, self.added - count, covered)

    def trim_older(self, shard: int, min_ms: int, topic: Topic = Topic.TICKS) -> int:
        return self._drop(sum(entry.id.ms < min_ms for entry in self.entries))

    def trim_to_bytes(self, shard: int, max_bytes: int, topic: Topic = Topic.TICKS, keep: int = 0) -> int:
        if self.used_bytes <= max_bytes:
            return 0
        fitting = int(len(self.entries) * 0.9 * max_bytes / self.used_bytes)
        return self._drop(len(self.entries) - max(keep, fitting))

    def _drop(self, most: int) -> int:
        count = max(0, most - self._dice.randrange(10))
        self.trimmed_unread += [entry.id for entry in self.entries[:count] if entry.id > self.snapshot[0]]
        del self.entries[:count]
        return count

    def store_instruments(self, instruments: Sequence[object]) -> None:
        """Nobody reads them here."""


class ModelWorker:
    """Reads some entries at a time, in order; `lost` are those that it should have read and did not find."""

    def __init__(self, stream: ModelStream) -> None:
        self._stream = stream
        self._position, self._count = stream.snapshot
        self.read: list[EntryId] = []

    def step(self, most: int) -> None:
        new = [entry.id for entry in self._stream.entries if entry.id > self._position][:most]
        if new:
            self._position, self._count = new[-1], self._count + len(new)
            self.read += new

    def save(self) -> None:
        self._stream.snapshot = self._position, self._count

    def die(self) -> None:
        """Back to the last snapshot."""
        self._position, self._count = self._stream.snapshot
        self.read = [entry_id for entry_id in self.read if entry_id <= self._position]


class NoServer:
    """In place of a client: the sender asks it what it is like, no more."""

    def info(self, *_sections: str) -> Mapping[str, Any]:
        return {}

    def type(self, _name: str) -> bytes:
        return b"none"


class NoReport:
    def write(self, fields: Mapping[str, object]) -> None:
        """Nobody reads it here."""


class Line:
    def __init__(self, directory: Path, dice: random.Random) -> None:
        self.now_ms = START_MS
        self.stream = ModelStream(dice)
        log = structlog.get_logger("test")
        self.recorder = TickRecorder(directory, 0, lambda: self.now_ms, lambda: None, log)
        self.sender = TickSender(
            cast("Any", NoServer()), cast("TickStream", self.stream), [self.recorder],
            cast("HealthReport", NoReport()), dict, 48.0, MAX_BYTES, log,
        )  # fmt: skip
        self.worker = ModelWorker(self.stream)
        self.ids: list[EntryId] = []

    def record(self, dice: random.Random, entries: int) -> None:
        for _ in range(entries):
            self.now_ms += dice.choice((0, 40, 1_000))
            self.recorder.frame(bytes(dice.choice((1, 200, 900, 4_000))), True)
            self.ids.append(self.recorder.last_id)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_backlog_reaches_a_slow_worker_in_full(tmp_path: Path, seed: int) -> None:
    """Each entry is read once from each snapshot on, and the stream stays within its bound."""
    dice = random.Random(seed)
    line = Line(tmp_path, dice)
    line.record(dice, 1_500)  # about ten times the bound
    line.sender.agree()
    for _ in range(20_000):
        if line.worker.read == line.ids:
            break
        act = dice.random()
        if act < 0.35:
            line.sender.send_once()
        elif act < 0.80:
            line.worker.step(dice.randrange(1, 12))
        elif act < 0.97:
            line.worker.save()
        elif act < 0.98:
            line.worker.die()
        elif act < 0.99:
            line.sender.agree()  # a lost connection: the stream is asked anew
        else:
            line.record(dice, dice.randrange(3))
    assert line.worker.read == line.ids, f"seed {seed}"
    assert line.stream.trimmed_unread == [], f"seed {seed}"
    assert line.stream.most_bytes < 2 * MAX_BYTES, f"seed {seed}"


def test_without_a_snapshot_half_of_the_bound_is_sent(tmp_path: Path) -> None:
    """Nobody reads: the rest stays in the journal, and the stream has the day's beginning."""
    dice = random.Random(1)
    line = Line(tmp_path, dice)
    line.record(dice, 1_500)
    line.sender.agree()
    while line.sender.send_once():
        pass
    assert MAX_BYTES * 0.45 < line.stream.used_bytes < MAX_BYTES * 0.55
    assert line.stream.entries[0].id == line.ids[0]
    assert line.sender.waiting_seconds > 0
    line.worker.step(1_500)
    line.worker.save()
    assert line.sender.send_once()
    assert line.sender.waiting_seconds == 0


def test_frames_that_are_sent_as_they_come_wait_for_nobody(tmp_path: Path) -> None:
    """A worker that is away for long: what comes first leaves the stream first, counted, and is in the journal."""
    dice = random.Random(2)
    line = Line(tmp_path, dice)
    line.sender.agree()
    line.sender.send_once()
    for _ in range(300):
        line.record(dice, 5)
        assert line.sender.send_once()
    assert line.stream.entries[-1].id == line.ids[-1]
    assert line.sender.forced_out == 1_500 - len(line.stream.entries) > 0
    assert line.sender.waiting_seconds == 0


def test_a_wait_is_announced_once() -> None:
    now, events = [0.0], list[str]()

    class Log:
        def error(self, event: str, **_fields: object) -> None:
            events.append(event)

    uses = [StreamUse(10, 1_000, 10)]
    window = SendWindow(0, lambda: uses[-1], 500, cast("Any", Log()), lambda: now[0])
    window.begin()
    for now[0] in (1.0, 5.0, 10.9, 11.1, 30.0):
        assert window.room_bytes(100) == 0
    assert (len(events), window.waiting_seconds) == (1, 29.0)
    uses.append(StreamUse(10, 1_000, 4))
    assert (window.room_bytes(1_000), window.waiting_seconds) == (100, 0.0)
