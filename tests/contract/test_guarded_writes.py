"""A worker that stood still between its checks and its write overwrites nothing that is newer."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.servers import ValkeyServer
from tests.shared.shown_candles import candle_hash, shown_candles
from utils.candles.engine import CandleEngine
from utils.indicators import INDICATOR_NAMES
from utils.indicators.values import IndicatorValues, LatestValues
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.keys import Keys
from utils.signals.values import PendingValues
from utils.stores.candle_store import CandleStore
from utils.stores.guarded_writes import GuardedWrites
from utils.stores.redis_connection import command_at, open_redis, pack
from utils.stores.signal_store import SignalStore

KEYS = Keys()
NAME = KEYS.written("candle_worker", 0)
HASH = KEYS.tick("NSE:INFY")


def at(ms: int) -> EntryId:
    return EntryId(ms, 0)


def hset(value: int) -> bytes:
    return pack("HSET", HASH, "value", value)


@pytest.fixture
def own(valkey: ValkeyServer) -> redis.Redis:
    """As the candle worker's user: what it needs it may."""
    return open_redis(valkey.url_of("candle_worker"))


def written(client: redis.Redis) -> list[Any]:
    return [client.hget(HASH, "value"), client.get(NAME)]


def test_what_is_newer_stays(own: redis.Redis, client: redis.Redis) -> None:
    """Wherever the stale one stands still: before it looks, and between its look and its write."""
    stale, other = GuardedWrites(own, NAME), GuardedWrites(own, NAME)
    assert stale.view(at(5)) is not None
    assert stale.write(hset(5), 1, at(5))
    stale.settle()
    seen = stale.view(at(6))
    assert seen is not None  # and here it stands still
    assert other.write(hset(9), 1, at(9))
    other.settle()
    assert stale.write(hset(6), 1, at(6))  # it cannot know yet
    stale.settle()
    assert written(client) == [b"9", b"9-0"]
    assert stale.view(at(6)) is None
    assert not stale.write(hset(6), 1, at(6))
    resumed = stale.view(at(9))
    assert resumed is not None and resumed is not seen
    assert stale.write(hset(10), 1, at(10))
    stale.settle()
    assert written(client) == [b"10", b"10-0"]
    assert 0 < client.ttl(NAME) <= 86_400


def test_an_older_one_in_between_is_seen(own: redis.Redis, client: redis.Redis) -> None:
    """It was not newer, and yet what we sent was refused: all has to be written again."""
    ours, other = GuardedWrites(own, NAME), GuardedWrites(own, NAME)
    before = ours.view(at(9))
    assert other.write(hset(3), 1, at(3))
    other.settle()
    assert ours.write(hset(9), 1, at(9))
    ours.settle()
    assert written(client) == [b"3", b"3-0"]
    after = ours.view(at(9))
    assert after is not None and after is not before
    assert ours.write(hset(9), 1, at(9))
    ours.settle()
    assert written(client) == [b"9", b"9-0"]


def test_a_new_connection_watches_anew(own: redis.Redis, client: redis.Redis) -> None:
    ours, other = GuardedWrites(own, NAME), GuardedWrites(own, NAME)
    before = ours.view(at(5))
    other.write(hset(9), 1, at(9))
    other.settle()
    ours.forget()
    assert ours.view(at(5)) is None
    assert ours.view(at(9)) not in (None, before)


def test_an_error_inside_is_raised_with_its_key(own: redis.Redis, client: redis.Redis) -> None:
    client.set(HASH, "no hash")
    ours = GuardedWrites(own, NAME)
    ours.write(pack("HSET", KEYS.tick("NSE:A"), "value", 1) + hset(2), 2, at(5))
    with pytest.raises(redis.ResponseError, match=f"WRONGTYPE .* in HSET {HASH}"):
        ours.settle()
    client.delete(HASH)
    ours.write(hset(3), 1, at(5))
    ours.settle()
    assert client.hget(HASH, "value") == b"3"


def test_a_missing_right_is_raised(own: redis.Redis) -> None:
    ours = GuardedWrites(own, NAME)
    ours.write(pack("HSET", "not:ours", "value", 1), 1, at(5))
    with pytest.raises(redis.ResponseError, match="No permissions"):
        ours.settle()


def test_what_the_key_holds_may_be_anything(own: redis.Redis, client: redis.Redis) -> None:
    client.set(NAME, "x")
    ours = GuardedWrites(own, NAME)
    assert ours.write(hset(1), 1, ZERO_ID)
    ours.settle()
    assert written(client) == [b"1", b"0-0"]


def test_the_words_of_a_packed_command_come_back() -> None:
    packed = pack("HSET", "a", "b", b"\r\n$3") + pack("HDEL", "a", "") + pack("GET", "k")
    assert [command_at(packed, index) for index in range(3)] == [
        [b"HSET", b"a", b"b", b"\r\n$3"],
        [b"HDEL", b"a", b""],
        [b"GET", b"k"],
    ]


