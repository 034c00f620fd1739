"""The loop that both workers are: when shards are recovered, snapshotted and released, drawn as a list of events."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import structlog
from redis import RedisError

from utils.runtime.health import Fields
from utils.runtime.lifecycle import StopRequest
from utils.runtime.settings import Settings
from utils.runtime.shard_worker import LATEST_SNAPSHOT_SECONDS, Change, Coordination, ShardWorker

Events = list[str]


@dataclass
class _Shard:
    name: int
    events: Events
    position: str = "1-0"
    instrument_count: int = 7

    def recover(self) -> None:
        self.events.append(f"recover {self.name}")

    def snapshot(self) -> None:
        self.events.append(f"snapshot {self.name}")

    def release(self) -> None:
        self.events.append(f"release {self.name}")


@dataclass
class _Leases:
    """Gives the changes of each round as the test wrote them."""

    events: Events
    rounds: list[list[tuple[int, Change]]] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)
    owner: str = "us"
    owners: list[str] = field(default_factory=lambda: ["us"])

    def changes(self, owned: Mapping[int, object]) -> Iterator[tuple[int, Change]]:
        yield from self.rounds.pop(0) if self.rounds else []

    def renew(self, shard: int) -> bool:
        return shard not in self.lost

    def covers(self, shard: int, now_seconds: float) -> bool:
        return shard not in self.lost

    def release(self, shard: int) -> None:
        self.events.append(f"lease of {shard} released")

    def leave(self) -> None:
        self.events.append("leave")


@dataclass
class _Parts:
    """Guard, health and archives in one."""

    events: Events
    reports: list[Fields] = field(default_factory=list)
    fault: str = ""

    def check(self) -> None: ...

    def on_error(self, error: RedisError, in_seconds: float, report: Callable[[], None]) -> None:
        self.events.append(f"error, retrying in {in_seconds}")

    def reason(self, error: RedisError) -> str:
        return str(error)

    def write(self, fields: Fields, owners: Sequence[str]) -> Fields:
        self.reports.append(fields)
        return fields

    def start(self, shard: int) -> None:
        self.events.append(f"archive {shard}")

    def stop(self, shard: int) -> None:
        self.events.append(f"archive of {shard} stopped")

    def close(self) -> bool:
        self.events.append("archives closed")
        return True

    def health_fields(self) -> Fields:
        return {"archive_state": "waiting"}


class _Worker(ShardWorker[_Shard]):
    """Publishes in each turn, or not, or fails, as the test lists it; stops after the last."""

    def __init__(self, *rounds: list[tuple[int, Change]]) -> None:
        self.events: Events = []
        self.leases, self.parts = _Leases(self.events, list(rounds)), _Parts(self.events)
        self.turns: list[bool | Exception] = []
        self.stop = StopRequest()
        shards = {number: _Shard(number, self.events) for number in range(2)}
        coordination = Coordination(self.leases, self.parts, self.parts)
        settings = Settings.load(_env_file=None, snapshot_seconds=10.0, lease_seconds=3.0)
        super().__init__(settings, self.stop, structlog.get_logger("test"), shards, self.parts, coordination)

    def _process(self) -> bool:
        turn = self.turns.pop(0)
        if not self.turns:
            self.stop.request()
        if isinstance(turn, Exception):
            raise turn
        return turn

    def _catch_up(self, has_published: bool) -> None:
        self.events.append(f"catch up {has_published}")

    def _close(self) -> None:
        self.events.append("close")

    def _fields(self, now_ms: int) -> Fields:
        return {"last_entry_ms": now_ms - 250}

    def play(self, *turns: bool | Exception) -> Events:
        """What happened in these turns, from the first to the end of the process."""
        self.turns += turns
        self.run()
        return self.events


ACQUIRED = (0, Change.ACQUIRED)
END = ["close", "archives closed", "leave"]


@pytest.fixture(autouse=True)
def no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """For garbage: what a test made is none of a worker's business."""
    monkeypatch.setattr("utils.runtime.shard_worker.GarbageSearch.__init__", lambda self: None)
    monkeypatch.setattr("utils.runtime.shard_worker.GarbageSearch.run", lambda self, now_seconds: None)


def test_a_shard_is_recovered_processed_snapshotted_and_given_up_at_the_end() -> None:
    worker = _Worker([ACQUIRED])
    assert worker.play(True, False) == [
        "recover 0",
        "archive 0",
        "catch up True",
        "catch up False",
        "snapshot 0",  # due since the first turn, which published something
        "snapshot 0",
        "release 0",
        *END,
    ]


def test_a_spare_shard_is_snapshotted_first_and_a_lost_one_is_not() -> None:
    both = [ACQUIRED, (1, Change.ACQUIRED)]
    worker = _Worker(both, [(0, Change.SPARE), (1, Change.LOST)])
    worker.turns = [True, True]
    worker._run_once()
    del worker.events[:]
    worker._exchange_shards()
    assert worker.events == [
        "snapshot 0",
        "release 0",
        "archive of 0 stopped",
        "lease of 0 released",
        "release 1",
        "archive of 1 stopped",
    ]


def test_after_an_error_of_redis_each_shard_is_recovered_anew() -> None:
    worker = _Worker([ACQUIRED], [ACQUIRED])
    assert worker.play(RedisError("gone"), True) == [
        "recover 0",
        "archive 0",
        "release 0",
        "release 1",
        "error, retrying in 0.1",
        "recover 0",
        "archive 0",
        "catch up True",
        "snapshot 0",
        "release 0",
        *END,
    ]


def test_a_snapshot_waits_for_a_quiet_turn_and_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    worker = _Worker([ACQUIRED])
    worker.turns = [True] * 8
    snapshotted = []
    for _ in range(6):
        worker._run_once()
        snapshotted.append(worker.events.count("snapshot 0"))
        now[0] += LATEST_SNAPSHOT_SECONDS / 4
    assert snapshotted == [0, 0, 0, 0, 1, 1]


@pytest.mark.parametrize("lost", [set(), {0}])
def test_what_another_worker_owns_is_not_snapshotted_at_the_end(lost: set[int]) -> None:
    worker = _Worker([ACQUIRED])
    worker.leases.lost = lost
    assert worker.play(True).count("snapshot 0") == (0 if lost else 1)


def test_the_report_names_what_is_owned() -> None:
    worker = _Worker([ACQUIRED])
    worker.play(True)
    (report,) = worker.parts.reports
    assert report["shards"] == "0"
    assert (report["position_0"], report["instruments"], report["lag_ms"]) == ("1-0", 7, 250)
    assert report["archive_state"] == "waiting"
