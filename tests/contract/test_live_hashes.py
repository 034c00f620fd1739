"""The live view in a real Valkey: at any time each hash is what the engine's state has, full and nothing else."""

from __future__ import annotations

import random
from typing import Any

import pytest
import redis

from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.shown_candles import candle_hash, shown_candles, tick_hash
from utils.candles.engine import CandleEngine
from utils.journal.entries import Entry, EntryId, Kind
from utils.keys import Keys
from utils.stores.candle_store import CandleStore

SETTINGS = ReferenceSettings(timeframes=(("5s", 5_000), ("1m", 60_000), ("75m", 4_500_000), ("1d", 0)), z_window=30)
KEYS = Keys("live:")


def entries_of(seed: int, seconds: int = 600) -> list[Entry]:
    feed = random_feed(seed, "09:13:00", seconds)
    return [Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload) for entry in feed]


def engine_of() -> CandleEngine:
    return new_engine([who.reference for who in WHO], SETTINGS)


def write_all(store: CandleStore, engine: CandleEngine) -> int:
    """Portions until the round is done; returns how many commands it took."""
    commands = 0
    while True:
        commands += store.write_live(0, engine.rows, *engine.next_live(), engine.position)
        if engine.is_live_round_done:
            return commands


def hashes(client: redis.Redis, kind: str) -> dict[str, dict[str, str]]:
    names: Any = client.keys(f"live:{kind}:*")
    return {
        name.decode(): {field.decode(): value.decode() for field, value in client.hgetall(name).items()}  # type: ignore[union-attr]
        for name in names
    }


def expected_candles(engine: CandleEngine) -> dict[str, dict[str, str]]:
    return {
        KEYS.candle(candle.symbol, candle.timeframe): candle_hash(candle, closed)
        for candle, closed in shown_candles(engine)
    }


@pytest.mark.parametrize("seed", range(4))
def test_each_hash_is_the_whole_candle(client: redis.Redis, seed: int) -> None:
    dice = random.Random(seed)
    store, engine, entries = CandleStore(client, KEYS, 10_000, 1_000), engine_of(), entries_of(seed)
    ticks: dict[str, dict[str, str]] = {}
    at = 0
    while at < len(entries):
        step = dice.choice([1, 3, 40])
        engine.process(entries[at : at + step])
        at += step
        for row in engine.shard.instruments["touched"].nonzero()[0].tolist():
            name = KEYS.tick(engine.instruments[row].symbol)
            ticks[name] = ticks.get(name, {}) | tick_hash(engine, row)
        write_all(store, engine)
        if dice.random() < 0.2:
            assert hashes(client, "candle") == expected_candles(engine)
            assert hashes(client, "tick") == ticks
    assert hashes(client, "candle") == expected_candles(engine)
    assert any("oi" not in tick for tick in ticks.values())
    assert len(expected_candles(engine)) == 4 * len(engine.instruments) > 0


def test_nothing_new_takes_no_command(client: redis.Redis) -> None:
    store, engine = CandleStore(client, KEYS, 10_000, 1_000), engine_of()
    engine.process(entries_of(1, 120))
    assert write_all(store, engine) > 0
    assert write_all(store, engine) == 0


@pytest.mark.parametrize("every", [1, 10, 64])
def test_what_another_wrote_is_corrected_after_some_refreshes(client: redis.Redis, every: int) -> None:
    """A worker that stood still may still write once: fields that do not change any more would stay wrong."""
    store, engine, entries = CandleStore(client, KEYS, 10_000, 1_000), engine_of(), entries_of(2)
    engine.process(entries[:400])
    write_all(store, engine)
    for name in client.keys("live:candle:*"):
        client.hset(name, mapping={"symbol": "NSE:OTHER", "start": "never", "open": "0", "high": "0", "oi": "77"})
    for index in range(1, 65 + every):
        engine.shard.open["dirty"] = engine.shard.last["dirty"] = index % every == 0
        write_all(store, engine)
    assert hashes(client, "candle") == expected_candles(engine)


def test_all_is_published_again_when_asked_to(client: redis.Redis) -> None:
    store, engine, entries = CandleStore(client, KEYS, 10_000, 1_000), engine_of(), entries_of(3)
    engine.process(entries)
    write_all(store, engine)
    before = store.live_view(0, engine.position)
    client.flushall()
    engine.shard.open["dirty"] = engine.shard.last["dirty"] = 1
    write_all(store, engine)
    engine.forget_published()
    engine.shard.open["dirty"] = engine.shard.last["dirty"] = 1
    write_all(store, engine)  # refused: what it was to follow is not there any more
    assert store.live_view(0, engine.position) not in (None, before)
    engine.mark_all_changed()
    write_all(store, engine)
    assert hashes(client, "candle") == expected_candles(engine)
