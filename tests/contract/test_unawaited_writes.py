"""While entries wait, the candle store does not wait for replies: no snapshot goes beyond a write that failed."""

from __future__ import annotations

import pytest
import redis

from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.shown_candles import candle_hash, shown_candles
from utils.candles.encoding import ClosedRecords
from utils.candles.engine import CandleEngine
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.keys import Keys
from utils.stores.candle_store import CandleStore
from utils.stores.publishing import OutboxMovedError
from utils.stores.redis_connection import open_redis

SETTINGS = ReferenceSettings(timeframes=(("1m", 60_000), ("1d", 0)), z_window=30)
KEYS = Keys("later:")
SEED = 7


@pytest.fixture
def behind(client: redis.Redis, redis_url: str) -> CandleStore:
    """A store that knows of entries that wait."""
    for index in range(100):
        client.xadd(KEYS.ticks(0), {"f": b""}, id=f"{1_700_000_000_000 + index}-0")
    store = CandleStore(open_redis(redis_url), KEYS, 10_000, 1_000)
    store.read_ticks({0: ZERO_ID}, 0, 10)
    assert store.is_behind
    return store


def worked_engine() -> tuple[CandleEngine, list[ClosedRecords]]:
    print(f"seed {SEED}")
    engine = new_engine([who.reference for who in WHO], SETTINGS)
    feed = random_feed(SEED, "09:13:00", 600)
    output = engine.process(
        [Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload) for entry in feed]
    )
    assert sum(map(len, output.records)) > 20
    return engine, output.records


def write_round(store: CandleStore, engine: CandleEngine) -> None:
    store.write_live(0, engine.rows, *engine.next_live(), engine.position)
    while not engine.is_live_round_done:
        store.write_live(0, engine.rows, *engine.next_live(), engine.position)


def test_what_was_not_waited_for_is_there_when_the_snapshot_is(client: redis.Redis, behind: CandleStore) -> None:
    engine, closed = worked_engine()
    behind.publish_closed(0, closed)
    write_round(behind, engine)
    behind.save_state(0, engine.snapshot())
    assert client.xlen(KEYS.closed(0)) == sum(map(len, closed))
    for candle, is_closed in shown_candles(engine):
        held = client.hgetall(KEYS.candle(candle.symbol, candle.timeframe))
        assert {name.decode(): value.decode() for name, value in held.items()} == candle_hash(candle, is_closed)  # type: ignore[union-attr]


def test_no_snapshot_after_a_live_write_that_failed(client: redis.Redis, behind: CandleStore) -> None:
    engine, _ = worked_engine()
    client.set(KEYS.tick(WHO[0].reference.symbol), "no hash")
    write_round(behind, engine)  # nobody has waited for the error
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        behind.save_state(0, engine.snapshot())
    assert behind.load_state(0) is None


def test_no_snapshot_after_a_link_that_broke(client: redis.Redis, behind: CandleStore) -> None:
    engine, _ = worked_engine()
    behind.live_view(0, engine.position)
    client.client_pause(60_000, all=False)  # what is sent now is never done
    behind.write_live(0, engine.rows, *engine.next_live(), engine.position)
    client.client_kill_filter(_type="normal", skipme=True)
    client.client_unpause()
    with pytest.raises(redis.ConnectionError):
        behind.save_state(0, engine.snapshot())
    assert behind.load_state(0) is None


def test_no_snapshot_after_closes_that_redis_forgot(client: redis.Redis, behind: CandleStore) -> None:
    engine, closed = worked_engine()
    behind.publish_closed(0, closed)
    client.delete(KEYS.published(0), KEYS.closed(0))
    with pytest.raises(OutboxMovedError):
        behind.save_state(0, engine.snapshot())
    assert behind.load_state(0) is None
    behind.publish_closed(0, closed)
    behind.save_state(0, engine.snapshot())
    assert client.xlen(KEYS.closed(0)) == sum(map(len, closed))
