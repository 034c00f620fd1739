"""An archiver in a thread of its own: pymongo blocks, and candles do not wait for MongoDB."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from utils.runtime.lifecycle import StopRequest
from utils.stores.archive import ArchiverHealth, ArchiverState, StreamArchiver

_STOP_SECONDS = 8.0  # longer than the archiver's own draining


class ArchiveThread:
    """Runs one archiver until stopped. A daemon: a hung database cannot keep the process from ending.

    Its priority is the worker's. Niced, it is kept off the cores while it has the interpreter's lock, and the worker
    waits for it: with two busy cores a worker's turn took 330 ms at the 99th percentile instead of 110 to 160.
    """

    def __init__(self, name: str, archiver: StreamArchiver) -> None:
        self._archiver = archiver
        self._stop = StopRequest()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def health(self) -> ArchiverHealth:
        return self._archiver.health

    def request_stop(self) -> None:
        """Ask it to end; it still writes what is there, for a few seconds."""
        self._stop.request()

    def join(self) -> bool:
        """Wait for its end after `request_stop`; False when it did not come in time."""
        self._thread.join(_STOP_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        # Now, with the shard owned, and not when the first burst of candles closes.
        from utils.stores import mongo_database  # noqa: F401, PLC0415

        self._archiver.run(self._stop)


class ShardArchives:
    """The archivers of the shards that this worker owns, each in a thread of its own."""

    def __init__(self, name: str, make: Callable[[int], StreamArchiver]) -> None:
        """`make` gives the archiver of a shard."""
        self._name = name
        self._make = make
        self._threads: dict[int, ArchiveThread] = {}

    def start(self, shard: int) -> None:
        """Start archiving a shard, unless it is on already."""
        if shard not in self._threads:
            self._threads[shard] = ArchiveThread(f"{self._name}-{shard}", self._make(shard))

    def stop(self, shard: int) -> None:
        """Another worker has the shard now."""
        thread = self._threads.pop(shard, None)
        if thread is not None:
            thread.request_stop()

    def close(self) -> bool:
        """End all; False when one could not write what was still there in time."""
        threads = list(self._threads.values())
        self._threads.clear()
        for thread in threads:
            thread.request_stop()
        ended = [thread.join() for thread in threads]
        return all(ended)

    def health_fields(self) -> dict[str, str | int]:
        """The worst of all shards; empty where there is none."""
        healths = [thread.health for thread in self._threads.values()]
        return _total(healths).as_fields() if healths else {}


def _total(healths: Sequence[ArchiverHealth]) -> ArchiverHealth:
    """The sums, and the state and error of the one that is behind most."""
    worst = max(healths, key=lambda health: (health.state is ArchiverState.FAILING, health.backlog))
    return ArchiverHealth(
        state=worst.state,
        backlog=worst.backlog,
        last_write_ms=max(health.last_write_ms for health in healths),
        written=sum(health.written for health in healths),
        rejected=sum(health.rejected for health in healths),
        lost=sum(health.lost for health in healths),
        error=worst.error,
    )
