"""Recorder and sender together, on a real disk and a real server, where faults can be made at will."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog

import utils.connector.recorder
from tests.shared.connector_process import wait_until
from tests.shared.servers import EmbeddedServer, valkey_server
from utils.connector.recorder import TickRecorder
from utils.connector.sender import TickSender
from utils.journal.entries import ZERO_ID, EntryId
from utils.journal.files import journal_days, plain_path
from utils.journal.writer import read_journal
from utils.keys import Keys
from utils.stores.candle_store import CandleStore
from utils.stores.health import HealthReport, read_health
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import TickStream

START_MS = 1_795_150_000_000
KEYS = Keys("test:")


class Line:
    """A recorder and its sender, with a clock that stands unless it is moved."""

    def __init__(self, directory: Path, url: str, stream_max_bytes: int = 1 << 30, start: bool = True) -> None:
        self.now_ms = START_MS
        self.directory, self.url = directory, url
        self.client = open_redis(url)
        log = structlog.get_logger("test")
        self.recorder = TickRecorder(directory, 0, lambda: self.now_ms, self._wake, log)
        own_client = open_redis(url)
        self.sender = TickSender(
            own_client,
            TickStream(own_client, KEYS),
            [self.recorder],
            HealthReport(own_client, KEYS, "connector", 15),
            self._health,
            48.0,
            stream_max_bytes,
            log,
        )
        self.is_sending = False
        if start:
            self.start()

    def _wake(self) -> None:
        self.sender.wake()

    def _health(self) -> Mapping[str, str | int | float]:
        return {
            "sent": self.sender.sent,
            "backlog_bytes": self.recorder.backlog_bytes,
            "redis_fault": self.sender.redis_fault,
            "waits": self.sender.waiting_seconds,
        }

    def report(self) -> Mapping[str, str]:
        return read_health(self.client, KEYS).get("connector", {})

    def start(self, answer_seconds: float = 0.0) -> None:
        self.is_sending = True
        self.sender.start(answer_seconds)

    def record(self, numbers: range, size: int = 8) -> None:
        for number in numbers:
            self.recorder.frame(number.to_bytes(size, "big"), True)

    def streamed(self) -> list[int]:
        found: Any = self.client.xrange("test:ticks:{a}")
        return [int.from_bytes(fields[b"f"], "big") for _, fields in found if b"f" in fields]

    def journaled(self) -> list[int]:
        paths = [plain_path(self.directory, day, 0) for day in journal_days(self.directory)]
        return [int.from_bytes(entry.payload, "big") for path in paths for entry in read_journal(path)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with valkey_server(tmp_path) as server:
        yield server


@pytest.fixture
def make_line(tmp_path: Path, server: EmbeddedServer) -> Iterator[Callable[..., Line]]:
    lines: list[Line] = []

    def make(**options: Any) -> Line:
        lines.append(Line(tmp_path / "journal", server.url, **options))
        return lines[-1]

    yield make
    for line in lines:
        if line.is_sending:
            line.sender.finish(1.0)
        line.client.close()


def test_ids_rise_though_the_clock_steps_back(make_line: Callable[..., Line]) -> None:
    line = make_line()
    line.record(range(3))
    line.now_ms -= 5000
    line.record(range(3, 5))
    line.now_ms += 5001
    line.record(range(5, 6))
    assert line.recorder.last_id == EntryId(START_MS + 1, 0)
    wait_until(lambda: line.streamed() == list(range(6)), "all entries")
    found: Any = line.client.xrange("test:ticks:{a}")
    assert [id_ for id_, _ in found] == [f"{START_MS}-{counter}".encode() for counter in range(5)] + [
        f"{START_MS + 1}-0".encode()
    ]


def test_what_was_not_sent_is_sent_at_the_next_start(make_line: Callable[..., Line]) -> None:
    first = make_line(start=False)
    first.record(range(1500))
    first.recorder.close()
    second = make_line()
    second.record(range(1500, 1600))
    assert second.sender.finish(90.0)
    assert second.streamed() == list(range(1600)) == second.journaled()


def test_a_full_disk_stops_nothing(make_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    line = make_line()
    line.record(range(10))

    def no_space(_descriptor: int, _data: bytes, _offset: int) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", no_space)
        line.record(range(10, 50))
        line.recorder.retry()
        wait_until(lambda: line.streamed() == list(range(50)), "the stream to continue from memory")
        assert line.recorder.pending == 40
        assert "No space" in line.recorder.disk_fault
        assert line.journaled() == list(range(10))
    line.recorder.retry()
    assert (line.recorder.pending, line.recorder.disk_fault) == (0, "")
    line.record(range(50, 60))
    wait_until(lambda: line.streamed() == list(range(60)), "the rest")
    assert line.journaled() == list(range(60))


def test_memory_is_bounded_while_the_disk_is_full(
    make_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = make_line(start=False)
    monkeypatch.setattr(utils.connector.recorder, "PENDING_MAX_BYTES", 800)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", lambda *_: (_ for _ in ()).throw(OSError(28, "No space")))
        line.record(range(150))
    assert (line.recorder.pending, line.recorder.lost) == (100, 50)
    line.recorder.retry()
    assert line.journaled() == list(range(50, 150))


def test_a_server_out_of_memory_gets_everything_later(make_line: Callable[..., Line]) -> None:
    line = make_line()
    line.record(range(10))
    wait_until(lambda: len(line.streamed()) == 10, "the first entries")
    line.client.config_set("maxmemory", 1)
    line.record(range(10, 2000))
    wait_until(lambda: line.sender.redis_fault, "the refusal")
    assert len(line.streamed()) < 2000
    line.client.config_set("maxmemory", 0)
    wait_until(lambda: line.streamed() == list(range(2000)), "the rest")


def test_what_redis_refuses_stands_in_the_report(make_line: Callable[..., Line]) -> None:
    """Or the doctor would report that the connector does not run."""

    def fault() -> str | None:
        return read_health(line.client, KEYS).get("connector", {}).get("redis_fault")

    line = make_line(start=False)
    line.client.set("test:ticks:{a}", "another type")
    line.start()
    wait_until(lambda: (fault() or "").startswith("A key of Candlewick holds another type"), "the reason")
    line.client.delete("test:ticks:{a}")
    line.record(range(10))
    wait_until(lambda: line.streamed() == list(range(10)) and fault() == "", "all is well")


@pytest.mark.parametrize("loss", ["flushall", "older"])
def test_a_stream_that_lost_entries_is_sent_them_again(make_line: Callable[..., Line], loss: str) -> None:
    line = make_line()
    line.record(range(100))
    wait_until(lambda: len(line.streamed()) == 100, "the first entries")
    line.client.flushall()
    if loss == "older":
        line.client.xadd("test:ticks:{a}", {"f": (0).to_bytes(8, "big")}, id=f"{START_MS}-0")
    line.record(range(100, 110))
    wait_until(lambda: line.streamed() == list(range(110)), "the whole day again")


def test_only_the_day_is_sent_again(make_line: Callable[..., Line]) -> None:
    line = make_line()
    line.record(range(10))
    line.now_ms += 24 * 3600 * 1000
    line.record(range(10, 20))
    wait_until(lambda: len(line.streamed()) == 20, "both days")
    line.client.flushall()
    line.record(range(20, 21))
    wait_until(lambda: line.streamed() == list(range(10, 21)), "the day, not the one before")


def test_a_day_that_was_never_sent_is_sent_after_midnight(make_line: Callable[..., Line]) -> None:
    first = make_line(start=False)
    first.record(range(10))
    first.recorder.close()
    second = make_line(start=False)
    second.now_ms += 24 * 3600 * 1000
    second.record(range(10, 20))
    second.start()
    wait_until(lambda: second.streamed() == list(range(20)), "both days")


def test_ids_go_on_above_a_stream_that_was_further(make_line: Callable[..., Line]) -> None:
    line = make_line(start=False)
    line.client.xadd("test:ticks:{a}", {"m": b"{}"}, id=f"{START_MS - 1000}-7")
    line.start()
    line.record(range(3))
    wait_until(lambda: line.streamed() == [0, 1, 2], "the entries of a new journal")
    line.client.xadd("test:ticks:{a}", {"m": b"{}"}, id=f"{START_MS + 50}-0")
    line.record(range(3, 4))
    wait_until(lambda: line.recorder.last_id >= EntryId(START_MS + 50, 0), "the floor to be raised")
    line.record(range(4, 6))
    wait_until(lambda: line.streamed()[-2:] == [4, 5], "the entries above it")


def test_a_stream_is_bounded_and_logs_it(make_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.connector.sender.TRIM_AFTER_BYTES", 1 << 20)
    line = make_line(stream_max_bytes=2 << 20)
    wait_until(lambda: "connector" in read_health(line.client, KEYS), "the journal is drained")
    line.record(range(3000), size=4000)
    wait_until(lambda: line.sender.sent == 3000, "the last entry")
    assert line.sender.forced_out > 0
    streamed = line.streamed()
    assert streamed == list(range(line.sender.forced_out, 3000))
    assert line.journaled() == list(range(3000))


def test_a_backlog_waits_for_a_slow_reader_and_loses_nothing(make_line: Callable[..., Line]) -> None:
    """Of ten times the bound, with a reader that stores its snapshot now and then: each entry is read once."""
    line = make_line(stream_max_bytes=2 << 20, start=False)
    line.record(range(5000), size=4000)
    line.start()
    wait_until(lambda: line.sender.waiting_seconds > 0, "the sender waits for a snapshot")
    sent = line.sender.sent
    assert sent < 500, "no more than about half of the bound"
    store, found, position = CandleStore(open_redis(line.url), KEYS, 100, 100), list[int](), ZERO_ID
    store.load_state(0)
    while len(found) < 5000:
        for _, entries in store.read_ticks({0: position}, 200, 64):
            found += [int.from_bytes(entry.payload, "big") for entry in entries]
            position = entries[-1].id
        if store.unsaved_bytes(0) >= 1 << 19:
            store.save_state(0, b"a snapshot")
            assert (line.client.memory_usage("test:ticks:{a}") or 0) < 4 << 20
    assert found == list(range(5000))
    assert store.new_gaps() == []
    line.record(range(5000, 5001))
    wait_until(lambda: line.sender.sent == 5001 and not line.sender.waiting_seconds, "frames are sent as they come")


def test_a_backlog_that_waits_is_in_the_report(
    make_line: Callable[..., Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends in order: what was not sent is in the journal."""
    monkeypatch.setattr("utils.connector.send_window.ANNOUNCED_SECONDS", 0.1)
    line = make_line(stream_max_bytes=2 << 20, start=False)
    line.record(range(1000), size=4000)
    line.start()
    wait_until(lambda: float(line.report().get("waits", "0")) > 0.1, "the report names the wait")
    assert not line.sender.finish(5.0)
    assert line.streamed() == list(range(line.sender.sent))


