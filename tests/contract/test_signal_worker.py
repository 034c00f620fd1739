"""signal_worker.py as a real process between a real Valkey and MongoDB: killed at any time it publishes the same."""

from __future__ import annotations

import itertools
import re
import signal
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tests.shared.closed_candles import (
    OPEN_MS,
    PAST_OPEN_MS,
    SEED,
    SYMBOLS,
    ClosedCandle,
    past_and_day,
    publish_closed,
)
from tests.shared.history_broker import Broker, as_answer, day_rows, serving, trading_days
from tests.shared.length import length
from tests.shared.servers import ServerUrls, mongo_server, valkey_server
from tests.shared.signal_worker_process import World, end_quietly, publish_instruments, same, wait_for, world
from utils.keys import CANDLES_COLLECTION, SIGNALS_COLLECTION

PAST, DAY = past_and_day()
KILLS, KILLS_IN_A_BACKLOG = length(short=(3, 2), long=(5, 4))


@pytest.fixture(scope="module")
def undisturbed(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "undisturbed", "undisturbed", PAST) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY)
        run.wait_until_at(DAY)
        end_quietly(run)
        yield run


def test_the_undisturbed_run_publishes_enough_to_compare(undisturbed: World) -> None:
    signals = undisturbed.in_stream()
    print(f"seed {SEED}: {len(signals)} signals")
    assert {signal["direction"] for signal in signals} == {"LONG", "SHORT"}
    assert {signal["timeframe"] for signal in signals} == {"1m"}
    assert any("NIFTY" in signal["symbol"] and "vwap" not in signal for signal in signals)
    latest = {signal["symbol"]: "23:40" if signal["symbol"].startswith("MCX:") else "15:15" for signal in signals}
    assert all(signal["timestamp"] <= f"2026-01-02T{latest[signal['symbol']]}:00+05:30" for signal in signals)
    assert len(undisturbed.values()) == 2 * len(SYMBOLS)
    infy = undisturbed.values()[b"indicators:NSE:INFY:1m"]
    assert {b"t", b"start", b"sma_200", b"rsi_14", b"vwap", b"supertrend_direction"} <= set(infy)
    assert b"vwap" not in undisturbed.values()[b"indicators:NSE:NIFTY 50:1m"]
    assert b"sma_200" not in undisturbed.values()[b"indicators:NSE:INFY:5m"]


def test_killed_again_and_again_it_publishes_the_same(
    servers: ServerUrls, tmp_path: Path, undisturbed: World
) -> None:
    rng = np.random.default_rng(SEED)
    with world(servers, tmp_path / "killed", "killed", PAST) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        edges = [0, *sorted(rng.integers(1, len(DAY), KILLS).tolist()), len(DAY)]
        for kill, (begin, until) in enumerate(itertools.pairwise(edges)):
            publish_closed(run.client, run.keys, DAY[begin:until])
            if kill % 2:  # now in the midst of it, now with all of it read
                run.wait_until_at(DAY[begin:until])
            assert run.end(signal.SIGKILL) == -signal.SIGKILL
            run.start()
        run.wait_until_at(DAY)
        end_quietly(run)
        same(run, undisturbed)


def test_killed_while_it_works_through_a_backlog_it_publishes_the_same(
    servers: ServerUrls, tmp_path: Path, undisturbed: World
) -> None:
    rng = np.random.default_rng(SEED + 1)
    with world(servers, tmp_path / "backlog", "backlog", PAST) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        run.end(signal.SIGKILL)
        publish_closed(run.client, run.keys, DAY)
        for _ in range(KILLS_IN_A_BACKLOG):
            run.start()
            before = len(run.in_stream())
            wait_for(lambda before=before: len(run.in_stream()) > before or run.is_at(DAY), "an advance")  # type: ignore[misc]
            time.sleep(float(rng.random()) * 0.05)  # any moment will do
            run.end(signal.SIGKILL)
        run.start()
        run.wait_until_at(DAY)
        end_quietly(run)
        same(run, undisturbed)


def test_killed_in_the_warm_up_it_begins_the_same_one_again(
    servers: ServerUrls, tmp_path: Path, undisturbed: World
) -> None:
    with world(servers, tmp_path / "cold", "cold", PAST) as run:
        run.client.delete(run.keys.instruments())
        run.start()
        wait_for(lambda: run.health().get("state") == "waiting for the instruments", "the cut")
        run.end(signal.SIGKILL)
        publish_closed(run.client, run.keys, DAY[:500])  # after the cut: it gives signals, however late it is read
        run.mongo.upsert_candles([entry.candle.as_document() for entry in DAY[:500]])
        publish_instruments(run)
        run.start(MARKET_CLOCK=f"2026-01-02T10:30:00+05:30@1@{time.time()}")
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY[500:])
        run.wait_until_at(DAY)
        end_quietly(run)
        same(run, undisturbed)


def test_redis_and_mongo_killed_and_started_again(tmp_path: Path, undisturbed: World) -> None:
    with (
        valkey_server(tmp_path) as valkey,
        mongo_server(tmp_path) as mongo,
        world(ServerUrls(valkey.url, mongo.url, (), True, True), tmp_path / "restarted", "restarted", PAST) as run,
    ):
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY[:900])
        run.wait_until_at(DAY[:900])
        run.client.save()
        for server in (valkey, mongo):
            server.kill()
        for server in (valkey, mongo):
            server.start()
        publish_closed(run.client, run.keys, DAY[900:])
        run.wait_until_at(DAY)
        end_quietly(run)
        same(run, undisturbed)


