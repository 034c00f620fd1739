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
BEFORE = [one for one in PAST if one.symbol == NAME and one.timeframe == "1m"][-1].close
MINUTES_UNTIL_WARM = 200
KILLS = length(short=2, long=3)  # in the first hour, and after it


def scaled(candle: Candle, factor: float) -> Candle:
    prices = {name: getattr(candle, name) * factor for name in ("open", "high", "low", "close")}
    return replace(candle, **prices)


OLD = [scaled(one, FACTOR) if one.symbol == NAME else one for one in PAST]
NEW = [
    one._replace(candle=replace(one.candle, previous_close=BEFORE)) if one.candle.symbol == NAME else one
    for one in DAY
]


def play(one: World, entries: list[ClosedCandle]) -> None:
    publish_closed(one.client, one.keys, entries)
    one.wait_until_at(entries)


def doctor(one: World) -> subprocess.CompletedProcess[str]:
    arguments = ["doctor", "--process", "signal_worker", "--lag-seconds", "1e9"]
    return manage_here(arguments, one.folder, one.environment)


def stored(servers: ServerUrls, one: World, symbol: str = NAME) -> list[dict[str, Any]]:
    with pymongo.MongoClient[dict[str, Any]](servers.mongo_url) as client:
        return list(client[one.name]["candles"].find({"symbol": symbol}))


@pytest.fixture(scope="module")
def split(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "split", "split", OLD) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        play(one, NEW[:400])
        wait_for(lambda: all("rescaled_on" in each for each in stored(servers, one)), "the marks")
        wait_for(lambda: one.health().get("jumped", "") != "", "the report")
        one.environment["SEEN_BY_DOCTOR"] = doctor(one).stdout
        play(one, NEW[400:])
        end_quietly(one)
        yield one


@pytest.fixture(scope="module")
def unsplit(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "unsplit", "unsplit", PAST) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        play(one, DAY)
        end_quietly(one)
        yield one


def test_no_signal_comes_out_of_the_split(split: World, unsplit: World) -> None:
    own = [one for one in split.in_stream() if one["symbol"] == NAME]
    assert all(one["candle_t"] >= OPEN_MS + MINUTES_UNTIL_WARM * 60_000 for one in own)
    assert any(
        one["symbol"] == NAME and one["candle_t"] < OPEN_MS + MINUTES_UNTIL_WARM * 60_000
        for one in unsplit.in_stream()
    ), "nothing would have come in that time anyway"
    others, expected = (by_id([one for one in run.in_stream() if one["symbol"] != NAME]) for run in (split, unsplit))
    assert others == expected


def test_log_doctor_and_health_name_it(split: World) -> None:
    said = split.environment["SEEN_BY_DOCTOR"]
    close, now = f"{BEFORE * FACTOR:g}", f"{BEFORE:g}"
    assert f"PROBLEM  signal_worker: {NAME} jumped from {close} to {now} over the night to 2026-01-02" in said
    assert "All is well" not in said
    logged = "".join(path.read_text() for path in (split.folder / "logs").glob("*.log*"))
    assert f"{NAME}|2026-01-02|{close}|{now}" in logged


def test_older_candles_are_marked_and_no_other(servers: ServerUrls, split: World) -> None:
    for each in stored(servers, split):
        assert (each["rescaled_on"], each["rescaled_by"]) == ("2026-01-02", pytest.approx(1 / FACTOR))
    assert stored(servers, split)
    assert not any("rescaled_on" in each for each in stored(servers, split, SYMBOLS[0]))


def test_killed_again_and_again_it_publishes_the_same(servers: ServerUrls, tmp_path: Path, split: World) -> None:
    rng = np.random.default_rng(SEED + 7)
    with world(servers, tmp_path / "killed", "split_killed", OLD) as one:
        one.start()
        wait_for(lambda: one.health().get("state") == "running", "warm-up")
        edges = [
            0,
            *sorted(rng.integers(1, 60, KILLS).tolist()),
            *sorted(rng.integers(60, len(NEW), KILLS).tolist()),
            len(NEW),
        ]
        print(f"seed {SEED + 7}: {edges}")
        for kill, (begin, until) in enumerate(itertools.pairwise(edges)):
            publish_closed(one.client, one.keys, NEW[begin:until])
            if kill % 2:
                one.wait_until_at(NEW[begin:until])
            assert one.end(signal.SIGKILL) == -signal.SIGKILL
            one.start()
        one.wait_until_at(NEW)
        wait_for(lambda: all("rescaled_on" in each for each in stored(servers, one)), "the marks")
        end_quietly(one)
        same(one, split)


# ---- the warm-up


def live_minutes(day: date) -> list[Candle]:
    minutes = minute_candles(NAME, [0])
    shift = at(f"{day}T09:15") - minutes[0].start_ms
    return [replace(one, start_ms=one.start_ms + shift, end_ms=one.end_ms + shift) for one in minutes]


def test_a_warm_up_leaves_the_old_scale_out_and_asks_for_the_adjusted_past(
    stage: Stage, broker: Broker, mongo: EmbeddedServer
) -> None:
    """`day_rows` are about 100 and the live candles 1 500; the day itself is on the scale of the rows."""
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    old = live_minutes(yesterday)
    today = [replace(scaled(one, 1 / 15), previous_close=100.0) for one in live_minutes(date(2026, 1, 2))[:10]]
    stage.mongo.upsert_candles([one.as_document() for one in [*old, *today]])
    broker.minutes = as_answer(day_rows(yesterday.isoformat()) + day_rows("2026-01-02"))
    engine, (done, again) = warm(stage, history(broker), "2026-01-02T09:26:00", ["1m"])
    assert (done, again) == ([(NAME, "1m")], [])
    assert engine.latest()[0].values.sma_200 < 120
    assert engine.bars(NAME, "1m") == 250
    assert [one.day for one in engine.jumps] == ["2026-01-02"]
    kept = stage.mongo.candles_between(NAME, "1m", old[0].start_ms, old[-1].end_ms)
    assert kept == old, "what was seen live stays as it was"
    with pymongo.MongoClient[dict[str, Any]](mongo.url) as client:
        marked = list(client["test"]["candles"].find({"rescaled_on": "2026-01-02"}))
    assert sorted(one["t"] for one in marked) == [one.start_ms for one in old]


def test_a_broker_that_has_not_adjusted_yet_mixes_nothing(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    old = day_rows(yesterday.isoformat())
    today = [replace(scaled(one, 1 / 75), previous_close=20.0) for one in live_minutes(date(2026, 1, 2))[:10]]
    stage.mongo.upsert_candles([one.as_document() for one in today])
    broker.minutes = as_answer(old)
    engine, _ = warm(stage, history(broker), "2026-01-02T09:26:00", ["1m"])
    assert engine.bars(NAME, "1m") == 10
    assert [one.day for one in engine.jumps] == ["2026-01-02"]


def test_marks_are_of_one_instrument_and_may_be_repeated(stage: Stage) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    stage.mongo.upsert_candles([one.as_document() for one in live_minutes(yesterday)])
    for symbol, count in ((NAME, 375), (NAME, 375), ("NSE:INF", 0), ("NSE:INFY2", 0)):
        assert stage.mongo.mark_candles(symbol, 0, OPEN_MS, {"rescaled_on": "2026-01-02"}) == count
    assert stage.mongo.mark_candles(NAME, OPEN_MS, 2 * OPEN_MS, {"rescaled_on": "2026-01-02"}) == 0
