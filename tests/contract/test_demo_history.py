"""The demo's past, written into a real MongoDB (or the stand-in) while live candles come in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from commands.demo.history import BARS_WANTED, HistoryWriting
from simulator.tape import Tape
from simulator.universe import build_universe
from tests.shared.servers import mongo_server
from utils.keys import CANDLES_COLLECTION
from utils.market.candle import Source
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframes
from utils.stores.mongo import MongoStore

DAY = date(2026, 11, 20)
FROM_MS = 1_795_147_800_000  # 09:40 IST
TIMEFRAMES = parse_timeframes("1m,15m")
CALENDAR = SessionCalendar.load()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MongoStore]:
    with mongo_server(tmp_path) as server:
        opened = MongoStore(server.url, "candlewick_demo")
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def tape() -> Tape:
    return Tape(build_universe(5, 3, CALENDAR, DAY), CALENDAR, DAY)


def _history(tape: Tape, store: MongoStore) -> HistoryWriting:
    return HistoryWriting(tape, CALENDAR, TIMEFRAMES, FROM_MS, store)


def test_it_is_enough_for_every_indicator_and_never_replaces_a_live_candle(tape: Tape, store: MongoStore) -> None:
    with _history(tape, store) as history:
        written = history.result()
    assert history.step.is_over
    assert store.count(CANDLES_COLLECTION) == written
    past = store.candles_before("NSE:INFY", "1m", FROM_MS, 1_000)
    assert len(past) == BARS_WANTED
    live = replace(past[-1], source=Source.LIVE, close=past[-1].close + 1)
    store.upsert_candles([live.as_document()])  # it came while the past was still being written
    with _history(tape, store) as history:
        assert history.result() == written
    assert store.candles_before("NSE:INFY", "1m", FROM_MS, 1_000) == [*past[:-1], live]


def test_it_can_be_left_before_it_is_over(tape: Tape, store: MongoStore) -> None:
    with _history(tape, store) as history:
        pass
    assert history.is_over
    assert store.count(CANDLES_COLLECTION, "NSE:INFY") in (0, len(TIMEFRAMES) * BARS_WANTED)
