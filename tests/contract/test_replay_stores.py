"""What a replay reads of MongoDB: the candles before the day, and the day's, in few questions and without others."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from commands.replay.past import copy_past
from commands.replay.stored import StoredDay
from tests.shared.servers import EmbeddedServer
from utils.keys import CANDLES_COLLECTION
from utils.market.candle import Candle, Source, TimedBy
from utils.market.timeframes import parse_timeframes
from utils.stores.mongo import MongoStore

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
DAY_BEGINS_MS = 1_795_113_000_000  # 2026-11-20, midnight in India
TIMEFRAMES = parse_timeframes("1m,15m,1d")
SYMBOLS = [f"NSE:S{index:02d}" for index in range(40)] + ["NSE:S1", "NSE:S1-BE"]


def _candle(symbol: str, timeframe: str, start_ms: int, length_ms: int, source: Source = Source.LIVE) -> Candle:
    return Candle(
        symbol, timeframe, 408065, start_ms, start_ms + length_ms, 1.0, 2.0, 0.5, 1.5, 10, None, 1.2, 3, True,
        source, 0, TimedBy.EXCHANGE,
    )  # fmt: skip


def _market(dice: random.Random, days: range) -> list[Candle]:
    """Some candles of each symbol and timeframe on these days, counted from the replayed one; a few are history."""
    found = []
    for symbol in SYMBOLS:
        for timeframe in TIMEFRAMES:
            length_ms = timeframe.length_ms or DAY_MS
            for day in days:
                bars = dice.sample(range(DAY_MS // length_ms), dice.choice([0, 1, min(20, DAY_MS // length_ms)]))
                source = dice.choice([Source.LIVE] * 4 + [Source.HISTORY])
                begins_ms = DAY_BEGINS_MS + day * DAY_MS
                found += [
                    _candle(symbol, timeframe.name, begins_ms + index * length_ms, length_ms, source)
                    for index in bars
                ]
    return found


class _AskedStore(MongoStore):
    """Counts its questions for candles."""

    asked = 0

    def _find(self, *arguments: Any) -> list[dict[str, Any]]:
        self.asked += 1
        return super()._find(*arguments)


@pytest.fixture
def url(shared_mongo: EmbeddedServer) -> str:
    return shared_mongo.url


@pytest.fixture
def live(url: str) -> Iterator[_AskedStore]:
    store = _AskedStore(url, "test_live")
    store.clear()
    yield store
    store.close()


@pytest.fixture
def own(url: str) -> Iterator[MongoStore]:
    store = MongoStore(url, "test_live_replay")
    store.clear()
    yield store
    store.close()


def _store(store: MongoStore, candles: list[Candle]) -> None:
    assert store.upsert_candles([candle.as_document() for candle in candles]) == []


def _held(store: MongoStore) -> set[Candle]:
    found = store.newest_of_each(
        [(s, t.name) for s in SYMBOLS for t in TIMEFRAMES], DAY_BEGINS_MS + 9 * DAY_MS, 5_000
    )
    return {document for each in found.values() for document in each}


def test_what_was_over_by_then_is_copied_in_few_questions(live: _AskedStore, own: MongoStore) -> None:
    dice = random.Random(20261120)
    candles = _market(dice, range(-3, 2))
    _store(live, candles)
    before_ms = DAY_BEGINS_MS + 9 * 60 * MINUTE_MS
    reported: list[tuple[int, int]] = []
    copied = copy_past(
        live,
        own,
        SYMBOLS,
        [timeframe.name for timeframe in TIMEFRAMES],
        before_ms,
        lambda *candle: reported.append(candle),
    )
    expected = {candle for candle in candles if candle.end_ms <= before_ms}
    assert _held(own) == expected
    assert copied == len(expected)
    assert live.asked < len(SYMBOLS)  # a question for each series would be three times as many
    assert reported[-1] == (copied, len(SYMBOLS))
    assert reported == sorted(reported)


def test_of_a_long_past_the_newest_are_copied(live: _AskedStore, own: MongoStore) -> None:
    minutes = [_candle("NSE:S1", "1m", DAY_BEGINS_MS + index * MINUTE_MS, MINUTE_MS) for index in range(600)]
    _store(live, minutes)
    copied = copy_past(live, own, SYMBOLS, ["1m"], minutes[500].start_ms, lambda *_: None)
    assert _held(own) == set(minutes[500 - copied : 500])
    assert 200 <= copied <= 300


def test_copying_ends_when_it_is_asked_to(live: _AskedStore, own: MongoStore) -> None:
    _store(live, _market(random.Random(2), range(-3, 0)))

    def stop(copied: int, symbols: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_past(live, own, SYMBOLS, ["1m"], DAY_BEGINS_MS, stop)
    assert own.count(CANDLES_COLLECTION) == 0


@pytest.mark.parametrize(("days", "questions"), [(range(1), (1, 42)), (range(-30, 2), (126, 126))])
def test_the_stored_day_is_read_without_others(live: _AskedStore, days: range, questions: tuple[int, int]) -> None:
    """All at once when little else is there, series by series when other days are."""
    candles = _market(random.Random(len(days)), days)
    _store(live, candles)
    of_day = [candle for candle in candles if DAY_BEGINS_MS <= candle.start_ms < DAY_BEGINS_MS + DAY_MS]
    day = StoredDay(live, TIMEFRAMES, DAY_BEGINS_MS, DAY_BEGINS_MS + DAY_MS, len(SYMBOLS), len(of_day))
    found = [candle for at in range(0, len(SYMBOLS), 5) for candle in day.candles(SYMBOLS[at : at + 5])]
    assert sorted(found, key=hash) == sorted((candle for candle in of_day if candle.source is Source.LIVE), key=hash)
    assert len(found) < len(of_day)
    assert questions[0] <= live.asked <= questions[1]


def test_an_empty_database_is_asked_nothing(live: _AskedStore) -> None:
    day = StoredDay(live, TIMEFRAMES, DAY_BEGINS_MS, DAY_BEGINS_MS + DAY_MS, len(SYMBOLS), 1_000)
    assert day.candles(SYMBOLS) == []
    assert live.asked == 0
