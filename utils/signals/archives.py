"""Where published signals go from their stream: MongoDB and LOG_DIR's file, each by a consumer group of its own.

Nobody who publishes waits for either. What cannot be written waits in the stream, up to SIGNALS_MAX_ENTRIES.
"""

from __future__ import annotations

from utils.keys import SIGNALS_COLLECTION, SIGNALS_FILE_GROUP, Keys
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.signals.file import SignalFile
from utils.stores.archive import ArchiverTiming, StreamArchiver
from utils.stores.archive_thread import ShardArchives
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import open_redis

FILE_TIMING = ArchiverTiming(reset_seconds=1.0, longest_backoff_seconds=2.0)  # a file costs nothing to try again


class SignalArchives:
    """Archives a shard's stream for as long as the shard is owned."""

    def __init__(self, settings: Settings, mongo: MongoStore, log: BoundLogger) -> None:
        self._client = open_redis(settings.redis_url.get_secret_value())
        self._keys = Keys(settings.redis_prefix)
        self._mongo = mongo
        self._log = log
        self._file = SignalFile(settings.log_dir)
        self._rejected_max = settings.rejected_max_per_shard
        self._to_mongo = ShardArchives("archive-signals", self._mongo_archiver)
        self._to_file = ShardArchives("signals-file", self._file_archiver)

    def start(self, shard: int) -> None:
        """The first time from the beginning of the stream: the file knows what it has."""
        self._to_mongo.start(shard)
        self._to_file.start(shard)

    def stop(self, shard: int) -> None:
        """Another worker has the shard now."""
        self._to_mongo.stop(shard)
        self._to_file.stop(shard)

    def close(self) -> bool:
        """End all; False when MongoDB did not accept in time what was still there."""
        self._to_file.request_stop()
        is_stored = self._to_mongo.close()
        self._to_file.close()
        waiting = self._waiting()
        if waiting:
            self._log.warning("LOG_DIR's file still lacks signals: the next start writes them", signals=waiting)
        return is_stored

    def health_fields(self) -> dict[str, str | int]:
        """`file_waiting` signals wait for a file that refuses them, `file_lost` left the stream meanwhile."""
        lost = sum(health.lost for health in self._to_file.healths)
        return {"file_waiting": self._waiting(), "file_lost": lost, **self._to_mongo.health_fields()}

    def _waiting(self) -> int:
        """How many signals the file refuses; those on their way to one that accepts them do not count."""
        healths = self._to_file.healths
        if not healths or not self._file.is_refused:
            return 0
        return max(1, sum(max(0, health.backlog) for health in healths))  # -1: Redis does not know how many

    def _mongo_archiver(self, shard: int) -> StreamArchiver:
        return StreamArchiver(
            self._client,
            self._keys.signals(shard),
            SIGNALS_COLLECTION,
            self._mongo.upsert_signals,
            self._keys.archive_rejected(shard),
            self._rejected_max,
            ping=self._mongo.ping,
        )

    def _file_archiver(self, shard: int) -> StreamArchiver:
        return StreamArchiver(
            self._client,
            self._keys.signals(shard),
            SIGNALS_FILE_GROUP,
            self._file.write,
            None,  # MongoDB's archiver puts aside what is no signal
            self._rejected_max,
            FILE_TIMING,
        )
