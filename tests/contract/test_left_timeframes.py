"""A timeframe that left TIMEFRAMES leaves the signal worker's rows, snapshot and hashes, whatever way it starts."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import structlog

from signal_worker import SignalWorker
from tests.shared.closed_candles import GRACE_MS, OPEN_MS, ClosedCandle, grouped, minute_candles, publish_closed
from tests.shared.servers import EmbeddedServer, ValkeyServer
from tests.shared.signal_worker_process import instrument, wait_for
from utils.keys import Keys
from utils.market.clock import MarketClock
from utils.runtime.lifecycle import StopRequest
from utils.runtime.settings import Settings
from utils.signals.shard import ENTRIES_AT_ONCE, ShardSignals
from utils.stores.coordination import coordinate

MINUTES = 10
SECONDS = itertools.count(0.0, 400.0)  # it waits for instruments that may still come, and for the next warm-up
STAYING, GONE = "NSE:INFY", "NSE:SBIN"
NEXT_WEEK_MS = 7 * 86_400_000

MakeSignals = Callable[..., ShardSignals]


@pytest.fixture
def make_signals(valkey: ValkeyServer, mongo: EmbeddedServer, tmp_path: Path) -> Iterator[MakeSignals]:
    """Those of shard 0 of a worker with these settings, at this time."""
    workers: list[SignalWorker] = []

    def make(timeframes: str, symbols: str, now_ms: int) -> ShardSignals:
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            redis_url=valkey.url_of("signal_worker"),  # type: ignore[arg-type]
            mongo_url=mongo.url,  # type: ignore[arg-type]
            instruments=symbols,
            timeframes=timeframes,  # type: ignore[arg-type]
            market_clock=str(MarketClock(now_ms, 1.0, time.time_ns() // 1_000_000)),  # type: ignore[arg-type]
            warmup=False,
            log_dir=tmp_path,
        )
        log = structlog.get_logger("test")
        workers.append(SignalWorker(settings, StopRequest(), log, coordinate(settings, "signal_worker", log)))
        return workers[-1]._shards[0]

    yield make
    for worker in workers:
        worker._context.turn.join(10)
        worker._context.mongo.close()


def play(client: redis.Redis, signals: ShardSignals) -> None:
    """Some minutes of both instruments, in 1m and 5m."""
    known: Any = {symbol: orjson.dumps(instrument(symbol).as_dict()) for symbol in (STAYING, GONE)}
    client.hset(Keys().instruments(), mapping=known)
    of_both = [minute_candles(symbol, [OPEN_MS])[:MINUTES] for symbol in (STAYING, GONE)]
    candles = [candle for minutes in of_both for candle in (*minutes, *grouped(minutes, 5))]
    candles.sort(key=lambda candle: candle.end_ms)
    wait_for(lambda: signals.prepare(next(SECONDS)), "it is ready")
    publish_closed(
        client,
        Keys(),
        [ClosedCandle(0, f"{candle.end_ms + GRACE_MS}-{n}", candle) for n, candle in enumerate(candles)],
    )
    read = signals._store.read_closed({0: signals.position}, ENTRIES_AT_ONCE)
    signals.process(read[0], next(SECONDS))
    signals.snapshot()


def shown(client: redis.Redis) -> set[str]:
    names: Any = client.keys("indicators:*")
    return {name.decode().removeprefix("indicators:") for name in names}


@pytest.mark.parametrize("start", ["resumed", "a session passed", "another version"])
def test_its_hashes_go_and_no_others(
    client: redis.Redis, make_signals: MakeSignals, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    now_ms = OPEN_MS + 60 * 60_000
    before = make_signals("1m,5m", f"{STAYING},{GONE}", now_ms)
    before.recover(next(SECONDS))
    play(client, before)
    assert shown(client) == {f"{symbol}:{name}" for symbol in (STAYING, GONE) for name in ("1m", "5m")}
    if start == "another version":
        monkeypatch.setattr("utils.indicators.snapshot.LAYOUT_VERSION", 99)
    after = make_signals("1m", STAYING, now_ms + (NEXT_WEEK_MS if start == "a session passed" else 0))
    after.recover(next(SECONDS))
    wait_for(lambda: after.prepare(next(SECONDS)), "it is ready")
    after.snapshot()
    assert shown(client) == {f"{STAYING}:1m"}, "with the instrument that left INSTRUMENTS"
    after.recover(next(SECONDS))
    assert after._progress.timeframes() == {"1m"}
    assert "5m" not in after._progress.engine.timeframes


def test_candles_of_it_that_still_came_are_gone_a_day_later(client: redis.Redis, make_signals: MakeSignals) -> None:
    """The candle worker was started anew later than the signal worker."""
    now_ms = OPEN_MS + 60 * 60_000
    signals = make_signals("1m", f"{STAYING},{GONE}", now_ms)
    signals.recover(next(SECONDS))
    play(client, signals)
    signals._dropped_on = None  # as on the next day
    signals._saved_at = None
    signals.snapshot()
    assert shown(client) == {f"{STAYING}:1m", f"{GONE}:1m"}
