"""The streams of frames on a real server: what is added is there once, in order, or the caller gets an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import redis

from tests.shared.servers import EmbeddedServer, valkey_server
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.keys import Keys
from utils.market.instruments import Instrument, SessionClass
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import StreamMovedError, TickStream

START_MS = 1_795_000_000_000
MOST = EntryId(START_MS, 18_000_000_000)


def entries(first: int, last: int, size: int = 10) -> list[Entry]:
    kinds = (Kind.FRAME, Kind.TEXT, Kind.MARK)
    return [
        Entry(EntryId(START_MS + at // 2, at % 2), kinds[at % 3], at.to_bytes(4, "big") * (size // 4))
        for at in range(first, last)
    ]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture
def client(server: EmbeddedServer) -> Iterator[redis.Redis]:
    client = open_redis(server.url)
    client.flushall()
    yield client
    client.config_set("maxmemory", 0)
    client.close()


@pytest.fixture
def stream(client: redis.Redis) -> TickStream:
    return TickStream(client, Keys("test:"))


def held(client: redis.Redis, shard: int = 0) -> list[Entry]:
    found: Any = client.xrange(Keys("test:").ticks(shard))
    return [
        Entry(EntryId.parse(id_), Kind(kind.decode()), payload)
        for id_, fields in found
        for kind, payload in fields.items()
    ]


def test_entries_keep_their_ids_kinds_and_bytes(stream: TickStream, client: redis.Redis) -> None:
    assert stream.last_id(0) is None
    some = entries(0, 700)
    stream.add(0, some[:500], ZERO_ID)
    stream.add(0, some[500:], some[499].id)
    assert held(client) == some
    assert stream.last_id(0) == some[-1].id
    assert stream.last_id(1) is None
    high = Entry(MOST, Kind.FRAME, bytes(range(256)))
    stream.add(1, [high], ZERO_ID)
    assert held(client, 1) == [high]
    assert stream.last_id(1) == MOST


@pytest.mark.parametrize("left_at", [ZERO_ID, EntryId(START_MS, 0), EntryId(START_MS + 400, 1)])
def test_a_stream_that_moved_takes_nothing(stream: TickStream, client: redis.Redis, left_at: EntryId) -> None:
    stream.add(0, entries(0, 10), ZERO_ID)
    with pytest.raises(StreamMovedError, match=r"test:ticks:\{a\}"):
        stream.add(0, entries(20, 30), left_at)
    assert held(client) == entries(0, 10)


def test_a_stream_that_is_gone_takes_nothing(stream: TickStream, client: redis.Redis) -> None:
    stream.add(0, entries(0, 10), ZERO_ID)
    client.flushall()
    with pytest.raises(StreamMovedError):
        stream.add(0, entries(10, 20), entries(0, 10)[-1].id)
    assert stream.last_id(0) is None


def test_adding_it_again_changes_nothing(stream: TickStream, client: redis.Redis) -> None:
    """After a time-out it is open whether the server did it."""
    stream.add(0, entries(0, 10), ZERO_ID)
    stream.add(0, entries(0, 10), ZERO_ID)
    with pytest.raises(StreamMovedError):
        stream.add(0, entries(0, 8), ZERO_ID)
    assert held(client) == entries(0, 10)


def test_a_server_out_of_memory_takes_all_or_nothing(stream: TickStream, client: redis.Redis) -> None:
    stream.add(0, entries(0, 10), ZERO_ID)
    used = int(client.info("memory")["used_memory"])
    client.config_set("maxmemory", used + 300_000)
    at = 10
    with pytest.raises(redis.ResponseError, match=r"OOM|maxmemory"):
        while at < 5000:
            stream.add(0, entries(at, at + 20, 10_000), entries(at - 1, at)[0].id)
            at += 20
    assert len(held(client)) == at
    client.config_set("maxmemory", 0)
    stream.add(0, entries(at, at + 20), entries(at - 1, at)[0].id)
    assert [entry.id for entry in held(client)] == [entry.id for entry in entries(0, at + 20)]


def test_the_last_id_outlives_a_trim(stream: TickStream, client: redis.Redis) -> None:
    some = entries(0, 400)
    stream.add(0, some, ZERO_ID)
    dropped = stream.trim_older(0, START_MS + 150)
    rest = held(client)
    assert 0 < dropped == 400 - len(rest)
    assert rest == some[dropped:]
    assert rest[0].id.ms <= START_MS + 150, "nothing younger may go"
    client.xtrim("test:ticks:{a}", maxlen=0)
    assert stream.last_id(0) == some[-1].id
    stream.add(0, entries(400, 410), some[-1].id)


def test_bytes_bound_a_stream(stream: TickStream, client: redis.Redis) -> None:
    some = entries(0, 2000, 5000)
    for start in range(0, 2000, 100):
        stream.add(0, some[start : start + 100], some[start - 1].id if start else ZERO_ID)
    limit = 4_000_000
    assert (client.memory_usage("test:ticks:{a}") or 0) > limit
    dropped = stream.trim_to_bytes(0, limit)
    assert 0 < dropped < 2000
    assert held(client) == some[dropped:]
    used = client.memory_usage("test:ticks:{a}") or 0
    assert limit * 0.6 < used <= limit
    assert stream.trim_to_bytes(0, limit) == 0
    assert stream.trim_to_bytes(7, limit) == 0


def test_instruments_replace_each_other(stream: TickStream, client: redis.Redis) -> None:
    def stock(name: str) -> Instrument:
        return Instrument(257, "NSE", name, "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)

    stream.store_instruments([stock("AAA"), stock("BBB")])
    stream.store_instruments([stock("BBB"), stock("CCC")])
    found: Any = client.hgetall("test:instruments")
    assert sorted(found) == [b"NSE:BBB", b"NSE:CCC"]
    assert Instrument.from_dict(orjson.loads(found[b"NSE:BBB"])) == stock("BBB")
    stream.store_instruments([])
    assert client.hgetall("test:instruments") == {}
