"""A stock split 1:5 over night, with signal_worker.py, the doctor, Valkey and MongoDB as they are."""

from __future__ import annotations

import itertools
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import pytest

from tests.shared.closed_candles import (
    OPEN_MS,
    SEED,
    SYMBOLS,
    ClosedCandle,
    minute_candles,
    past_and_day,
    publish_closed,
)
from tests.shared.console_here import manage_here
from tests.shared.history_broker import Broker, as_answer, at, broker, day_rows, history, trading_days
from tests.shared.length import length
from tests.shared.servers import EmbeddedServer, ServerUrls
from tests.shared.signal_worker_process import World, by_id, end_quietly, same, wait_for, world
from tests.shared.warmup_stage import Stage, stage, warm
from utils.market.candle import Candle

__all__ = ["broker", "stage"]

NAME, FACTOR = "NSE:INFY", 5.0
PAST, DAY = past_and_day()
BEFORE = [candle for candle in PAST if candle.symbol == NAME and candle.timeframe == "1m"][-1].close
MINUTES_UNTIL_WARM = 200
KILLS = length(short=2, long=3)  # in the first hour, and after it


def scaled(candle: Candle, factor: float) -> Candle:
    prices = {name: getattr(candle, name) * factor for name in ("open", "high", "low", "close")}
    return replace(candle, **prices)


OLD = [scaled(candle, FACTOR) if candle.symbol == NAME else candle for candle in PAST]
NEW = [
    day_entry._replace(candle=replace(day_entry.candle, previous_close=BEFORE))
    if day_entry.candle.symbol == NAME
    else day_entry
    for day_entry in DAY
]


def play(world: World, entries: list[ClosedCandle]) -> None:
    publish_closed(world.client, world.keys, entries)
    world.wait_until_at(entries)


def doctor(world: World) -> subprocess.CompletedProcess[str]:
    arguments = ["doctor", "--process", "signal_worker", "--lag-seconds", "1e9"]
    return manage_here(arguments, world.folder, world.environment)


def stored(servers: ServerUrls, world: World, symbol: str = NAME) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](servers.mongo_url) as client:
        return list(client[world.name]["candles"].find({"symbol": symbol}))


@pytest.fixture(scope="module")
def split(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "split", "split", OLD) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        play(run, NEW[:400])
        wait_for(lambda: all("rescaled_on" in each for each in stored(servers, run)), "the marks")
        wait_for(lambda: run.health().get("jumped", "") != "", "the report")
        run.environment["SEEN_BY_DOCTOR"] = doctor(run).stdout
        play(run, NEW[400:])
        end_quietly(run)
        yield run


@pytest.fixture(scope="module")
def unsplit(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "unsplit", "unsplit", PAST) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        play(run, DAY)
        end_quietly(run)
        yield run


def test_no_signal_comes_out_of_the_split(split: World, unsplit: World) -> None:
    own = [signal for signal in split.in_stream() if signal["symbol"] == NAME]
    assert all(document["candle_t"] >= OPEN_MS + MINUTES_UNTIL_WARM * 60_000 for document in own)
    assert any(
        signal["symbol"] == NAME and signal["candle_t"] < OPEN_MS + MINUTES_UNTIL_WARM * 60_000
        for signal in unsplit.in_stream()
    ), "nothing would have come in that time anyway"
    others, expected = (
        by_id([signal for signal in run.in_stream() if signal["symbol"] != NAME]) for run in (split, unsplit)
    )
    assert others == expected


def test_log_doctor_and_health_name_it(split: World) -> None:
    seen = split.environment["SEEN_BY_DOCTOR"]
    close, now = f"{BEFORE * FACTOR:g}", f"{BEFORE:g}"
    assert f"PROBLEM  signal_worker: {NAME} jumped from {close} to {now} over the night to 2026-01-02" in seen
    assert "All is well" not in seen
    logged = "".join(path.read_text() for path in (split.folder / "logs").glob("*.log*"))
    assert f"{NAME}|2026-01-02|{close}|{now}" in logged


