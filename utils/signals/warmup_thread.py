"""A warm-up in a thread of its own: it lasts minutes, and leases, reports and the other shards do not wait for it."""

from __future__ import annotations

import threading
from collections.abc import Callable

from utils.kite.history import HistoryStopped
from utils.signals.warmup import OnProgress, WarmupResult

RunWarmUp = Callable[[OnProgress], WarmupResult]


class WarmupThread:
    """Until it is over the engine that it warms up belongs to it alone.

    A daemon: a broker that hangs cannot keep the process from ending.
    """

    def __init__(self, name: str, run: RunWarmUp) -> None:
        self.progress = (0, 0, 0)  # instruments done, of how many, requests made
        self._run = run
        self._is_cancelled = False
        self._result: WarmupResult | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def cancel(self) -> None:
        """Nobody wants its result any more: it ends before the next instrument."""
        self._is_cancelled = True

    def join(self, seconds: float) -> None:
        """Wait for its end, so long at most."""
        self._thread.join(seconds)

    def result(self) -> WarmupResult | None:
        """When it is over: what came of it, None when it was stopped. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._result

    def _work(self) -> None:
        try:
            self._result = self._run(self._on_progress)
        except HistoryStopped:
            return
        except Exception as error:
            self._error = error

    def _on_progress(self, done: int, of: int, requests: int) -> None:
        self.progress = (done, of, requests)
        if self._is_cancelled:
            raise HistoryStopped


class WarmupTurn:
    """One warm-up at a time in a process: the broker counts the requests of all."""

    def __init__(self) -> None:
        self._last: WarmupThread | None = None

    @property
    def is_free(self) -> bool:
        return self._last is None or self._last.is_over

    def start(self, name: str, run: RunWarmUp) -> WarmupThread:
        """Only when it is free."""
        self._last = WarmupThread(name, run)
        return self._last

    def join(self, seconds: float) -> None:
        """Wait for the end of the last one, which was cancelled; so long at most."""
        if self._last is not None:
            self._last.join(seconds)
