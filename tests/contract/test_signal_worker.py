"""signal_worker.py as a real process between a real Valkey and MongoDB: killed at any moment it says the same."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import redis

from tests.closed_candles import OPEN_MS, PAST_OPEN_MS, SEED, SYMBOLS, ClosedCandle, past_and_day, say_closed
from tests.contract.test_kite_history import Broker, as_answer, day_rows, serving, trading_days
from tests.servers import ServerUrls, mongo_server, valkey_server
from utils.candle import Candle
from utils.instruments import Instrument, SessionClass
from utils.keys import CANDLES_COLLECTION, SIGNALS_COLLECTION, Keys
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import open_redis

ROOT = Path(__file__).resolve().parents[2]
PAST, DAY = past_and_day()


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {seconds} s"
        time.sleep(0.02)


@dataclass
class World:
    """One run's own names in the servers, its folder, and the process."""

    name: str
    client: redis.Redis
    mongo: MongoStore
    keys: Keys
    folder: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> None:
        self.client.delete(self.keys.health("signal_worker"))  # what an earlier one said
        with (self.folder / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "signal_worker.py")],
                cwd=self.folder,
                env={**self.environment, **more},
                stderr=stderr,
            )

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        code = self.process.wait(30)
        self.process = None
        return code

    def health(self) -> dict[str, str]:
        content: Any = self.client.hgetall(self.keys.health("signal_worker"))
        return {name.decode(): value.decode() for name, value in content.items()}

    def is_at(self, entries: list[ClosedCandle]) -> bool:
        """Whether the worker has taken all of these."""
        health = self.health()
        last = {one.shard: one.entry_id for one in entries}
        return all(health.get(f"position_{shard}") == entry_id for shard, entry_id in last.items())

    def wait_until_at(self, entries: list[ClosedCandle]) -> None:
        wait_for(lambda: self.is_at(entries), f"reading up to {entries[-1].entry_id}")

    def in_stream(self) -> list[dict[str, Any]]:
        content: Any = self.client.xrange(self.keys.signals())
        return [orjson.loads(fields[b"json"]) for _, fields in content]

    def in_mongo(self) -> list[dict[str, Any]]:
        return self.mongo.signals_between(0, 2 * OPEN_MS)

    def in_files(self) -> list[dict[str, Any]]:
        paths = sorted((self.folder / "logs").glob("signals_*.jsonl"))
        return [orjson.loads(line) for path in paths for line in path.read_bytes().splitlines()]

    def values(self) -> dict[bytes, dict[bytes, bytes]]:
        names: Any = self.client.keys(f"{self.keys.prefix}indicators:*")
        return {name.removeprefix(self.keys.prefix.encode()): self._hash(name) for name in names}

    def _hash(self, name: bytes) -> dict[bytes, bytes]:
        content: Any = self.client.hgetall(name)
        return dict(content)


def instrument(symbol: str) -> Instrument:
    exchange, name = symbol.split(":")
    kinds = {"MCX": SessionClass.COMMODITY, "NSE": SessionClass.EQUITY}
    kind = SessionClass.INDEX if "NIFTY" in name else kinds[exchange]
    return Instrument(256_265, exchange, name, name, exchange, "EQ", "", 0.05, 1, kind)


@contextmanager
def world(servers: ServerUrls, folder: Path, name: str, past: list[Candle]) -> Iterator[World]:
    """`past` is in MongoDB, the instruments are known, the market clock stands shortly before the open."""
    environment = {
        **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "NUMBA_CACHE_DIR")},
        "REDIS_URL": servers.redis_url,
        "REDIS_PREFIX": f"{name}:",
        "MONGO_URL": servers.mongo_url,
        "MONGO_DB": name,
        "LOG_DIR": str(folder / "logs"),
        "INSTRUMENTS": ",".join(SYMBOLS),
        "TIMEFRAMES": "1m,5m",
        "CONNECTIONS": "2",
        "WARMUP": "false",
        "SNAPSHOT_SECONDS": "0.3",
        "LEASE_SECONDS": "0.5",
        "MARKET_CLOCK": f"2026-01-02T09:14:00+05:30@1@{time.time()}",
    }
    folder.mkdir()
    keys = Keys(f"{name}:")
    mongo = MongoStore(servers.mongo_url, name)
    one = World(name, open_redis(servers.redis_url), mongo, keys, folder, environment)
    mongo.upsert_candles([candle.as_document() for candle in past])
    tell_instruments(one)
    try:
        yield one
    finally:
        if one.process is not None:
            one.process.kill()
            one.process.wait()
        mongo.close()


def tell_instruments(one: World) -> None:
    known = {symbol: orjson.dumps(instrument(symbol).as_dict()) for symbol in SYMBOLS}
    fields: Any = known
    one.client.hset(one.keys.instruments(), mapping=fields)


