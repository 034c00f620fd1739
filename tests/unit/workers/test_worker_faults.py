"""A worker that ends by a fault of its own leaves no snapshot: what it took may not have been published."""

from __future__ import annotations

from typing import Any

import pytest

from candle_worker import CandleWorker
from signal_worker import SignalWorker


class _NeverStopped:
    requested = False


class _Failing:
    """In front of a worker: its `run` as it is, over one shard that is owned."""

    def __init__(self) -> None:
        self._stop: Any = _NeverStopped()
        self._owned: Any = {0: "a shard"}
        self.saved: list[int] = []

    def _run_once(self) -> None:
        raise ValueError("a bug, after entries were taken")

    def _shutdown(self) -> None:
        self.saved += self._owned


class _FailingCandleWorker(_Failing, CandleWorker):
    pass


class _FailingSignalWorker(_Failing, SignalWorker):
    pass


@pytest.mark.parametrize("failing", [_FailingCandleWorker, _FailingSignalWorker])
def test_a_fault_of_its_own_saves_nothing(failing: type[_FailingCandleWorker | _FailingSignalWorker]) -> None:
    worker = failing()
    with pytest.raises(ValueError, match="a bug"):
        worker.run()
    assert worker.saved == []
