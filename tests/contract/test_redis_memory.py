"""What everything in Redis takes with the default limits, measured on a few instruments and scaled: REDIS_MAXMEMORY
holds it, for as many instruments as one connection takes, and, as the README wants it, for three.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
import redis

from tests.shared.compose_file import REPO, filled_in, services
from tests.shared.servers import valkey_server
from utils.candles.shard_state import grow, new_shard
from utils.indicators.table import IndicatorTable
from utils.keys import Keys
from utils.market.candle import Candle, Source, TimedBy
from utils.runtime.settings import INSTRUMENTS_PER_CONNECTION, Settings
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import TickStream

FEW = 2_000
ENTRIES = 5_000
TIMEFRAMES = 7
PACKET_BYTES = 184
WHEN = "2026-11-20T11:00:35+05:30"
UNITS = {"kb": 10, "mb": 20, "gb": 30, "k": 10, "m": 20, "g": 30}

CANDLE: dict[str, Any] = {
    "symbol": "NFO:BANKNIFTY26NOV50000CE",
    "timeframe": "15m",
    "token": 12345678,
    "start": WHEN,
    "end": WHEN,
    "t": 1795152635000,
    "end_t": 1795152695000,
    "volume": 1234567,
    "oi": 1234567,
    "ticks": 123,
    "rev": 0,
    "complete": "true",
    "closed": "true",
    "source": "live",
    "timed_by": "exchange",
}
CANDLE_ID = "NFO:BANKNIFTY26NOV50000CE|15m|001795152635000"
INDICATORS = [f"indicator_{n:02}" for n in range(11)]


def size(text: str) -> int:
    """`1536mb` in bytes."""
    number = text.rstrip("bgkm")
    return int(number) << UNITS[text[len(number) :]]


@dataclass(frozen=True)
class Measured:
    """Bytes in a real server: of one hash of each kind, of one entry of each stream."""

    candle: float
    indicators: float
    tick: float
    instrument: float
    closed: float
    signal: float
    rejection: float


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        client = open_redis(server.url)
        yield client
        client.close()


@pytest.fixture(scope="module")
def measured(client: redis.Redis) -> Measured:
    dice = random.Random(20261120)

    def price() -> float:
        return round(dice.uniform(100, 30_000), 2)

    def live_candle() -> dict[str, Any]:
        return CANDLE | {name: price() for name in ("open", "high", "low", "close", "vwap")}

    def tick() -> dict[str, Any]:
        prices = ("last_price", "average_price", "day_open", "day_high", "day_low", "previous_close", "bid", "ask")
        whole = {"volume": 1234567, "last_quantity": 75, "oi": 123456, "t": 1795152635123, "token": 12345678}
        texts = dict.fromkeys(("last_trade_time", "exchange_time", "received", "symbol"), WHEN)
        return whole | texts | {name: price() for name in prices}

    def indicators() -> dict[str, Any]:
        return {"t": 1795152635000, "start": WHEN, **{name: dice.uniform(100, 30_000) for name in INDICATORS}}

    def closed() -> bytes:
        return orjson.dumps({"_id": CANDLE_ID, "k": CANDLE_ID, **live_candle()})

    def signal() -> bytes:
        content = {"_id": f"momentum|{CANDLE_ID}|LONG", "k": f"momentum|{CANDLE_ID}|LONG", "why": ["a condition"] * 6}
        return orjson.dumps(content | live_candle() | indicators())

    def rejection() -> bytes:
        return orjson.dumps({"reason": "zscore", "received": WHEN, "packet": "ab" * PACKET_BYTES, "token": 12345678})

    return Measured(
        _a_hash(client, "candle", live_candle),
        _a_hash(client, "indicators", indicators),
        _a_hash(client, "tick", tick),
        _an_instrument(client),
        _an_entry(client, "closed", closed),
        _an_entry(client, "signals", signal),
        _an_entry(client, "rejected", rejection),
    )


def _used(client: redis.Redis) -> int:
    """Without what is on its way: buffers of clients shrink when Redis has time."""
    memory: Any = client.info("memory")
    return int(memory["used_memory"]) - int(memory["mem_clients_normal"])


def _a_hash(client: redis.Redis, kind: str, fields: Callable[[], Mapping[str, Any]]) -> float:
    before = _used(client)
    for n in range(FEW):
        items = [part for pair in fields().items() for part in pair]
        client.hset(f"{kind}:NFO:BANKNIFTY26NOV{50_000 + n}CE:15m", items=items)
    return (_used(client) - before) / FEW


def _an_entry(client: redis.Redis, stream: str, body: Callable[[], bytes]) -> float:
    before, pipeline = _used(client), client.pipeline(transaction=False)
    for n in range(ENTRIES):
        pipeline.xadd(stream, {"json": body()}, id=f"{1795152635000 + n // 50}-{n % 50 + 1}")
    pipeline.execute()
    return (_used(client) - before) / ENTRIES


def _an_instrument(client: redis.Redis) -> float:
    before = _used(client)
    about = {"token": 12345678, "exchange": "NFO", "tradingsymbol": "BANKNIFTY26NOV50000CE", "name": "BANKNIFTY"}
    more = {"segment": "NFO-OPT", "instrument_type": "CE", "expiry": "2026-11-26", "tick_size": 0.05, "lot_size": 35}
    for n in range(FEW):
        body = orjson.dumps({**about, **more, "session_class": "index_derivative"})
        client.hset("instruments", f"NFO:BANKNIFTY26NOV{50_000 + n}CE", body)
    return (_used(client) - before) / FEW


def candle_state_bytes(instruments: int) -> int:
    shard = grow(new_shard([60_000] * TIMEFRAMES, 120), FEW)
    arrays = (shard.instruments, shard.windows, shard.latest, shard.open, shard.last, shard.due)
    return sum(array.nbytes for array in arrays) * instruments // FEW


def signal_state_bytes(rows: int) -> int:
    table = IndicatorTable()
    table.update([candle_of(f"NSE:X{n}") for n in range(FEW)])
    return sum(array.nbytes for array in table.state()) * rows // FEW


def candle_of(symbol: str) -> Candle:
    prices, counts = (100.0, 100.0, 100.0, 100.0), (1, None, 100.0, 1)
    whence = (True, Source.LIVE, 0, TimedBy.EXCHANGE)
    return Candle(symbol, "1m", 1, 1_795_146_300_000, 1_795_146_360_000, *prices, *counts, *whence)


def estimate(measured: Measured, settings: Settings) -> dict[str, float]:
    """Bytes, by what they are for."""
    instruments, shards = len(settings.symbols), settings.shards
    rows = instruments * len(settings.timeframes)
    states = candle_state_bytes(instruments) + signal_state_bytes(rows)
    return {
        "frames": shards * settings.stream_max_bytes,
        "live hashes": rows * (measured.candle + measured.indicators)
        + instruments * (measured.tick + measured.instrument),
        "snapshots": states,
        "snapshots on their way": 2 * states / shards,
        "closed candles": shards * settings.closed_max_entries * measured.closed,
        "signals": settings.signals_max_entries * measured.signal,
        "rejected": settings.rejected_max_entries * measured.rejection,
    }


def stated_maxmemory(given: Mapping[str, str] = {}) -> int:
    command = [filled_in(str(word), given) for word in services()["redis"]["command"]]
    return size(command[command.index("--maxmemory") + 1])


def what_the_readme_gives_for(instruments: int) -> dict[str, str]:
    """The lines for `.env` that it wants for so many."""
    (sentence,) = re.findall(rf"{instruments} want .*", (REPO / "README.md").read_text())
    return dict(re.findall(r"`([A-Z_]+)=(\w+)`", sentence))


@pytest.mark.parametrize("instruments", [0, INSTRUMENTS_PER_CONNECTION, 3 * INSTRUMENTS_PER_CONNECTION])
def test_the_defaults_fit_into_the_memory_that_redis_may_take(
    measured: Measured, instruments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0: the default ones. More than one connection has wants what the README has."""
    if instruments:
        monkeypatch.setenv("INSTRUMENTS", ",".join(f"NSE:X{n}" for n in range(instruments)))
    settings = Settings.load(_env_file=None)
    shards = max(1, instruments // INSTRUMENTS_PER_CONNECTION)
    assert (settings.shards, len(settings.timeframes)) == (shards, TIMEFRAMES)
    given = what_the_readme_gives_for(instruments) if shards > 1 else {}
    needs = estimate(measured, settings)
    assert needs["snapshots"] > 15_000 * len(settings.symbols)
    print({name: f"{bytes_ / 1e6:.0f} MB" for name, bytes_ in needs.items()})
    assert sum(needs.values()) <= stated_maxmemory(given), needs
    assert needs["live hashes"] > 450 * len(settings.symbols) * TIMEFRAMES


def test_the_container_has_room_beside_it() -> None:
    """The allocator takes 1.21 times what Redis counts, and 1.29 while a fork stores everything in a session."""
    for given in ({}, what_the_readme_gives_for(3 * INSTRUMENTS_PER_CONNECTION)):
        limit = filled_in(str(services()["redis"]["mem_limit"]), given)
        assert size(limit) >= 1.33 * stated_maxmemory(given)


def test_frames_grow_no_larger_than_their_limit_allows(client: redis.Redis) -> None:
    """The limit is of memory, not of payload: MEMORY USAGE looks at some nodes, and these are of mixed sizes."""
    dice, limit = random.Random(3), 8 << 20
    for n in range(4_000):
        client.xadd("ticks:{a}", {"f": dice.randbytes(dice.choice((1, 186, 9_300)))}, id=f"{1_795_000_000_000 + n}-0")
    TickStream(client, Keys()).trim_to_bytes(0, limit)
    assert 0.5 * limit < (client.memory_usage("ticks:{a}", samples=0) or 0) < 1.15 * limit
