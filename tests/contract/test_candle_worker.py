"""The candle worker as a process on a real Redis and MongoDB: it stores what the engine gives, whatever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pymongo
import pytest
import redis

from tests.reference.engine_runs import EngineRun, run_engine
from tests.reference.inputs import Entry, ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.env_file import write_env_file
from tests.shared.servers import EmbeddedServer, ValkeyServer

REPO = Path(__file__).parents[2]
SETTINGS = ReferenceSettings(timeframes=(("5s", 5_000), ("1m", 60_000), ("2m", 120_000), ("1d", 0)), z_window=30)
DEADLINE_SECONDS = 90.0
Environment = dict[str, str]


@pytest.fixture
def servers(valkey: ValkeyServer, mongo: EmbeddedServer) -> tuple[ValkeyServer, EmbeddedServer]:
    return valkey, mongo


def environment(valkey: ValkeyServer, mongo: EmbeddedServer, tmp_path: Path) -> Environment:
    """What stands in the worker's `.env`."""
    return {
        "REDIS_URL": valkey.url_of("candle_worker"),
        "MONGO_URL": mongo.url,
        "TIMEFRAMES": ",".join(name for name, _ in SETTINGS.timeframes),
        "ZSCORE_WINDOW": "30",
        "SNAPSHOT_SECONDS": "0.2",
        "LEASE_SECONDS": "1",
        "LOG_DIR": str(tmp_path / "logs"),
    }


@contextmanager
def worker(settings: Environment) -> Iterator[subprocess.Popen[bytes]]:
    work = Path(settings["LOG_DIR"]).parent
    write_env_file(work, settings)
    process = subprocess.Popen(
        [sys.executable, str(REPO / "candle_worker.py")],
        cwd=work,
        env={"PATH": os.environ["PATH"], "TZ": "UTC"},
        stderr=subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(0.02)


def send(client: redis.Redis, entries: Sequence[Entry]) -> None:
    pipeline = client.pipeline(transaction=False)
    for entry in entries:
        pipeline.xadd("ticks:{a}", {entry.kind: entry.payload}, id=f"{entry.ms}-{entry.counter}")
    pipeline.execute()


def health(client: redis.Redis) -> dict[str, str]:
    try:
        answer: Any = client.hgetall("health:candle_worker")
    except redis.RedisError:
        return {}
    return {name.decode(): value.decode() for name, value in answer.items()}


def until_worked_off(client: redis.Redis, entries: Sequence[Entry]) -> None:
    last = f"{entries[-1].ms}-{entries[-1].counter}"
    until(
        lambda: health(client).get("position_0") == last and is_archived(client),
        "the worker takes all entries and MongoDB has all candles",
    )


def is_archived(client: redis.Redis) -> bool:
    """Asked of the stream itself: the backlog in a report may be of before the last candles closed."""
    newest: Any = client.xrevrange("closed:{a}", count=1)
    groups: Any = client.xinfo_groups("closed:{a}") if newest else []
    return any(group["pending"] == 0 and group["last-delivered-id"] == newest[0][0] for group in groups)


def check(client: redis.Redis, mongo: EmbeddedServer, expected: EngineRun) -> None:
    entries: Any = client.xrange("closed:{a}")
    documents = [orjson.loads(fields[b"json"]) for _, fields in entries]
    assert documents == [message.candle.as_document() for message in expected.published]
    with pymongo.MongoClient[dict[str, Any]](mongo.url) as database:
        stored = {document["_id"]: document for document in database["candlewick"]["candles"].find()}
    assert stored == {key: candle.as_document() for key, candle in expected.final.items()}


def live_closes(client: redis.Redis, expected: EngineRun) -> list[object]:
    return [
        client.hget(f"candle:{candle.symbol}:{candle.timeframe}", "close") for candle in expected.still_open.values()
    ]


def live_closes_expected(expected: EngineRun) -> list[object]:
    return [str(candle.close).encode() for candle in expected.still_open.values()]


def test_stores_what_the_engine_gives(servers: tuple[ValkeyServer, EmbeddedServer], tmp_path: Path) -> None:
    valkey, mongo = servers
    entries = random_feed(1, "09:13:00", 900)
    expected = run_engine(entries, [who.reference for who in WHO], SETTINGS)
    client = redis.Redis.from_url(valkey.url)
    subscriber: Any = client.pubsub()  # type: ignore[no-untyped-call]
    subscriber.psubscribe("candles.closed.*")
    with worker(environment(valkey, mongo, tmp_path)) as process:
        send(client, entries)
        until_worked_off(client, entries)
        until(lambda: live_closes(client, expected) == live_closes_expected(expected), "the open candles are live")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_SECONDS) == 0
    check(client, mongo, expected)
    messages = [
        message
        for message in iter(lambda: subscriber.get_message(timeout=0.2), None)
        if message["type"] == "pmessage"
    ]
    assert len(messages) == len(expected.published)
    rejected: Any = client.xrange("ticks.rejected:{a}")
    assert len(rejected) == sum(expected.rejected.values()) > 0


def test_kill_9_changes_nothing(servers: tuple[ValkeyServer, EmbeddedServer], tmp_path: Path) -> None:
    valkey, mongo = servers
    entries = random_feed(2, "09:13:00", 900)
    expected = run_engine(entries, [who.reference for who in WHO], SETTINGS)
    client = redis.Redis.from_url(valkey.url)
    settings = environment(valkey, mongo, tmp_path)
    for part in range(6):
        fresh = entries[part * 150 : (part + 1) * 150] if part < 5 else entries[750:]
        with worker(settings):
            send(client, fresh)
            until(lambda: int(health(client).get("packets", "0")) > 0, "the worker reports")
            if part < 5:
                until(lambda: client.exists("state:{a}") > 0, "a snapshot")
            else:
                until_worked_off(client, entries)
    check(client, mongo, expected)


@pytest.mark.own_valkey
def test_redis_killed_and_restarted(servers: tuple[ValkeyServer, EmbeddedServer], tmp_path: Path) -> None:
    valkey, mongo = servers
    entries = random_feed(3, "09:13:00", 600)
    expected = run_engine(entries, [who.reference for who in WHO], SETTINGS)
    client = redis.Redis.from_url(valkey.url)
    with worker(environment(valkey, mongo, tmp_path)) as process:
        send(client, entries[:300])
        until(lambda: client.exists("state:{a}") > 0, "a snapshot")
        valkey.kill()
        valkey.start()
        arrived: Any = client.xrevrange("ticks:{a}", count=1)
        last = arrived[0][0].decode() if arrived else "0-0"
        send(client, [entry for entry in entries if (entry.ms, entry.counter) > tuple(map(int, last.split("-")))])
        until_worked_off(client, entries)
        assert process.poll() is None
    check(client, mongo, expected)


def test_a_second_worker_takes_over(servers: tuple[ValkeyServer, EmbeddedServer], tmp_path: Path) -> None:
    valkey, mongo = servers
    entries = random_feed(4, "09:13:00", 600)
    expected = run_engine(entries, [who.reference for who in WHO], SETTINGS)
    client = redis.Redis.from_url(valkey.url)
    settings = environment(valkey, mongo, tmp_path)
    with worker(settings) as first:
        until(lambda: client.exists("lease:candle_worker:{a}") > 0, "the first worker holds the shard")
        with worker(settings):
            send(client, entries[:300])
            until(lambda: client.xlen("closed:{a}") > 0, "candles close")
            first.kill()
            send(client, entries[300:])
            until_worked_off(client, entries)
    check(client, mongo, expected)
