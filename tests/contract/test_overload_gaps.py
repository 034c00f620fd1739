"""What a limit forces out of a stream before it was read: counted, logged, an outage for the candles it touches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tests.contract.test_candle_worker import environment, health, until, worker
from tests.reference.case_building import STOCK, at, cached, full, pack
from tests.shared.servers import EmbeddedServer, mongo_server, valkey_server
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, read_mark
from utils.keys import Keys
from utils.stores.candle_store import CandleStore
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import StreamFullError, TickStream

SUBSCRIBED = orjson.dumps({"mark": "subscribed", "mode": "full", "instruments": [dict(STOCK.mark)]})
START = at("09:14:00")
CLOCK = b'{"mark":"clock"}'


def entries(first: int, last: int, size: int = 16) -> list[Entry]:
    """One a second, the very first of which subscribes."""
    found = [Entry(EntryId(START + n * 1000, 0), Kind.FRAME, b"\0" * size) for n in range(first, last)]
    return [Entry(found[0].id, Kind.MARK, SUBSCRIBED), *found[1:]] if first == 0 else found


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


def store_on(client: redis.Redis) -> CandleStore:
    return CandleStore(client, Keys(), 10_000, 1_000)


def add(client: redis.Redis, some: Sequence[Entry], after: EntryId = ZERO_ID) -> EntryId:
    stream = TickStream(client, Keys())
    for start in range(0, len(some), 100):
        stream.add(0, some[start : start + 100], after)
        after = some[min(start + 99, len(some) - 1)].id
    return after


def read_all(store: CandleStore, position: EntryId) -> list[Entry]:
    found: list[Entry] = []
    while batch := store.read_ticks({0: position}, 1, 64):
        found += batch[0][1]
        position = found[-1].id
    return found


def exactly(client: redis.Redis, keep: int) -> None:
    client.xtrim("ticks:{a}", maxlen=keep, approximate=False)


def test_without_a_trim_nothing_is_missing(client: redis.Redis) -> None:
    store = store_on(client)
    some = entries(0, 300)
    add(client, some)
    assert read_all(store, ZERO_ID) == some
    assert store.new_gaps() == []


def test_what_was_read_may_go(client: redis.Redis) -> None:
    """All that was read is dropped, and only then comes something new: nothing was lost, over a restart too."""
    store = store_on(client)
    some = entries(0, 300)
    add(client, some[:200])
    assert read_all(store, ZERO_ID) == some[:200]
    store.save_state(0, b"of then")
    exactly(client, 0)
    add(client, some[200:], some[199].id)
    exactly(client, 100)
    for reader in (store, store_on(client)):
        assert reader.load_state(0) == b"of then"
        assert read_all(reader, some[199].id) == some[200:]
        assert reader.new_gaps() == []


@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_dropped_unread_is_counted_and_marked(client: redis.Redis, restarted: bool) -> None:
    store = store_on(client)
    some = entries(0, 300)
    add(client, some[:100])
    assert read_all(store, ZERO_ID) == some[:100]
    store.save_state(0, b"of then")
    add(client, some[100:], some[99].id)
    exactly(client, 50)
    if restarted:
        store = store_on(client)
        store.load_state(0)
    mark, *rest = read_all(store, some[99].id)
    (gap,) = store.new_gaps()
    assert (gap.shard, gap.after, gap.until, gap.entries) == (0, some[99].id, some[250].id, 150)
    assert gap.lost_ms == 151_000
    assert rest == some[250:]
    assert some[99].id < mark.id < some[250].id
    assert (mark.kind, mark.payload) == (Kind.MARK, SUBSCRIBED)
    assert store.new_gaps() == []


def test_a_gap_after_the_newest_subscription_was_read_of_has_down(client: redis.Redis) -> None:
    """The subscription is still in the stream: until then nobody knows who is subscribed."""
    store = store_on(client)
    some = entries(0, 120)
    add(client, some[:50])
    read_all(store, ZERO_ID)
    again = Entry(EntryId(some[110].id.ms, 1), Kind.MARK, SUBSCRIBED)
    add(client, [*some[50:111], again, *some[111:]], some[49].id)
    exactly(client, 30)
    mark = read_all(store, some[49].id)[0]
    assert read_mark(mark.payload)["mark"] == "down"


def test_who_begins_on_a_bounded_stream_is_given_who_is_subscribed(client: redis.Redis) -> None:
    add(client, entries(0, 300))
    exactly(client, 20)
    store = store_on(client)
    mark, *rest = read_all(store, ZERO_ID)
    assert (mark.payload, rest) == (SUBSCRIBED, entries(280, 300))
    assert store.new_gaps() == [], "it was not to read these"


def test_a_snapshot_without_a_count_is_believed_where_it_can_be(client: redis.Redis) -> None:
    """As of an earlier version: a position that is still in the stream has lost nothing."""
    some = entries(0, 300)
    add(client, some)
    exactly(client, 200)
    assert read_all(store_on(client), some[150].id) == some[151:]
    late = store_on(client)
    assert read_all(late, some[50].id)[1:] == some[100:]
    assert [gap.entries for gap in late.new_gaps()] == [100]


def test_a_stream_that_was_made_anew_is_no_gap(client: redis.Redis) -> None:
    store = store_on(client)
    some = entries(0, 300)
    add(client, some[:200])
    read_all(store, ZERO_ID)
    client.delete("ticks:{a}")
    add(client, some)
    assert read_all(store, some[199].id) == some[200:]
    assert store.new_gaps() == []


def test_an_entry_of_somebody_else_is_a_mark_that_is_rejected(client: redis.Redis) -> None:
    client.xadd("ticks:{a}", {"x": "1"}, id=f"{START}-0")
    client.xadd("ticks:{a}", {"f": b"\0", "t": "2"}, id=f"{START}-1")
    found = read_all(store_on(client), ZERO_ID)
    assert [entry.kind for entry in found] == [Kind.MARK, Kind.MARK]
    for entry in found:
        with pytest.raises(ValueError, match=r"."):
            read_mark(entry.payload)


def test_large_frames_are_read_few_at_once(client: redis.Redis) -> None:
    store = store_on(client)
    some = entries(1, 121, size=558_002)
    add(client, some[:60])
    add(client, some[60:], some[59].id)
    position, sizes = ZERO_ID, []
    while batch := store.read_ticks({0: position}, 1, 256):
        sizes.append(len(batch[0][1]))
        position = batch[0][1][-1].id
    assert sum(sizes) == 120
    assert max(sizes) <= 32


def test_a_full_redis_drops_the_oldest_of_a_large_stream_and_goes_on(client: redis.Redis) -> None:
    """Otherwise it would refuse for ever: the trim comes after what is refused."""
    after = add(client, entries(0, 400, size=100_000))
    client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 300_000)
    stream, refused = TickStream(client, Keys()), 0
    for entry in entries(400, 600, size=100_000):
        try:
            stream.add(0, [entry], after)
        except StreamFullError as error:
            assert "oldest entries of ticks:{a} were dropped" in str(error)
            refused += 1
            stream.add(0, [entry], after)
        after = entry.id
    assert refused > 0
    assert stream.last_id(0) == entries(599, 600)[0].id


def test_the_worker_counts_shows_and_marks_the_candles(tmp_path: Path) -> None:
    """Trades each second; the worker is away while a part of them comes and goes."""
    with valkey_server(tmp_path) as valkey, mongo_server(tmp_path) as mongo:
        client = open_redis(valkey.url)
        settings = environment(valkey, mongo, tmp_path) | {"TIMEFRAMES": "1m"}
        feed = _trades(600)
        with worker(settings):
            after = add(client, feed[:200])
            until(lambda: client.exists("state:{a}") > 0, "a snapshot")
            until(lambda: health(client).get("position_0") == str(after), "all is taken")
        add(client, feed[200:], after)
        exactly(client, 150)
        with worker(settings):
            until(lambda: health(client).get("position_0") == str(feed[-1].id), "the rest is taken")
            reported = health(client)
        assert (reported["lost_entries"], reported["lost_ms"]) == ("250", "251000")
        logged: Any = client.xrange("closed:{a}")
        candles = [json.loads(fields[b"json"]) for _, fields in logged]
        final = {candle["start"][11:16]: candle for candle in candles}
        complete = {start for start, document in final.items() if document["complete"]}
        assert {"09:15", "09:16", "09:22"} <= complete
        assert not {"09:17", "09:21"} & complete
        assert "09:18" not in final
        assert all(document["volume"] <= 60 for document in final.values()), (
            "what was traded in the gap is in no candle"
        )
        client.close()


def _trades(seconds: int) -> list[Entry]:
    """From 09:14 on one frame a second, from the open on with a trade of one share."""
    found = [Entry(EntryId(START, 0), Kind.MARK, SUBSCRIBED)]
    for n in range(1, seconds):
        ms = START + n * 1000
        clock = f"09:{14 + n // 60:02}:{n % 60:02}"
        packet = cached(STOCK) if n == 1 else full(STOCK, 100 + n % 3, max(0, n - 59), clock)
        found.append(Entry(EntryId(ms, 0), Kind.FRAME, pack(packet) if n == 1 or n >= 60 else b"\0"))
    return found
