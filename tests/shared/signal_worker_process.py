"""signal_worker.py as a real process, for tests: its names in the servers, and what it published where."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import redis

from tests.shared.closed_candles import OPEN_MS, SYMBOLS, ClosedCandle
from tests.shared.servers import ServerUrls
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.market.candle import Candle
from utils.market.instruments import Instrument, SessionClass
from utils.runtime.settings import MAX_CONNECTIONS
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import open_redis

ROOT = Path(__file__).resolve().parents[2]


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
        self.client.delete(self.keys.health("signal_worker"))  # what an earlier one reported
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
        last = {entry.shard: entry.entry_id for entry in entries}
        return all(health.get(f"position_{shard}") == entry_id for shard, entry_id in last.items())

    def wait_until_at(self, entries: list[ClosedCandle]) -> None:
        wait_for(lambda: self.is_at(entries), f"reading up to {entries[-1].entry_id}")

    def in_stream(self) -> list[dict[str, Any]]:
        """Of all shards, in the order of their entries."""
        found: list[Any] = []
        for shard in range(MAX_CONNECTIONS):
            found += self.client.xrange(self.keys.signals(shard))  # type: ignore[arg-type]
        found.sort(key=lambda entry: EntryId.parse(entry[0]))
        return [orjson.loads(fields[b"json"]) for _, fields in found]

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
    run = World(name, open_redis(servers.redis_url), mongo, keys, folder, environment)
    mongo.upsert_candles([candle.as_document() for candle in past])
    publish_instruments(run)
    try:
        yield run
    finally:
        if run.process is not None:
            run.process.kill()
            run.process.wait()
        mongo.close()


def publish_instruments(world: World) -> None:
    known = {symbol: orjson.dumps(instrument(symbol).as_dict()) for symbol in SYMBOLS}
    fields: Any = known
    world.client.hset(world.keys.instruments(), mapping=fields)


def end_quietly(world: World) -> None:
    wait_for(lambda: len(world.in_mongo()) == len({document["_id"] for document in world.in_stream()}), "archiving")
    assert world.end() == 0


def same(world: World, other: World) -> None:
    """The same signals in all three places, each once, and the same indicator values."""
    assert by_id(world.in_stream()) == by_id(other.in_stream())
    assert by_id(world.in_files()) == by_id(other.in_files()) == by_id(world.in_stream())
    assert by_id(world.in_mongo()) == by_id(other.in_mongo()) == by_id(world.in_stream())
    assert world.values() == other.values()


def by_id(documents: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    found = {document["_id"]: document for document in documents}
    assert len(found) == len(documents), "a signal was published twice"
    return found
