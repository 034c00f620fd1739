"""Weekly options over a real Valkey: what has expired leaves the signal worker's rows, snapshot and hashes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import structlog

from signal_worker import SignalWorker
from tests.reference.case_building import at
from tests.shared.closed_candles import GRACE_MS, ClosedCandle, minute_candles, publish_closed
from tests.shared.servers import EmbeddedServer, ValkeyServer
from tests.shared.signal_worker_process import wait_for
from tests.shared.weekly_options import contracts, expiry_of
from utils.keys import Keys
from utils.runtime.lifecycle import StopRequest
from utils.runtime.settings import Settings
from utils.signals.shard import ENTRIES_AT_ONCE, ShardSignals
from utils.stores.coordination import coordinate

COUNT, WEEKS, MINUTES = 6, 10, 4
SECONDS = itertools.count(0.0, 400.0)  # it waits for instruments that may still come, and for the next warm-up
STAYING = "NSE:INFY"


def symbols_of(week: int) -> list[str]:
    return [contract.symbol for contract in contracts(week, COUNT)]


@pytest.fixture
def signals(valkey: ValkeyServer, mongo: EmbeddedServer, tmp_path: Path) -> Iterator[ShardSignals]:
    """Of a worker whose INSTRUMENTS name all weeks' contracts from the beginning."""
    names = [STAYING, *(symbol for week in range(WEEKS) for symbol in symbols_of(week))]
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        redis_url=valkey.url,  # type: ignore[arg-type]
        mongo_url=mongo.url,  # type: ignore[arg-type]
        instruments=",".join(names),
        timeframes="1m,5m",  # type: ignore[arg-type]
        warmup=False,
        log_dir=tmp_path,
    )
    log = structlog.get_logger("test")
    worker = SignalWorker(settings, StopRequest(), log, coordinate(settings, "signal_worker", log))
    yield worker._shards[0]
    worker._context.turn.join(10)
    worker._context.mongo.close()


def play(client: redis.Redis, signals: ShardSignals, week: int) -> None:
    """The dump of the week, and some minutes of its expiry day."""
    watched = [*contracts(week, COUNT), replace(contracts(week, 1)[0], exchange="NSE", tradingsymbol="INFY")]
    fresh: Any = {instrument.symbol: orjson.dumps(instrument.as_dict()) for instrument in watched}
    client.delete(Keys().instruments())
    client.hset(Keys().instruments(), mapping=fresh)
    open_ms = at("09:15", expiry_of(week).isoformat())
    candles = [candle for each in watched for candle in minute_candles(each.symbol, [open_ms])[:MINUTES]]
    candles.sort(key=lambda candle: candle.end_ms)
    publish_closed(
        client,
        Keys(),
        [ClosedCandle(0, f"{candle.end_ms + GRACE_MS}-{n}", candle) for n, candle in enumerate(candles)],
    )
    wait_for(lambda: signals.prepare(next(SECONDS)), "it is ready")
    read = signals._store.read_closed({0: signals.position}, ENTRIES_AT_ONCE)
    signals.process(read[0], next(SECONDS))
    signals.snapshot()
    for _ in range(3):  # cold rows are tried again now and then
        wait_for(lambda: signals.prepare(next(SECONDS)), "it is ready again")
    signals.snapshot()


def shown(client: redis.Redis) -> set[str]:
    names: Any = client.keys("indicators:*")
    return {name.decode().removeprefix("indicators:").rpartition(":")[0] for name in names}


def test_ten_weeks_are_flat(client: redis.Redis, signals: ShardSignals) -> None:
    signals.recover(next(SECONDS))
    sizes: list[int] = []
    for week in range(WEEKS):
        play(client, signals, week)
        expected = {STAYING, *symbols_of(week)}
        assert signals._progress.symbols() >= expected
        assert signals._context.instruments.keys() == expected
        if week:  # before the first warm-up nothing is known, and all of INSTRUMENTS are noted as warm
            assert shown(client) == expected, f"week {week}"
            assert signals._progress.engine.newest_ms().keys() == expected
        sizes.append(int(client.strlen(Keys().signal_state(0))))
        signals.recover(next(SECONDS))  # a restart between the weeks, too
    assert max(sizes[1:]) <= 1.1 * sizes[1], sizes
