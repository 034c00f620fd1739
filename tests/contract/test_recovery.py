"""What Redis keeps for a worker is damaged, or made for other timeframes: it begins anew, and repeats nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest
import redis

from data_handler import ShardCandles
from tests.reference.inputs import Entry as FedEntry
from tests.reference.random_feed import WHO, random_feed
from tests.shared.servers import ValkeyServer
from utils.journal.entries import Entry, EntryId, Kind
from utils.keys import Keys
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings
from utils.stores.candle_store import CandleStore
from utils.stores.redis_connection import open_redis
from utils.stores.signal_store import SignalStore

KEYS = Keys()
FEED = random_feed(7, "09:13:00", 400)
SYMBOLS = ",".join(who.reference.symbol for who in WHO)


@pytest.fixture
def worker(valkey: ValkeyServer) -> redis.Redis:
    """As the candle worker's own user."""
    return open_redis(valkey.url_of("candle_worker"))


def entries_of(feed: Sequence[FedEntry]) -> list[Entry]:
    return [Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload) for entry in feed]


def candles(client: redis.Redis, timeframes: str) -> ShardCandles:
    settings = Settings.load(_env_file=None, timeframes=timeframes, instruments=SYMBOLS)
    return ShardCandles(0, settings, SessionCalendar.load(), CandleStore(client, KEYS, 100_000, 1_000))


def published(client: redis.Redis) -> list[dict[str, Any]]:
    found: Any = client.xrange(KEYS.closed(0))
    return [orjson.loads(fields[b"json"]) for _, fields in found]


def closing_places(entries: list[Entry], client: redis.Redis, timeframes: str) -> list[int]:
    """How many entries there are up to and with each that closed something."""
    shard = candles(client, timeframes)
    shard.recover()
    return [n + 1 for n, entry in enumerate(entries) if any(map(len, shard.process([entry]).records))]


@pytest.mark.parametrize("after", ["1s,5s,10s,1m", "1s,2s,3s,5s,10s,1m", "10s,1m", "1m,5s,10s"])
def test_other_timeframes_repeat_no_candle(worker: redis.Redis, client: redis.Redis, after: str) -> None:
    entries = entries_of(FEED)
    places = closing_places(entries, worker, "5s,10s,1m")
    assert len(places) > 20
    for place in places[:: len(places) // 8]:
        client.flushall()
        first = candles(worker, "5s,10s,1m")
        first.recover()
        first.process(entries[:place])
        first.snapshot()
        second = candles(worker, after)
        assert "other timeframes" in second.recover().snapshot_refused
        second.process(entries)
        counts = Counter((message["_id"], message["rev"]) for message in published(client))
        assert [key for key, count in counts.items() if count > 1] == []
        assert published(client)[-1]["t"] > entries[place].id.ms - 3_600_000


def test_after_a_crash_amid_an_entry_nothing_is_lost(worker: redis.Redis, client: redis.Redis) -> None:
    """Its snapshot is older: what was not published of that entry is published now."""
    entries = entries_of(FEED)
    place = closing_places(entries, worker, "5s,10s,1m")[10]
    expected = {message["_id"] for message in published(client)}
    client.flushall()
    first = candles(worker, "5s,10s,1m")
    first.recover()
    first.process(entries[: place - 5])
    first.snapshot()
    first.process(entries[place - 5 : place])
    second = candles(worker, "5s,1m,10s")
    second.recover()
    second.process(entries)
    assert {message["_id"] for message in published(client)} == expected


@pytest.mark.parametrize("note", [b"", b"x", b"1-2 x", b"x 3", b"\xff\xfe 9", b"1-2-3 4 5", b" "])
def test_a_damaged_count_is_as_none(worker: redis.Redis, client: redis.Redis, note: bytes) -> None:
    client.set(KEYS.candle_state_counts(0), note)
    assert candles(worker, "1m").recover().position == EntryId(0, 0)


@pytest.mark.parametrize(
    "mark", [{"mark": "x"}, {"id": "x", "mark": "y"}, {"id": "1-1"}, {"id": b"\xff", "mark": ""}]
)
def test_a_damaged_subscription_is_as_none(worker: redis.Redis, client: redis.Redis, mark: Any) -> None:
    """It is looked up where entries were dropped before they were read."""
    store = CandleStore(worker, KEYS, 1_000, 1_000)
    client.hset(KEYS.ticks_subscribed(0), mapping=mark)
    for n in range(1, 5):
        client.xadd(KEYS.ticks(0), {"f": b"\0"}, id=f"{n}-0")
    client.xtrim(KEYS.ticks(0), maxlen=1, approximate=False)
    store.load_state(0)
    ((_, found),) = store.read_ticks({0: EntryId(1, 0)}, 1, 10)
    assert [entry.kind for entry in found] == [Kind.MARK, Kind.FRAME]


def test_an_instrument_that_cannot_be_read_is_left_out(valkey: ValkeyServer, client: redis.Redis) -> None:
    good = WHO[0].reference.symbol
    client.hset(KEYS.instruments(), good, orjson.dumps(dict(WHO[0].mark)))
    for name, body in (("NSE:A", b"{"), ("NSE:B", b"[]"), ("NSE:C", b'{"token": 1}'), ("NSE:D", b"\xff")):
        client.hset(KEYS.instruments(), name, body)
    store = SignalStore(open_redis(valkey.url_of("signal_worker")), KEYS, 1, 100)
    assert list(store.instruments()) == [good]


def test_a_snapshot_without_a_field_is_a_fresh_start(worker: redis.Redis, client: redis.Redis) -> None:
    shard = candles(worker, "1m")
    shard.recover()
    shard.process(entries_of(FEED))
    shard.snapshot()
    content: Any = client.get(KEYS.candle_state(0))
    head, _, body = content.partition(b"\n")
    for name in orjson.loads(head):
        header = {other: value for other, value in orjson.loads(head).items() if other != name}
        client.set(KEYS.candle_state(0), orjson.dumps(header) + b"\n" + body)
        recovery = candles(worker, "1m").recover()
        assert recovery.snapshot_refused and recovery.position == EntryId(0, 0), name