# -- the two workers' views


FEED = [
    Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload)
    for entry in random_feed(11, "09:13:00", 600)
]
SETTINGS = ReferenceSettings(timeframes=(("5s", 5_000), ("1m", 60_000)))


class Worker:
    """A shard's live view, as data_handler writes it."""

    def __init__(self, client: redis.Redis) -> None:
        self.store = CandleStore(client, KEYS, 10_000, 1_000)
        self.engine: CandleEngine = new_engine([who.reference for who in WHO], SETTINGS)
        self._published_over: object = None

    def take(self, entries: list[Entry]) -> None:
        self.engine.process(entries)

    def refresh(self) -> None:
        view = self.store.live_view(0, self.engine.position)
        while view is not None:
            if self._published_over is not None and view is not self._published_over:
                self.engine.mark_all_changed()
            self._published_over = view
            self.store.write_live(0, self.engine.rows, *self.engine.next_live(), self.engine.position)
            if self.engine.is_live_round_done:
                return
            view = self.store.live_view(0, self.engine.position)


def shown(client: redis.Redis) -> dict[str, dict[str, str]]:
    names: Any = client.keys("candle:*")
    found: dict[str, Any] = {name.decode(): client.hgetall(name) for name in names}
    return {name: {a.decode(): b.decode() for a, b in fields.items()} for name, fields in found.items()}


def expected(engine: CandleEngine) -> dict[str, dict[str, str]]:
    return {
        KEYS.candle(candle.symbol, candle.timeframe): candle_hash(candle, closed)
        for candle, closed in shown_candles(engine)
    }


def test_a_stale_worker_leaves_the_live_view_as_it_is(own: redis.Redis, client: redis.Redis) -> None:
    half = len(FEED) // 2
    stale, other = Worker(own), Worker(own)
    stale.take(FEED[: half // 2])
    stale.refresh()
    stale.take(FEED[half // 2 : half])
    assert stale.store.live_view(0, stale.engine.position) is not None  # and here it stands still
    other.take(FEED)
    other.refresh()
    assert shown(client) == expected(other.engine)
    stale.refresh()
    stale.refresh()
    assert shown(client) == expected(other.engine)
    stale.take(FEED[half:])
    stale.refresh()
    assert shown(client) == expected(stale.engine) == expected(other.engine)


def test_a_worker_that_recovers_does_not_take_the_live_view_back(own: redis.Redis, client: redis.Redis) -> None:
    """It reads on from a snapshot: until it is where the last one was, that one's view stays."""
    first, second = Worker(own), Worker(own)
    first.take(FEED[:-200])
    first.refresh()
    before = shown(client)
    for end in range(20, len(FEED) - 200, 20):
        second.take(FEED[end - 20 : end])
        second.refresh()
        assert shown(client) == before
    second.take(FEED)
    second.refresh()
    assert shown(client) == expected(second.engine)


def values(symbol: str, number: float) -> LatestValues:
    return LatestValues(symbol, "1m", 60_000, IndicatorValues(*(number for _ in INDICATOR_NAMES)))


def rsi(client: redis.Redis, symbol: str) -> Any:
    return client.hget(KEYS.indicators(symbol, "1m"), "rsi_14")


def test_a_stale_worker_leaves_the_indicator_values_as_they_are(valkey: ValkeyServer, client: redis.Redis) -> None:
    url = valkey.url_of("signal_worker")
    stores = [SignalStore(open_redis(url), KEYS, 1, 100) for _ in range(2)]
    stale, other = (PendingValues(store, 0) for store in stores)
    stale.add([values("NSE:A", 1.5)])
    stale.write(list, at(1))
    other.add([values("NSE:A", 9.5), values("NSE:B", 9.5)])
    other.write(list, at(9))
    stores[1].flush_values()
    for ms in (2, 3):
        stale.add([values("NSE:A", 2.5)])
        stale.write(list, at(ms))
        stores[0].flush_values()
        assert (rsi(client, "NSE:A"), rsi(client, "NSE:B")) == (b"9.5", b"9.5")
    stale.add([values("NSE:A", 10.5)])
    stale.write(lambda: [values("NSE:A", 10.5), values("NSE:B", 9.0)], at(10))
    stores[0].flush_values()
    assert (rsi(client, "NSE:A"), rsi(client, "NSE:B")) == (b"10.5", b"9.0")  # all of them: any may be stale


def test_the_two_roles_do_not_refuse_each_other(valkey: ValkeyServer, client: redis.Redis) -> None:
    candles, signals = (
        GuardedWrites(open_redis(valkey.url_of(role)), KEYS.written(role, 0))
        for role in ("candle_worker", "signal_worker")
    )
    assert candles.write(hset(1), 1, at(50))
    candles.settle()
    assert signals.write(pack("HSET", KEYS.indicators("NSE:A", "1m"), "t", 1), 1, at(5))
    signals.settle()
    assert client.hget(KEYS.indicators("NSE:A", "1m"), "t") == b"1"