def test_health_is_written_every_second(make_line: Callable[..., Line]) -> None:
    line = make_line()
    line.record(range(7))
    wait_until(lambda: read_health(line.client, KEYS).get("connector", {}).get("sent") == "7", "the report")
    assert read_health(line.client, KEYS)["connector"]["backlog_bytes"] == "0"


def test_the_end_waits_for_a_redis_that_is_away_but_not_for_long(
    make_line: Callable[..., Line], server: EmbeddedServer
) -> None:
    line = make_line()
    line.record(range(5))
    wait_until(lambda: len(line.streamed()) == 5, "the first entries")
    server.kill()
    line.record(range(5, 9))
    before = os.times().elapsed
    assert not line.sender.finish(0.5)
    assert os.times().elapsed - before < 30.0
    server.start()
    assert line.journaled() == list(range(9))


def test_what_is_recorded_first_goes_behind_what_the_journal_lost(make_line: Callable[..., Line]) -> None:
    """Three entries are sent, of which the journal loses the last two; the clock is an hour behind at the start."""
    before = make_line()
    for number in range(3):
        before.now_ms += 1000
        before.record(range(number, number + 1))
    wait_until(lambda: before.streamed() == [0, 1, 2], "all entries")
    before.sender.finish(5.0)
    before.recorder.close()
    path = plain_path(before.directory, journal_days(before.directory)[0], 0)
    os.truncate(path, path.stat().st_size - 40)
    after = make_line(start=False)
    after.now_ms -= 3_600_000
    after.start(answer_seconds=60.0)
    after.record(range(3, 5))
    wait_until(lambda: after.streamed() == [0, 1, 2, 3, 4], "what came after the restart")
    assert after.journaled() == [0, 3, 4]
