"""The file of signals as a consumer group of their stream: each signal is in it once, or it is counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
from structlog.testing import capture_logs

from tests.contract.test_archive import running, wait_for
from tests.unit.signals.test_file import AT_MS, content, ids, signals
from utils.keys import SIGNALS_COLLECTION, SIGNALS_FILE_GROUP
from utils.signals.file import SignalFile, signal_path
from utils.stores.archive import ArchiverTiming, StreamArchiver, WriteDocuments
from utils.stores.archive_health import ArchiverState
from utils.stores.documents import Document, RefusedDocument, StoreError

STREAM = "signals"
TIMING = ArchiverTiming(
    reset_seconds=0.05,
    first_backoff_seconds=0.02,
    longest_backoff_seconds=0.05,
    backlog_seconds=0.02,
    pause_seconds=0.0,
)


def publish(client: redis.Redis, documents: Sequence[Document]) -> None:
    for document in documents:
        client.xadd(STREAM, {"json": orjson.dumps(document)})


def archiver(client: redis.Redis, write: WriteDocuments, group: str = SIGNALS_FILE_GROUP) -> StreamArchiver:
    return StreamArchiver(client, STREAM, group, write, None, 100, TIMING)


def unfinished(client: redis.Redis, group: str = SIGNALS_FILE_GROUP) -> int:
    """Entries that the group has not acknowledged; -1 before there is one."""
    groups: Any = client.xinfo_groups(STREAM)
    found = [of_group for of_group in groups if of_group["name"] == group.encode()]
    return int(found[0]["pending"]) + int(found[0]["lag"]) if found else -1


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return signal_path(tmp_path, AT_MS)


def test_while_the_file_refuses_nothing_is_acknowledged_and_mongodb_gets_all(
    client: redis.Redis, tmp_path: Path, path: Path
) -> None:
    path.mkdir()
    stored: list[Document] = []

    def store(documents: Sequence[Document]) -> list[RefusedDocument]:
        stored.extend(documents)
        return []

    to_file, to_mongo = archiver(client, SignalFile(tmp_path).write), archiver(client, store, SIGNALS_COLLECTION)
    with capture_logs() as logged, running(to_file), running(to_mongo):
        publish(client, signals(1, 2, 3))
        wait_for(lambda: to_file.health.state is ArchiverState.FAILING and to_file.health.backlog == 3)
        wait_for(lambda: unfinished(client, SIGNALS_COLLECTION) == 0)
        publish(client, signals(4))
        wait_for(lambda: to_file.health.backlog == 4)
        assert unfinished(client) == 4
        assert to_file.health.error.startswith("LOG_DIR's file takes no signals")
        path.rmdir()
        wait_for(lambda: unfinished(client) == 0)
    assert content(path) == stored == signals(1, 2, 3, 4)
    assert (to_file.health.error, to_file.health.lost) == ("", 0)
    refusals = [entry for entry in logged if "LOG_DIR's file" in str(entry.get("reason"))]
    assert len(refusals) == 1, "once, however often it is tried"


def test_what_leaves_the_stream_while_the_file_refuses_is_counted_then_and_logged(
    client: redis.Redis, tmp_path: Path, path: Path
) -> None:
    """The stream's bound is that of what may wait. Some of it was read before, some was not."""
    path.mkdir()
    stream_archiver = archiver(client, SignalFile(tmp_path).write)
    with capture_logs() as logged, running(stream_archiver):
        publish(client, signals(*range(30)))
        wait_for(lambda: stream_archiver.health.backlog == 30)
        for first in (30, 60):
            publish(client, signals(*range(first, first + 30)))
            client.xtrim(STREAM, maxlen=20, approximate=False)
            wait_for(lambda first=first: stream_archiver.health.lost == first + 10)  # type: ignore[misc]
        assert stream_archiver.health.state is ArchiverState.FAILING
        wait_for(lambda: stream_archiver.health.backlog == 20)
        path.rmdir()
        wait_for(lambda: unfinished(client) == 0)
    assert content(path) == signals(*range(70, 90))
    assert stream_archiver.health.lost == 70
    dropped = [entry for entry in logged if entry["event"].startswith("entries were dropped")]
    assert sum(entry["count"] for entry in dropped) == 70
    assert len(dropped) == 2, "at first, and when it is over: not each time"


def test_killed_between_the_file_and_the_acknowledgement_it_writes_nothing_twice(
    client: redis.Redis, tmp_path: Path, path: Path
) -> None:
    killed = SignalFile(tmp_path)

    def write_and_die(documents: Sequence[Document]) -> list[RefusedDocument]:
        killed.write(documents[:7])
        raise StoreError("killed")

    publish(client, signals(*range(10)))
    with running(archiver(client, write_and_die)):
        wait_for(lambda: path.exists() and len(content(path)) == 7)
    assert unfinished(client) == 10
    with path.open("ab") as torn:
        torn.write(b'{"_id":"mom')
    with running(archiver(client, SignalFile(tmp_path).write)):
        wait_for(lambda: unfinished(client) == 0)
    assert content(path) == signals(*range(10))


def test_what_a_redis_that_forgot_is_given_again_is_not_written_again(
    client: redis.Redis, tmp_path: Path, path: Path
) -> None:
    stream_archiver = archiver(client, SignalFile(tmp_path).write)
    with running(stream_archiver):
        publish(client, signals(*range(6)))
        wait_for(lambda: path.exists() and len(content(path)) == 6)
        client.delete(STREAM)
        publish(client, signals(*range(4, 9)))
        wait_for(lambda: unfinished(client) == 0)
    assert content(path) == signals(*range(9))
    assert stream_archiver.health.lost == 0


def test_the_group_begins_at_the_start_of_a_stream_that_was_there_before_it(
    client: redis.Redis, tmp_path: Path, path: Path
) -> None:
    """After an update in mid-day: what the version before had not written yet is in the stream, too."""
    publish(client, signals(*range(8)))
    SignalFile(tmp_path).write(signals(0, 1, 2, 5))
    client.xgroup_create(STREAM, SIGNALS_COLLECTION, id="$")
    with running(archiver(client, SignalFile(tmp_path).write)):
        wait_for(lambda: unfinished(client) == 0)
    assert sorted(ids(content(path))) == ids(signals(*range(8)))


def test_two_owners_at_once_write_each_signal_once(client: redis.Redis, tmp_path: Path, path: Path) -> None:
    """The one that stood still, and the one that took over."""
    first, second = (archiver(client, SignalFile(tmp_path).write) for _ in range(2))
    with running(first), running(second):
        for number in range(0, 300, 3):
            publish(client, signals(number, number + 1, number + 2))
        wait_for(lambda: unfinished(client) == 0)
    assert sorted(ids(content(path))) == ids(signals(*range(300)))


def test_what_is_no_signal_is_counted_and_the_rest_is_written(
    client: redis.Redis, tmp_path: Path, path: Path
) -> None:
    publish(client, [*signals(1), {"_id": "another program's"}, *signals(2)])
    stream_archiver = archiver(client, SignalFile(tmp_path).write)
    with running(stream_archiver):
        wait_for(lambda: unfinished(client) == 0)
    assert content(path) == signals(1, 2)
    assert stream_archiver.health.rejected == 1
    assert client.keys() == [STREAM.encode()], "MongoDB's archiver puts it aside"