@pytest.mark.parametrize("is_mongo_ahead", [False, True])
@pytest.mark.parametrize("has_stayed", [False, True])
def test_a_redis_that_lost_everything_gets_the_same_signals(
    tmp_path: Path, undisturbed: World, has_stayed: bool, is_mongo_ahead: bool
) -> None:
    """At 13:00 of the clock, with the morning's candles in MongoDB: they close again, and count as new."""
    half = len(DAY) // 2
    with (
        valkey_server(tmp_path) as valkey,
        mongo_server(tmp_path) as mongo,
        world(ServerUrls(valkey.url, mongo.url, (), True, True), tmp_path / "lost", "lost", PAST) as run,
    ):
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY[:half])
        run.wait_until_at(DAY[:half])
        if is_mongo_ahead:
            run.mongo.upsert_candles([entry.candle.as_document() for entry in DAY[:half]])
        if not has_stayed:
            run.end(signal.SIGKILL)
        valkey.kill()
        assert not list(valkey.directory.glob("**/*.rdb"))
        valkey.start()
        again = 0 if has_stayed else 300  # the candle worker was faster
        publish_closed(run.client, run.keys, DAY[:again])
        if not has_stayed:
            run.start(MARKET_CLOCK=f"2026-01-02T13:00:00+05:30@1@{time.time()}")
        wait_for(lambda: run.health().get("state") == "waiting for the instruments", "the worker is back")
        for shard in range(2):
            run.client.xadd(run.keys.ticks(shard), {"m": b"{}"}, id=f"{OPEN_MS - 60_000}-0")
        publish_instruments(run)
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY[again:])
        run.wait_until_at(DAY)
        end_quietly(run)
        same(run, undisturbed)


def test_a_timeframe_that_comes_back_is_warmed_up_anew(servers: ServerUrls, tmp_path: Path) -> None:
    """What a snapshot holds of it ends where it was left out: rows with a hole would give other signals."""
    with world(servers, tmp_path / "back", "back", PAST) as run:
        for timeframes in ("1m,5m", "1m", "1m,5m"):
            run.start(TIMEFRAMES=timeframes)
            wait_for(lambda: run.health().get("state") == "running", "warm-up")
            assert run.end() == 0
            rows = re.findall(r"warm-up started .*rows=(\d+)", (run.folder / "stderr").read_text())
            print(timeframes, rows)
        assert rows == ["6", "4", "3", "2"]


def test_a_torn_line_in_the_file_is_mended(servers: ServerUrls, tmp_path: Path, undisturbed: World) -> None:
    with world(servers, tmp_path / "torn", "torn", PAST) as run:
        (run.folder / "logs").mkdir()
        path = run.folder / "logs" / "signals_2026-01-02.jsonl"
        whole = (undisturbed.folder / "logs" / path.name).read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY)
        run.wait_until_at(DAY)
        end_quietly(run)
        same(run, undisturbed)


def test_an_unknown_strategy_ends_it_with_one_sentence_and_code_2(servers: ServerUrls, tmp_path: Path) -> None:
    with world(servers, tmp_path / "wrong", "wrong", []) as run:
        run.start(STRATEGIES="momentun")
        assert run.process is not None
        assert run.process.wait(30) == 2
        lines = (run.folder / "stderr").read_text().splitlines()
        assert [line for line in lines if "STRATEGIES" in line and "momentun" in line and "momentum" in line]
        assert "Traceback" not in "".join(lines)


def test_the_past_comes_from_the_closed_stream_where_mongo_lags(servers: ServerUrls, tmp_path: Path) -> None:
    half = [candle for candle in PAST if candle.start_ms < PAST_OPEN_MS + 200 * 60_000]
    rest = [candle for candle in PAST if candle.start_ms >= PAST_OPEN_MS + 200 * 60_000]
    with world(servers, tmp_path / "lagging", "lagging", half) as run:
        rest.sort(key=lambda candle: candle.end_ms)
        entries = [
            ClosedCandle(
                SYMBOLS.index(candle.symbol) * 2 // len(SYMBOLS), f"{candle.end_ms + 3_000}-{number}", candle
            )
            for number, candle in enumerate(rest)
        ]
        publish_closed(run.client, run.keys, entries)
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        assert run.health()["warm_rows"] == str(len(SYMBOLS))
        newest = run.values()[b"indicators:NSE:INFY:1m"]
        assert int(newest[b"t"]) == PAST_OPEN_MS + 374 * 60_000
        assert run.in_stream() == []
        assert run.end() == 0
        assert run.mongo.count(SIGNALS_COLLECTION) == 0


def test_an_empty_mongo_is_filled_from_the_broker(servers: ServerUrls, tmp_path: Path) -> None:
    days = trading_days(6, date(2026, 1, 2))
    rows = as_answer([row for day in days for row in day_rows(day.isoformat())])
    with serving(Broker(minutes=rows)) as broker, world(servers, tmp_path / "empty", "empty", []) as run:
        broker.faults = [429]
        run.start(
            WARMUP="true",
            KITE_API_URL=broker.url,
            API_KEY="key",
            ACCESS_TOKEN="hunter2",
            HISTORY_REQUESTS_PER_SECOND="20",
        )
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        assert run.health()["warm_rows"] == str(2 * len(SYMBOLS))
        assert len(broker.asked) == len(SYMBOLS) + 1
        assert {headers["Authorization"] for headers in broker.headers} == {"token key:hunter2"}
        assert run.mongo.count(CANDLES_COLLECTION) == 2 * 250 * len(SYMBOLS)
        assert run.end() == 0
        run.start(WARMUP="true", KITE_API_URL=broker.url)
        wait_for(lambda: run.health().get("state") == "running", "going on")
        assert len(broker.asked) == len(SYMBOLS) + 1
        assert run.end() == 0
        logged = "".join(path.read_text() for path in (run.folder / "logs").iterdir())
        assert "hunter2" not in logged + (run.folder / "stderr").read_text()
