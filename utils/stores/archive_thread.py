"""Archivers in threads of their own: writing blocks, and candles wait for neither MongoDB nor a file."""

from __future__ import annotations

import threading
from collections.abc import Callable

from utils.runtime.lifecycle import StopRequest
from utils.stores.archive import StreamArchiver
from utils.stores.archive_health import ArchiverHealth, total_health

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

    def request_stop(self) -> None:
        """Ask all to end; `close` waits for it."""
        for thread in self._threads.values():
            thread.request_stop()

    def close(self) -> bool:
        """End all; False when one could not write what was still there in time."""
        self.request_stop()
        ended = [thread.join() for thread in self._threads.values()]
        return all(ended)

    @property
    def healths(self) -> list[ArchiverHealth]:
        """Of each shard."""
        return [thread.health for thread in self._threads.values()]

    def health_fields(self) -> dict[str, str | int]:
        """The worst of all shards, for a report; empty where there is none."""
        healths = self.healths
        return total_health(healths).as_fields() if healths else {}