def test_older_candles_are_marked_and_no_other(servers: ServerUrls, split: World) -> None:
    for each in stored(servers, split):
        assert (each["rescaled_on"], each["rescaled_by"]) == ("2026-01-02", pytest.approx(1 / FACTOR))
    assert stored(servers, split)
    assert not any("rescaled_on" in each for each in stored(servers, split, SYMBOLS[0]))


def test_killed_again_and_again_it_publishes_the_same(servers: ServerUrls, tmp_path: Path, split: World) -> None:
    rng = np.random.default_rng(SEED + 7)
    with world(servers, tmp_path / "killed", "split_killed", OLD) as run:
        run.start()
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        edges = [
            0,
            *sorted(rng.integers(1, 60, KILLS).tolist()),
            *sorted(rng.integers(60, len(NEW), KILLS).tolist()),
            len(NEW),
        ]
        print(f"seed {SEED + 7}: {edges}")
        for kill, (begin, until) in enumerate(itertools.pairwise(edges)):
            publish_closed(run.client, run.keys, NEW[begin:until])
            if kill % 2:
                run.wait_until_at(NEW[begin:until])
            assert run.end(signal.SIGKILL) == -signal.SIGKILL
            run.start()
        run.wait_until_at(NEW)
        wait_for(lambda: all("rescaled_on" in each for each in stored(servers, run)), "the marks")
        end_quietly(run)
        same(run, split)


# ---- the warm-up


def live_minutes(day: date) -> list[Candle]:
    minutes = minute_candles(NAME, [0])
    shift = at(f"{day}T09:15") - minutes[0].start_ms
    return [replace(minute, start_ms=minute.start_ms + shift, end_ms=minute.end_ms + shift) for minute in minutes]


def test_a_warm_up_leaves_the_old_scale_out_and_asks_for_the_adjusted_past(
    stage: Stage, broker: Broker, mongo: EmbeddedServer
) -> None:
    """`day_rows` are about 100 and the live candles 1 500; the day itself is on the scale of the rows."""
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    old = live_minutes(yesterday)
    today = [replace(scaled(candle, 1 / 15), previous_close=100.0) for candle in live_minutes(date(2026, 1, 2))[:10]]
    stage.mongo.upsert_candles([candle.as_document() for candle in [*old, *today]])
    broker.minutes = as_answer(day_rows(yesterday.isoformat()) + day_rows("2026-01-02"))
    engine, (done, again) = warm(stage, history(broker), "2026-01-02T09:26:00", ["1m"])
    assert (done, again) == ([(NAME, "1m")], [])
    assert engine.latest()[0].values.sma_200 < 120
    assert engine.bars(NAME, "1m") == 250
    assert [jump.day for jump in engine.jumps] == ["2026-01-02"]
    kept = stage.mongo.candles_between(NAME, "1m", old[0].start_ms, old[-1].end_ms)
    assert kept == old, "what was seen live stays as it was"
    with pymongo.MongoClient[dict[str, Any]](mongo.url) as client:
        marked = list(client["test"]["candles"].find({"rescaled_on": "2026-01-02"}))
    assert sorted(document["t"] for document in marked) == [candle.start_ms for candle in old]


def test_a_broker_that_has_not_adjusted_yet_mixes_nothing(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    old = day_rows(yesterday.isoformat())
    today = [replace(scaled(candle, 1 / 75), previous_close=20.0) for candle in live_minutes(date(2026, 1, 2))[:10]]
    stage.mongo.upsert_candles([candle.as_document() for candle in today])
    broker.minutes = as_answer(old)
    engine, _ = warm(stage, history(broker), "2026-01-02T09:26:00", ["1m"])
    assert engine.bars(NAME, "1m") == 10
    assert [jump.day for jump in engine.jumps] == ["2026-01-02"]


def test_marks_are_of_one_instrument_and_may_be_repeated(stage: Stage) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    stage.mongo.upsert_candles([candle.as_document() for candle in live_minutes(yesterday)])
    for symbol, count in ((NAME, 375), (NAME, 375), ("NSE:INF", 0), ("NSE:INFY2", 0)):
        assert stage.mongo.mark_candles(symbol, 0, OPEN_MS, {"rescaled_on": "2026-01-02"}) == count
    assert stage.mongo.mark_candles(NAME, OPEN_MS, 2 * OPEN_MS, {"rescaled_on": "2026-01-02"}) == 0
