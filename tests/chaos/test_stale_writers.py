"""Workers that were suspended while another took over, and resume afterwards; a Redis that lost its keys."""

from __future__ import annotations

import fcntl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from strategies import Direction
from tests.shared.servers import EmbeddedServer, mongo_server, valkey_server
from utils.indicators import INDICATOR_NAMES
from utils.keys import Keys
from utils.market.signal import Signal
from utils.runtime.lifecycle import StopRequest
from utils.signals.file import SignalFile, SignalLine, signal_path
from utils.stores.archive import CONSUMER, ArchiverTiming, StreamArchiver
from utils.stores.mongo import MongoStore, RefusedDocument
from utils.stores.publishing import Message, Outbox, OutboxMovedError, message_id
from utils.stores.redis_connection import open_redis

KEYS = Keys()
AT_MS = 1_795_146_300_000


def until(condition: Callable[[], bool], what: str, seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with valkey_server(tmp_path) as server:
        yield server


@pytest.fixture
def client(valkey: EmbeddedServer) -> Iterator[redis.Redis]:
    opened = open_redis(valkey.url)
    yield opened
    opened.close()


# -- MongoDB -------------------------------------------------------------------------


def revision(rev: int, key: str = "NSE:INFY|1m|001") -> dict[str, Any]:
    return {"_id": key, "k": key, "symbol": "NSE:INFY", "timeframe": "1m", "t": 1, "rev": rev, "close": 100 + rev}


def test_a_stale_writer_does_not_undo_a_revision(tmp_path: Path) -> None:
    with mongo_server(tmp_path) as server:
        store = MongoStore(server.url, "stale")
        assert store.upsert_candles([revision(0)]) == []
        assert store.upsert_candles([revision(1), revision(0, "NSE:INFY|1m|002")]) == []
        assert (
            store.upsert_candles([revision(0), revision(0, "NSE:INFY|1m|002"), revision(0, "NSE:INFY|1m|003")]) == []
        )
        stored = {
            document["_id"]: document["rev"]
            for document in store._database.find("reading", "candles", {}, [("_id", 1)])
        }
        store.close()
    assert stored == {"NSE:INFY|1m|001": 1, "NSE:INFY|1m|002": 0, "NSE:INFY|1m|003": 0}


def test_what_another_archiver_left_behind_is_written(client: redis.Redis) -> None:
    """Another archiver read entries and died while this one was running: only this one can still write them."""
    written: list[str] = []

    def write(documents: Sequence[dict[str, Any]]) -> list[RefusedDocument]:
        written.extend(document["_id"] for document in documents)
        return []

    timing = ArchiverTiming(backlog_seconds=0.2)
    stop = StopRequest()
    archiver = StreamArchiver(client, "closed:{a}", "candles", write, "archive.rejected:{a}", 100, timing)
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    try:
        client.xadd("closed:{a}", {"json": orjson.dumps({"_id": "first"})})
        until(lambda: written == ["first"], "the archiver runs")
        while "second" not in written and not _read_by_another(client, "second"):
            pass
        until(lambda: "second" in written, "the entry that the other one read is written")
    finally:
        stop.request()
        thread.join(90)


def _read_by_another(client: redis.Redis, name: str) -> bool:
    """Adds an entry and reads it as a second archiver would, in one transaction."""
    pipeline = client.pipeline(transaction=True)
    pipeline.xadd("closed:{a}", {"json": orjson.dumps({"_id": name})})
    pipeline.xreadgroup("candles", CONSUMER, {"closed:{a}": ">"})
    return bool(pipeline.execute()[1])


# -- the outbox ----------------------------------------------------------------------


def outbox(client: redis.Redis) -> Outbox:
    return Outbox(client, KEYS, KEYS.closed(0), 0, 1_000)


def message(number: int) -> Message:
    return Message(message_id(AT_MS + number, 0, 0), b"{}")


def test_nothing_more_is_published_to_a_redis_that_forgot(client: redis.Redis) -> None:
    forgotten = outbox(client)
    forgotten.publish([message(1), message(2)])
    client.delete(KEYS.closed(0), KEYS.published(0))
    with pytest.raises(OutboxMovedError):
        forgotten.publish([message(3)])
    with pytest.raises(OutboxMovedError):
        forgotten.check()
    assert client.exists(KEYS.closed(0)) == 0
    assert outbox(client).publish([message(1), message(2), message(3)]) == 3


def test_another_writer_that_is_ahead_is_no_error(client: redis.Redis) -> None:
    first, second = outbox(client), outbox(client)
    first.publish([message(1)])
    second.publish([message(1), message(2), message(3)])
    assert first.publish([message(2)]) == 0
    first.check()
    assert first.publish([message(3), message(4)]) == 1


# -- the file of signals -------------------------------------------------------------


def signal(number: int) -> Signal:
    values = dict.fromkeys(INDICATOR_NAMES, 1.0)
    return Signal(
        "momentum",
        "NSE:INFY",
        "1m",
        AT_MS + number,
        AT_MS + number,
        Direction.LONG,
        1.0,
        0.5,
        2.0,
        ("a",),
        values,
        True,
        0,
    )


def lines(folder: Path, *numbers: int) -> list[SignalLine]:
    return [SignalLine.of(signal(number).as_document(), folder) for number in numbers]


def ids(path: Path) -> list[str]:
    return [orjson.loads(line)["id"] for line in path.read_bytes().splitlines()]


def test_two_writers_of_one_file_write_each_signal_once(tmp_path: Path) -> None:
    sleeper, other = SignalFile(tmp_path), SignalFile(tmp_path)
    path = signal_path(tmp_path, AT_MS)
    assert sleeper.append(lines(tmp_path, 1)) == 1
    assert other.append(lines(tmp_path, 1, 2, 3)) == 2
    assert sleeper.append(lines(tmp_path, 2, 3, 4)) == 1
    assert other.append(lines(tmp_path, 4, 5)) == 1
    assert ids(path) == [signal(number).id for number in range(1, 6)]


def test_a_writer_that_hangs_with_the_lock_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = signal_path(tmp_path, AT_MS)
    survivor = SignalFile(tmp_path)
    survivor.append(lines(tmp_path, 1))
    with path.open("rb") as hanging:
        fcntl.flock(hanging, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            survivor.append(lines(tmp_path, 2))
        slept: list[float] = []
        monkeypatch.setattr(time, "sleep", slept.append)
        with pytest.raises(BlockingIOError, match="another process"):
            survivor.append(lines(tmp_path, 2))
        assert slept == []  # once was enough
        assert ids(path) == [signal(1).id]
    assert survivor.append(lines(tmp_path, 2, 3)) == 2
    assert ids(path) == [signal(number).id for number in (1, 2, 3)]


def test_a_line_that_another_writer_tore_is_written_anew(tmp_path: Path) -> None:
    survivor, killed = SignalFile(tmp_path), SignalFile(tmp_path)
    path = signal_path(tmp_path, AT_MS)
    survivor.append(lines(tmp_path, 1))
    killed.append(lines(tmp_path, 2))
    path.write_bytes(path.read_bytes()[:-5])
    assert survivor.append(lines(tmp_path, 2, 3)) == 2
    assert ids(path) == [signal(number).id for number in (1, 2, 3)]
