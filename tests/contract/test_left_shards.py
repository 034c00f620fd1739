"""CONNECTIONS was lowered: what the shards that are gone leave behind is named, with the remedy."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from tests.contract.test_redis_refuses import doctor, script, valkey_with, wait_until
from tests.shared.servers import ValkeyServer
from utils.keys import CANDLES_COLLECTION, Keys
from utils.stores.left_shards import MOST_PAGES, PAGE, LeftShards
from utils.stores.publishing import Message, Outbox
from utils.stores.redis_connection import open_redis

pytestmark = pytest.mark.own_valkey
KEYS = Keys()
WAITING = (
    "PROBLEM  candle_worker: CONNECTIONS was lowered while connection 1 had frames that no worker has read and "
    "2 candles or signals that MongoDB has not got: set CONNECTIONS=2 until doctor names them no more"
)
FREE = (
    "note     candle_worker: connection 1 is not used any more, and nothing of it waits: "
    "free its memory with redis-cli DEL 'ticks:{b}' 'closed:{b}' 'signals:{b}' 'ticks.rejected:{b}' "
    "'archive.rejected:{b}' 'ticks-subscribed:{b}' 'state:{b}' 'state-counts:{b}' 'signal-state:{b}' 'published:{b}'."
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_with(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: ValkeyServer) -> Iterator[redis.Redis]:
    with closing(open_redis(server.url)) as client:
        yield client


def leave_a_shard(client: redis.Redis) -> None:
    client.xadd("ticks:{b}", {"f": b"a frame that was read"}, id="5-0")
    client.set("state-counts:{b}", "5-0 1")
    client.xadd("ticks:{b}", {"m": b'{"mark":"down"}'}, id="6-0")
    client.xadd("ticks:{b}", {"f": b"\0"}, id="7-0")
    for number in range(3):
        client.xadd("closed:{b}", {"json": "{}"}, id=f"{5 + number}-0")
    client.xgroup_create("closed:{b}", CANDLES_COLLECTION, id="5-0")
    assert client.xreadgroup(CANDLES_COLLECTION, "archiver", {"closed:{b}": ">"}, count=1)


def looked(server: ValkeyServer) -> str:
    """By the worker's own user."""
    with closing(open_redis(server.url_of("candle_worker"))) as client:
        return LeftShards(client, KEYS, 1).fields(0.0)["left_shards"]


def test_doctor_names_what_waits_and_then_what_can_go(
    tmp_path: Path, server: ValkeyServer, client: redis.Redis
) -> None:
    leave_a_shard(client)
    client.xadd("ticks:{b}", {"f": b"a frame that nobody read"}, id="8-0")
    logged = findings_of(tmp_path, server, client)
    assert WAITING in logged[1] and logged[0] == 1, logged
    client.set("state-counts:{b}", "8-0 4")
    client.xgroup_setid("closed:{b}", CANDLES_COLLECTION, "7-0", entries_read=3)
    client.xack("closed:{b}", CANDLES_COLLECTION, "6-0")
    logged = findings_of(tmp_path, server, client)
    assert FREE in logged[1] and "CONNECTIONS was lowered" not in logged[1], logged


def findings_of(tmp_path: Path, server: ValkeyServer, client: redis.Redis) -> tuple[int, str]:
    """The doctor's answer while a worker runs."""
    client.delete("health:candle_worker")
    with script(tmp_path, "candle_worker", server.url_of("candle_worker")):
        wait_until(lambda: bool(client.hget("health:candle_worker", "left_shards")))
        return doctor(tmp_path, "--process", "candle_worker")


def test_marks_and_heartbeats_behind_the_last_frame_are_nothing_that_waits(
    server: ValkeyServer, client: redis.Redis
) -> None:
    assert looked(server) == ""
    leave_a_shard(client)
    assert looked(server) == "1:0:2"
    for number in range(PAGE + 3):
        client.xadd("ticks:{b}", {"m": b"{}"}, id=f"10-{number}")
    assert looked(server) == "1:0:2"
    client.xadd("ticks:{b}", {"f": b"a frame"}, id="11-0")
    assert looked(server) == "1:1:2"


def test_more_marks_than_are_looked_through_may_hide_a_frame(server: ValkeyServer, client: redis.Redis) -> None:
    for number in range(PAGE * MOST_PAGES + 1):
        client.xadd("ticks:{c}", {"m": b"{}"}, id=f"10-{number}")
    assert looked(server) == "2:1:0"


def test_a_stream_without_a_group_was_never_stored(server: ValkeyServer, client: redis.Redis) -> None:
    client.xadd("closed:{c}", {"json": "{}"})
    client.xadd("signals:{c}", {"json": "{}"})
    client.xadd("signals:{c}", {"json": "{}"})
    assert looked(server) == "2:0:3"


def test_it_is_looked_at_now_and_then_and_an_error_changes_nothing(server: ValkeyServer, client: redis.Redis) -> None:
    left = LeftShards(client, KEYS, 1)
    assert left.fields(100.0) == {"left_shards": ""}
    leave_a_shard(client)
    assert left.fields(159.0) == {"left_shards": ""}
    assert left.fields(160.0) == {"left_shards": "1:0:2"}
    client.delete("closed:{b}")
    client.rpush("closed:{b}", "another type")
    assert left.fields(220.0) == {"left_shards": "1:0:2"}


def test_a_connection_that_comes_back_publishes_again(server: ValkeyServer, client: redis.Redis) -> None:
    """After its keys were deleted as the doctor asks."""
    with closing(open_redis(server.url_of("candle_worker"))) as worker:
        before = Outbox(worker, KEYS, KEYS.closed(1), 1, 10)
        assert before.publish([Message("5-1", b"{}")]) == 1
        names = shlex.split(FREE.partition(" DEL ")[2].rstrip("."))
        assert client.delete(*names) == 2  # what the worker made
        after = Outbox(worker, KEYS, KEYS.closed(1), 1, 10)
        assert after.publish([Message("6-1", b"{}")]) == 1
    assert client.xlen("closed:{b}") == 1
