"""A signal worker that stood still looks at its leases again before it writes values or a snapshot."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from signal_worker import SignalWorker
from utils.runtime.timing import Pacing


class _Shard:
    """Notes what it is asked to write."""

    def __init__(self, shard: int, done: list[str]) -> None:
        self._shard, self._done = shard, done

    def write_values(self) -> None:
        self._done.append(f"values {self._shard}")

    def snapshot(self) -> None:
        self._done.append(f"snapshot {self._shard}")


class _Leases:
    """Two leases, each good until a moment."""

    def covers(self, shard: int, now_seconds: float) -> bool:
        return now_seconds < {0: 105.0, 1: 103.0}[shard]


class _Store:
    def __init__(self, done: list[str]) -> None:
        self._done = done

    def flush_values(self) -> None:
        self._done.append("all is answered")


class _StoodStill(SignalWorker):
    """The worker's own writing, over two shards that are owned."""

    def __init__(self) -> None:
        self.done: list[str] = []
        owned: Any = {shard: _Shard(shard, self.done) for shard in (0, 1)}
        leases: Any = _Leases()
        store: Any = _Store(self.done)
        self._owned, self._leases, self._store = owned, leases, store
        self._to_snapshot: dict[int, float] = {}
        garbage: Any = SimpleNamespace(run=lambda now_seconds: None)
        self._garbage = garbage
        self._pacing = Pacing(leases=60.0, snapshot=60.0)
        self._pacing.is_due("leases", 100.0)

    def looks_at_its_leases_next(self) -> bool:
        return self._pacing.is_due("leases", 100.0)


@pytest.mark.parametrize(
    ("now_seconds", "writes"), [(102.9, [0, 1]), (103.0, [0]), (104.9, [0]), (105.0, []), (9_000.0, [])]
)
def test_what_a_lease_does_not_cover_any_more_is_not_written(
    monkeypatch: pytest.MonkeyPatch, now_seconds: float, writes: list[int]
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: now_seconds)
    worker = _StoodStill()
    worker._write_values([0, 1])
    assert worker.done == [*(f"values {shard}" for shard in writes), "all is answered"]
    assert worker.looks_at_its_leases_next() == (writes != [0, 1])
    worker = _StoodStill()
    for _ in range(3):  # one shard a turn
        worker._snapshot_in_turn(has_published=False)
    assert worker.done == [f"snapshot {shard}" for shard in writes]
    assert worker.looks_at_its_leases_next() == (writes != [0, 1])
