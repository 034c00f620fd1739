"""An archiver in a thread of its own: pymongo blocks, and candles do not wait for MongoDB."""

from __future__ import annotations

import threading

from utils.runtime.lifecycle import StopRequest
from utils.stores.archive import ArchiverHealth, StreamArchiver

_STOP_SECONDS = 8.0  # longer than the archiver's own draining


class ArchiveThread:
    """Runs one archiver until stopped. A daemon: a hung database can not keep the process from ending."""

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
        # Now, with the shard held, and not when the first crowd of candles closes.
        from utils.stores import mongo_database  # noqa: F401, PLC0415

        self._archiver.run(self._stop)