def end_quietly(one: World) -> None:
    wait_for(lambda: len(one.in_mongo()) == len({document["_id"] for document in one.in_stream()}), "archiving")
    assert one.end() == 0


@pytest.fixture(scope="module")
def undisturbed(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "undisturbed", "undisturbed", PAST) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        say_closed(one.client, one.keys, DAY)
        one.wait_until_at(DAY)
        end_quietly(one)
        yield one


def same(one: World, other: World) -> None:
    """The same signals in all three places, each once, and the same indicator values."""
    assert by_id(one.in_stream()) == by_id(other.in_stream())
    assert by_id(one.in_files()) == by_id(other.in_files()) == by_id(one.in_stream())
    assert by_id(one.in_mongo()) == by_id(other.in_mongo()) == by_id(one.in_stream())
    assert one.values() == other.values()


def by_id(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {one["_id"]: one for one in documents}
    assert len(found) == len(documents), "a signal was said twice"
    return found


def test_the_undisturbed_run_says_enough_to_compare(undisturbed: World) -> None:
    signals = undisturbed.in_stream()
    print(f"seed {SEED}: {len(signals)} signals")
    assert {one["direction"] for one in signals} == {"LONG", "SHORT"}
    assert {one["timeframe"] for one in signals} == {"1m"}
    assert any("NIFTY" in one["symbol"] and "vwap" not in one for one in signals)
    latest = {one["symbol"]: "23:40" if one["symbol"].startswith("MCX:") else "15:15" for one in signals}
    assert all(one["timestamp"] <= f"2026-01-02T{latest[one['symbol']]}:00+05:30" for one in signals)
    assert len(undisturbed.values()) == 2 * len(SYMBOLS)
    infy = undisturbed.values()[b"indicators:NSE:INFY:1m"]
    assert {b"t", b"start", b"sma_200", b"rsi_14", b"vwap", b"supertrend_direction"} <= set(infy)
    assert b"vwap" not in undisturbed.values()[b"indicators:NSE:NIFTY 50:1m"]
    assert b"sma_200" not in undisturbed.values()[b"indicators:NSE:INFY:5m"]


def test_killed_again_and_again_it_says_the_same(servers: ServerUrls, tmp_path: Path, undisturbed: World) -> None:
    rng = np.random.default_rng(SEED)
    with world(servers, tmp_path / "killed", "killed", PAST) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        edges = [0, *sorted(rng.integers(1, len(DAY), 5).tolist()), len(DAY)]
        for nth, (begin, until) in enumerate(itertools.pairwise(edges)):
            say_closed(one.client, one.keys, DAY[begin:until])
            if nth % 2:  # now in the midst of it, now with all of it read
                one.wait_until_at(DAY[begin:until])
            assert one.end(signal.SIGKILL) == -signal.SIGKILL
            one.start()
        one.wait_until_at(DAY)
        end_quietly(one)
        same(one, undisturbed)


def test_killed_while_it_works_through_a_backlog_it_says_the_same(
    servers: ServerUrls, tmp_path: Path, undisturbed: World
) -> None:
    rng = np.random.default_rng(SEED + 1)
    with world(servers, tmp_path / "backlog", "backlog", PAST) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        one.end(signal.SIGKILL)
        say_closed(one.client, one.keys, DAY)
        for _ in range(4):
            one.start()
            said = len(one.in_stream())
            wait_for(lambda said=said: len(one.in_stream()) > said or one.is_at(DAY), "going on")  # type: ignore[misc]
            time.sleep(float(rng.random()) * 0.05)  # any moment will do
            one.end(signal.SIGKILL)
        one.start()
        one.wait_until_at(DAY)
        end_quietly(one)
        same(one, undisturbed)


def test_killed_in_the_warm_up_it_begins_the_same_one_again(
    servers: ServerUrls, tmp_path: Path, undisturbed: World
) -> None:
    with world(servers, tmp_path / "cold", "cold", PAST) as one:
        one.client.delete(one.keys.instruments())
        one.start()
        wait_for(lambda: one.health().get("state") == "waiting for the instruments", "the cut")
        one.end(signal.SIGKILL)
        say_closed(one.client, one.keys, DAY[:500])  # after the cut: news, however late it is read
        one.mongo.upsert_candles([entry.candle.as_document() for entry in DAY[:500]])
        tell_instruments(one)
        one.start(MARKET_CLOCK=f"2026-01-02T10:30:00+05:30@1@{time.time()}")
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        say_closed(one.client, one.keys, DAY[500:])
        one.wait_until_at(DAY)
        end_quietly(one)
        same(one, undisturbed)


def test_redis_and_mongo_killed_and_started_again(tmp_path: Path, undisturbed: World) -> None:
    with (
        valkey_server(tmp_path) as valkey,
        mongo_server(tmp_path) as mongo,
        world(ServerUrls(valkey.url, mongo.url, (), True, True), tmp_path / "restarted", "restarted", PAST) as one,
    ):
        one.client.config_set("appendfsync", "always")
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        say_closed(one.client, one.keys, DAY[:900])
        one.wait_until_at(DAY[:900])
        for server in (valkey, mongo):
            server.kill()
        for server in (valkey, mongo):
            server.start()
        say_closed(one.client, one.keys, DAY[900:])
        one.wait_until_at(DAY)
        end_quietly(one)
        same(one, undisturbed)


def test_a_timeframe_that_comes_back_is_warmed_up_anew(servers: ServerUrls, tmp_path: Path) -> None:
    """What a snapshot holds of it ends where it was left out: rows with a hole would give other signals."""
    with world(servers, tmp_path / "back", "back", PAST) as one:
        for timeframes in ("1m,5m", "1m", "1m,5m"):
            one.start(TIMEFRAMES=timeframes)
            wait_for(lambda: one.health().get("state") == "running", "warm-up")
            assert one.end() == 0
            rows = re.findall(r"warms up .*rows=(\d+)", (one.folder / "stderr").read_text())
            print(timeframes, rows)
        assert rows == ["6", "4", "3", "2"]


def test_a_torn_line_in_the_file_is_mended(servers: ServerUrls, tmp_path: Path, undisturbed: World) -> None:
    with world(servers, tmp_path / "torn", "torn", PAST) as one:
        (one.folder / "logs").mkdir()
        path = one.folder / "logs" / "signals_2026-01-02.jsonl"
        whole = (undisturbed.folder / "logs" / path.name).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        say_closed(one.client, one.keys, DAY)
        one.wait_until_at(DAY)
        end_quietly(one)
        same(one, undisturbed)


def test_an_unknown_strategy_ends_it_with_one_sentence_and_code_2(servers: ServerUrls, tmp_path: Path) -> None:
    with world(servers, tmp_path / "wrong", "wrong", []) as one:
        one.start(STRATEGIES="momentun")
        assert one.process is not None
        assert one.process.wait(30) == 2
        lines = (one.folder / "stderr").read_text().splitlines()
        assert [line for line in lines if "STRATEGIES" in line and "momentun" in line and "momentum" in line]
        assert "Traceback" not in "".join(lines)


def test_the_past_comes_from_the_closed_stream_where_mongo_lags(servers: ServerUrls, tmp_path: Path) -> None:
    half = [one for one in PAST if one.start_ms < PAST_OPEN_MS + 200 * 60_000]
    rest = [one for one in PAST if one.start_ms >= PAST_OPEN_MS + 200 * 60_000]
    with world(servers, tmp_path / "lagging", "lagging", half) as one:
        rest.sort(key=lambda candle: candle.end_ms)
        entries = [
            ClosedCandle(SYMBOLS.index(candle.symbol) * 2 // len(SYMBOLS), f"{candle.end_ms + 3_000}-{nth}", candle)
            for nth, candle in enumerate(rest)
        ]
        say_closed(one.client, one.keys, entries)
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        assert one.health()["warm_rows"] == str(len(SYMBOLS))
        newest = one.values()[b"indicators:NSE:INFY:1m"]
        assert int(newest[b"t"]) == PAST_OPEN_MS + 374 * 60_000
        assert one.in_stream() == []
        assert one.end() == 0
        assert one.mongo.count(SIGNALS_COLLECTION) == 0


def test_an_empty_mongo_is_filled_from_the_broker(servers: ServerUrls, tmp_path: Path) -> None:
    days = trading_days(6, date(2026, 1, 2))
    rows = as_answer([one for day in days for one in day_rows(day.isoformat())])
    with serving(Broker(minutes=rows)) as broker, world(servers, tmp_path / "empty", "empty", []) as one:
        broker.faults = [429]
        one.start(
            WARMUP="true",
            KITE_API_URL=broker.url,
            API_KEY="key",
            ACCESS_TOKEN="hunter2",
            HISTORY_REQUESTS_PER_SECOND="20",
        )
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        assert one.health()["warm_rows"] == str(2 * len(SYMBOLS))
        assert len(broker.asked) == len(SYMBOLS) + 1
        assert {headers["Authorization"] for headers in broker.headers} == {"token key:hunter2"}
        assert one.mongo.count(CANDLES_COLLECTION) == 2 * 250 * len(SYMBOLS)
        assert one.end() == 0
        one.start(WARMUP="true", KITE_API_URL=broker.url)
        wait_for(lambda: one.health().get("state") == "running", "going on")
        assert len(broker.asked) == len(SYMBOLS) + 1
        assert one.end() == 0
        logged = "".join(path.read_text() for path in (one.folder / "logs").iterdir())
        assert "hunter2" not in logged + (one.folder / "stderr").read_text()
