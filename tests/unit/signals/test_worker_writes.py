"""A signal worker that always finds another candle writes its values and its snapshot in time all the same."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from signal_worker import LATEST_VALUES_SECONDS, SignalWorker
from strategies import Direction, Proposal, Strategy
from tests.shared.closed_candles import OPEN_MS, minute_candles
from utils.journal.entries import EntryId
from utils.market.candle import Candle
from utils.market.entry_limit import UntilTimeOfDay
from utils.market.timeframes import parse_timeframe
from utils.runtime.timing import Pacing
from utils.signals.context import SignalContext
from utils.signals.engine import SignalEngine
from utils.signals.shard import ShardSignals
from utils.stores.signal_store import ClosedEntry, ClosedRead, SignalStore

SNAPSHOT_SECONDS = 15.0


def long_each_time(candle: Candle, *_: object) -> Proposal:
    return Proposal(Direction.LONG, candle.close, candle.close - 1, candle.close + 1, ("always",))


def busy_store(now: list[float], written: list[float], saved: list[float]) -> MagicMock:
    """Has one more candle at each read; notes when values are written and when a snapshot is saved."""
    candles = iter(minute_candles("NSE:INFY", [OPEN_MS]))

    def read_closed(*_: object) -> dict[int, ClosedRead]:
        candle = next(candles)
        return {0: ClosedRead([ClosedEntry(0, EntryId(candle.end_ms, 0), candle)], is_cut_off=False)}

    store = MagicMock(spec=SignalStore)
    store.read_closed = read_closed
    store.flush.return_value = 0
    store.instruments.return_value = {}
    store.write_values = lambda *_: written.append(now[0])
    store.save_snapshot = lambda *_: saved.append(now[0])
    return store


class _Busy(SignalWorker):
    """The worker's own turn, over one shard that is warm and covered by its lease."""

    def __init__(self, now: list[float]) -> None:
        self.written: list[float] = []
        self.saved: list[float] = []
        self.store = busy_store(now, self.written, self.saved)
        settings: Any = SimpleNamespace(timeframes=[parse_timeframe("1m")])
        parts: Any = {
            "store": self.store,
            "mongo": None,
            "calendar": None,
            "history": None,
            "instruments": {},
        }
        strategy = Strategy("always", (), long_each_time)
        context = SignalContext(
            settings=settings,
            symbols_of={0: ["NSE:INFY"]},
            make_engine=lambda: SignalEngine([strategy], UntilTimeOfDay(1440)),
            **parts,
        )
        shard = ShardSignals(0, context)
        shard._progress.note_warmed([("NSE:INFY", "1m")])
        nothing: Any = SimpleNamespace(covers=lambda *_: True, run=lambda *_: None, check=lambda *_: None)
        worker: Any = self
        worker._owned, worker._store, worker._leases, worker._garbage = {0: shard}, self.store, nothing, nothing
        worker._guard = nothing
        worker._pacing = Pacing(leases=1e9, snapshot=SNAPSHOT_SECONDS, health=1e9)
        worker._now_and_then = Pacing(progress=1e9, values=LATEST_VALUES_SECONDS)
        worker._to_snapshot = {}
        for name in ("leases", "snapshot", "health"):
            worker._pacing.is_due(name, now[0])


def test_values_and_snapshots_wait_no_longer_than_they_may(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    worker = _Busy(now)
    for _ in range(350):
        worker._run_once()
        now[0] += 0.1
    assert worker.store.send.call_count == 350, "signals wait for nothing"
    times = [1_000.0, *worker.written]
    assert len(times) > 2
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) < 2.5
    assert len(worker.saved) == 2, "in 35 s, one each 15 s"
