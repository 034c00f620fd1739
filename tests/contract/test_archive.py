"""The archiver between a real Valkey and a real MongoDB server, each of them killed under it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tests.contract.test_mongo_store import START_MS, candle, documents
from tests.shared.servers import ValkeyServer, mongo_server
from utils.keys import CANDLES_COLLECTION
from utils.runtime.lifecycle import StopRequest
from utils.stores.archive import CONSUMER, ArchiverTiming, StreamArchiver, WriteDocuments
from utils.stores.archive_health import ArchiverState
from utils.stores.mongo import MongoStore, RefusedDocument, StoreError

STREAM, GROUP, REJECTED = "closed:{a}", "archive", "archive.rejected:{a}"
TIMING = ArchiverTiming(
    failures=3, reset_seconds=0.2, first_backoff_seconds=0.05, longest_backoff_seconds=0.2, pause_seconds=0.0
)


def wait_for(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def publish(client: redis.Redis, *bodies: dict[str, Any] | bytes) -> None:
    for body in bodies:
        client.xadd(STREAM, {"json": body if isinstance(body, bytes) else orjson.dumps(body)})


def archiver(client: redis.Redis, write: WriteDocuments) -> StreamArchiver:
    return StreamArchiver(client, STREAM, GROUP, write, REJECTED, 100, TIMING)


@contextmanager
def running(archiver: StreamArchiver) -> Iterator[StopRequest]:
    stop = StopRequest()
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    try:
        yield stop
    finally:
        stop.request()
        thread.join(30)
        assert not thread.is_alive()


class Memory:
    """Where documents go when MongoDB itself is not the point."""

    def __init__(self) -> None:
        self.faults_left = 0
        self.documents: dict[str, Any] = {}

    def write(self, written: Sequence[dict[str, Any]]) -> list[RefusedDocument]:
        if self.faults_left > 0:
            self.faults_left -= 1
            raise StoreError("away")
        self.documents.update({document["_id"]: document for document in written if "bad" not in document})
        return [RefusedDocument(document, "bad it is") for document in written if "bad" in document]


def nothing_pending(client: redis.Redis) -> bool:
    groups: Any = client.xinfo_groups(STREAM)
    return bool(groups) and groups[0]["pending"] == 0 and groups[0]["lag"] == 0


def test_mongo_killed_and_restarted_loses_nothing(client: redis.Redis, tmp_path: Path) -> None:
    with mongo_server(tmp_path) as mongo:
        store = MongoStore(mongo.url, "test", socket_timeout_ms=3_000)
        store.prepare()
        stream_archiver = archiver(client, store.upsert_candles)
        with running(stream_archiver):
            publish(client, *documents(*(candle(minute) for minute in range(100))))
            wait_for(lambda: stream_archiver.health.written == 100)
            mongo.kill()
            publish(client, *documents(*(candle(minute) for minute in range(100, 300)), candle(299, 7.0, rev=1)))
            wait_for(lambda: stream_archiver.health.state is ArchiverState.FAILING)
            assert stream_archiver.health.error
            mongo.start()
            wait_for(lambda: nothing_pending(client))
        assert stream_archiver.health.state is ArchiverState.STOPPED
        assert stream_archiver.health.error == ""
        assert stream_archiver.health.backlog == 0
        held = store.candles_before("NSE:INFY", "1m", START_MS * 2, 1_000)
        assert held == [*(candle(minute) for minute in range(299)), candle(299, 7.0, rev=1)]
        assert store.count(CANDLES_COLLECTION) == 300


@pytest.mark.own_valkey
def test_redis_losing_everything_is_survived(valkey: ValkeyServer, client: redis.Redis) -> None:
    memory = Memory()
    with running(archiver(client, memory.write)):
        publish(client, {"_id": "a"})
        wait_for(lambda: "a" in memory.documents)
        client.flushall()
        publish(client, {"_id": "b"})
        wait_for(lambda: "b" in memory.documents)
        valkey.kill()
        valkey.start()
        publish(client, {"_id": "c"})
        wait_for(lambda: "c" in memory.documents)


def test_what_an_earlier_run_left_pending_comes_first(client: redis.Redis) -> None:
    memory, order = Memory(), list[str]()
    publish(client, {"_id": "a"}, {"_id": "b"})
    client.xgroup_create(STREAM, GROUP, id="0")
    client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=1)

    def write(written: Sequence[dict[str, Any]]) -> list[RefusedDocument]:
        order.extend(document["_id"] for document in written)
        return memory.write(written)

    with running(archiver(client, write)):
        wait_for(lambda: nothing_pending(client))
    assert order == ["a", "b"]


def test_the_first_entry_after_a_quiet_time_is_stored(client: redis.Redis) -> None:
    """It waits for entries in Redis, and writes what came without anything after it."""
    memory = Memory()
    with running(archiver(client, memory.write)):
        for name in ("a", "b"):
            wait_for(lambda: any(c["cmd"] == "xread" and "b" in c["flags"] for c in client.client_list()))
            publish(client, {"_id": name})
            wait_for(lambda name=name: name in memory.documents)  # type: ignore[misc]


def test_the_first_entries_after_a_quiet_time_are_left_alone_for_a_while(client: redis.Redis) -> None:
    """The pause is waited for before they are read: reading costs, too. A stop ends it, and nothing is left."""
    memory = Memory()
    stream_archiver = StreamArchiver(
        client, STREAM, GROUP, memory.write, REJECTED, 100, ArchiverTiming(pause_seconds=600.0)
    )
    client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    with running(stream_archiver):
        wait_for(lambda: bool(client.client_list()) and any(c["cmd"] == "xread" for c in client.client_list()))
        publish(client, {"_id": "a"})
        wait_for(lambda: all(c["cmd"] != "xread" or "b" not in c["flags"] for c in client.client_list()))
        groups: Any = client.xinfo_groups(STREAM)
        assert (groups[0]["pending"], groups[0]["lag"]) == (0, 1)
        assert memory.documents == {}
    assert "a" in memory.documents


def test_it_backs_off_while_others_need_the_cores_until_too_much_waits(client: redis.Redis) -> None:
    memory, asked = Memory(), list[int]()

    def is_to_back_off(backlog: int) -> bool:
        asked.append(backlog)
        return 0 <= backlog < 5

    timing = ArchiverTiming(backlog_seconds=0.0)
    archiving = StreamArchiver(client, STREAM, GROUP, memory.write, REJECTED, 100, timing, is_to_back_off)
    client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
    publish(client, *({"_id": str(number)} for number in range(3)))
    with running(archiving):
        wait_for(lambda: asked.count(3) >= 3)
        assert memory.documents == {}
        publish(client, *({"_id": str(number)} for number in range(3, 7)))
        wait_for(lambda: len(memory.documents) == 7)
        publish(client, {"_id": "7"})
        wait_for(lambda: asked.count(1) >= 3)
        assert "7" not in memory.documents
    assert "7" in memory.documents, "the end does not wait for others"


def test_it_does_not_back_off_on_a_fault(client: redis.Redis) -> None:
    """Or the fault would look as if it were over."""
    memory = Memory()
    memory.faults_left = 1_000_000
    archiving = StreamArchiver(client, STREAM, GROUP, memory.write, REJECTED, 100, TIMING, lambda backlog: is_busy)
    is_busy = False
    with running(archiving):
        publish(client, {"_id": "a"})
        wait_for(lambda: archiving.health.state is ArchiverState.FAILING)
        is_busy, left = True, memory.faults_left
        wait_for(lambda: memory.faults_left < left - 2)
        assert archiving.health.error == "away"
        memory.faults_left = 0
        wait_for(lambda: archiving.health.error == "")
    assert "a" in memory.documents


def test_a_bad_document_is_put_aside_and_the_rest_goes_on(client: redis.Redis) -> None:
    memory = Memory()
    stream_archiver = archiver(client, memory.write)
    with running(stream_archiver):
        publish(
            client, {"_id": "a"}, {"_id": "x", "bad": 1}, b"\xff no json", {"no id": 1}, b'{"_id": {}}', {"_id": "b"}
        )
        wait_for(lambda: "b" in memory.documents and nothing_pending(client))
    assert set(memory.documents) == {"a", "b"}
    assert stream_archiver.health.rejected == 4
    put_aside: Any = client.xrange(REJECTED)
    assert sorted(fields[b"json"] for _, fields in put_aside) == sorted(
        [b'{"_id":"x","bad":1}', b"\xff no json", b'{"no id":1}', b'{"_id": {}}']
    )
    assert all(fields[b"reason"] and fields[b"stream"] == STREAM.encode() for _, fields in put_aside)


def test_the_breaker_spares_a_failing_server_and_closes_again(client: redis.Redis) -> None:
    memory = Memory()
    memory.faults_left = 6
    stream_archiver = archiver(client, memory.write)
    publish(client, {"_id": "a"})
    with running(stream_archiver):
        wait_for(lambda: "a" in memory.documents)
        wait_for(lambda: stream_archiver.health.state is ArchiverState.WAITING)
    assert memory.faults_left == 0
    assert stream_archiver.health.error == ""


def test_entries_trimmed_while_pending_are_counted_and_do_not_block(client: redis.Redis) -> None:
    memory = Memory()
    publish(client, {"_id": "a"}, {"_id": "b"})
    client.xgroup_create(STREAM, GROUP, id="0")
    client.xreadgroup(GROUP, CONSUMER, {STREAM: ">"}, count=2)
    client.xtrim(STREAM, maxlen=1, approximate=False)
    stream_archiver = archiver(client, memory.write)
    with running(stream_archiver):
        wait_for(lambda: nothing_pending(client))
    assert set(memory.documents) == {"b"}
    assert stream_archiver.health.lost == 1


@pytest.mark.parametrize("was_read_before", [0, 3])
def test_entries_trimmed_before_they_were_taken_are_counted_once(client: redis.Redis, was_read_before: int) -> None:
    memory = Memory()
    stream_archiver = archiver(client, memory.write)
    publish(client, *({"_id": str(number)} for number in range(was_read_before)))
    if was_read_before:
        with running(stream_archiver):
            wait_for(lambda: len(memory.documents) == was_read_before)
    publish(client, *({"_id": str(number)} for number in range(was_read_before, 500)))
    client.xtrim(STREAM, maxlen=100, approximate=False)
    second = archiver(client, memory.write)
    with running(second):
        wait_for(lambda: len(memory.documents) == was_read_before + 100)
        publish(client, {"_id": "later"})
        wait_for(lambda: "later" in memory.documents and nothing_pending(client))
    assert second.health.lost == 400 - was_read_before
    assert stream_archiver.health.lost == 0


def test_what_was_stored_may_go(client: redis.Redis) -> None:
    memory = Memory()
    stream_archiver = archiver(client, memory.write)
    with running(stream_archiver):
        for start in range(0, 500, 100):
            publish(client, *({"_id": str(number)} for number in range(start, start + 100)))
            wait_for(lambda start=start: len(memory.documents) == start + 100)  # type: ignore[misc]
            wait_for(lambda: nothing_pending(client))
            client.xtrim(STREAM, maxlen=0, approximate=False)
    assert stream_archiver.health.lost == 0


def test_a_stop_still_writes_what_is_there(client: redis.Redis) -> None:
    memory, stop = Memory(), StopRequest()
    publish(client, *({"_id": str(number)} for number in range(2_500)))
    client.xgroup_create(STREAM, GROUP, id="0")
    stop.request()
    stream_archiver = archiver(client, memory.write)
    stream_archiver.run(stop)
    assert len(memory.documents) == 2_500
    assert nothing_pending(client)


def test_while_it_fails_it_logs_it_at_every_moment(client: redis.Redis) -> None:
    """Also in the midst of an attempt: whoever asks twice gets the same twice."""
    memory, seen = Memory(), list[ArchiverState]()
    memory.faults_left = 6

    def write(written: Sequence[dict[str, Any]]) -> list[RefusedDocument]:
        seen.append(stream_archiver.health.state)
        return memory.write(written)

    stream_archiver = archiver(client, write)
    with running(stream_archiver):
        publish(client, {"_id": "a"})
        wait_for(lambda: "a" in memory.documents and nothing_pending(client))
        wait_for(lambda: stream_archiver.health.state is ArchiverState.WAITING)
    assert seen == [ArchiverState.WRITING] + [ArchiverState.FAILING] * 6


def test_a_database_that_is_away_is_known_before_there_is_anything_to_write(client: redis.Redis) -> None:
    is_away = threading.Event()
    is_away.set()

    def ping() -> None:
        if is_away.is_set():
            raise StoreError("MongoDB is away: check MONGO_URL")

    memory = Memory()
    timing = ArchiverTiming(ping_seconds=0.05, first_backoff_seconds=0.05, longest_backoff_seconds=0.1)
    stream_archiver = StreamArchiver(client, STREAM, GROUP, memory.write, REJECTED, 100, timing, ping=ping)
    with running(stream_archiver):
        wait_for(lambda: stream_archiver.health.state is ArchiverState.FAILING)
        assert stream_archiver.health.error == "MongoDB is away: check MONGO_URL"
        is_away.clear()
        wait_for(lambda: stream_archiver.health.state is ArchiverState.WAITING)
        assert stream_archiver.health.error == ""
        is_away.set()
        wait_for(lambda: stream_archiver.health.state is ArchiverState.FAILING)
