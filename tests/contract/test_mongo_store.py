"""The MongoDB store against a real server over a real socket."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.shared.servers import EmbeddedServer, free_port
from utils.keys import CANDLES_COLLECTION, INSTRUMENTS_COLLECTION
from utils.market.candle import Candle, Source, TimedBy
from utils.stores.mongo import MongoStore, StoreError

START_MS = 1_767_325_500_000
MINUTE_MS = 60_000


def candle(minute: int, close: float = 100.0, rev: int = 0, symbol: str = "NSE:INFY") -> Candle:
    start_ms = START_MS + minute * MINUTE_MS
    return Candle(
        symbol=symbol,
        timeframe="1m",
        token=408065,
        start_ms=start_ms,
        end_ms=start_ms + MINUTE_MS,
        open=close,
        high=close + 1,
        low=close - 1,
        close=close,
        volume=None,
        oi=None,
        vwap=None,
        ticks=3,
        complete=True,
        source=Source.LIVE,
        rev=rev,
        timed_by=TimedBy.EXCHANGE,
    )


def documents(*candles: Candle) -> list[dict[str, Any]]:
    return [candle.as_document() for candle in candles]


@pytest.fixture
def store(shared_mongo: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[MongoStore]:
    store = MongoStore(shared_mongo.url, "test_" + request.node.name.replace("[", "_").replace("]", "")[:40])
    store.prepare()
    yield store
    store.close()


@pytest.fixture
def asked(store: MongoStore, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first key of every range that is read."""
    froms: list[str] = []
    find = store._find

    def noted(from_key: str, *rest: Any) -> list[dict[str, Any]]:
        froms.append(from_key)
        return find(from_key, *rest)

    monkeypatch.setattr(store, "_find", noted)
    return froms


def test_an_emptied_database_holds_nothing_and_others_are_left(
    store: MongoStore, shared_mongo: EmbeddedServer
) -> None:
    other = MongoStore(shared_mongo.url, "test_other")
    for candle_store in (store, other):
        candle_store.upsert_candles(documents(candle(0), candle(1)))
        candle_store.upsert_instruments([], "2026-11-20")
    store.clear()
    assert store.count(CANDLES_COLLECTION) == 0
    assert other.count(CANDLES_COLLECTION) == 2
    assert store.upsert_candles(documents(candle(5))) == []
    assert [candle.start_ms for candle in store.candles_before("NSE:INFY", "1m", START_MS * 2, 9)] == [
        candle(5).start_ms
    ]
    other.close()


def test_candles_come_back_as_they_went_in(store: MongoStore) -> None:
    written = [candle(minute, 100.05 + minute) for minute in range(10)]
    others = [candle(3, symbol="NSE:INF"), candle(3, symbol="NSE:INFY2")]
    assert store.upsert_candles(documents(*reversed(written), *others)) == []
    before_ms = written[8].start_ms
    assert store.candles_before("NSE:INFY", "1m", before_ms, 3) == written[5:8]
    assert store.candles_before("NSE:INFY", "1m", before_ms, 100) == written[:8]
    assert store.candles_between("NSE:INFY", "1m", written[2].start_ms, written[4].start_ms) == written[2:4]
    assert store.candles_before("NSE:INFY", "5m", before_ms, 3) == []
    assert store.count(CANDLES_COLLECTION) == 12
    assert store.count(CANDLES_COLLECTION, "NSE:INFY", "1m") == 10


def test_the_last_of_an_id_wins_within_a_batch_and_after_it(store: MongoStore) -> None:
    store.prepare()
    store.upsert_candles(documents(candle(0, 1.0), candle(1, 5.0), candle(0, 2.0, rev=1)))
    assert [candle.close for candle in store.candles_before("NSE:INFY", "1m", START_MS * 2, 9)] == [2.0, 5.0]
    store.upsert_candles(documents(candle(1, 6.0, rev=1)))
    assert [candle.close for candle in store.candles_before("NSE:INFY", "1m", START_MS * 2, 9)] == [2.0, 6.0]


def test_more_than_one_bulk_is_written_whole(store: MongoStore) -> None:
    store.upsert_candles(documents(*(candle(minute) for minute in range(2_345))))
    assert store.count(CANDLES_COLLECTION) == 2_345


def test_history_never_replaces_what_is_there(store: MongoStore) -> None:
    store.upsert_candles(documents(candle(0, 1.0)))
    store.add_missing_candles(documents(candle(0, 9.0), candle(1, 9.0)))
    assert [candle.close for candle in store.candles_before("NSE:INFY", "1m", START_MS * 2, 9)] == [1.0, 9.0]


@pytest.mark.parametrize("fault", [{"volume": 2**70}, {"k": "taken"}, {"oi": {1: "no text for a key"}}])
def test_a_document_refused_for_itself_does_not_stop_the_others(store: MongoStore, fault: dict[str, Any]) -> None:
    store.upsert_candles([{"_id": "taken", "k": "taken"}])
    good, bad = candle(0).as_document(), {**candle(1).as_document(), **fault}
    refused = store.upsert_candles([bad, good])
    assert [refusal.document for refusal in refused] == [bad]
    assert refused[0].reason
    assert store.candles_before("NSE:INFY", "1m", START_MS * 2, 9) == [candle(0)]


def test_a_candle_of_another_form_is_left_out(store: MongoStore) -> None:
    foreign = {"_id": candle(1).id, "k": candle(1).id, "close": 1.0}
    store.upsert_candles([*documents(candle(0), candle(2)), foreign])
    assert store.candles_before("NSE:INFY", "1m", START_MS * 2, 9) == [candle(0), candle(2)]


def test_instruments_are_kept_by_day(store: MongoStore) -> None:
    row = {"token": 408065, "exchange": "NSE", "tradingsymbol": "INFY", "expiry": ""}
    store.upsert_instruments([row], "2026-11-19")
    assert store.upsert_instruments([{**row, "token": 1}], "2026-11-20") == []
    assert store.upsert_instruments([{**row, "token": 2}], "2026-11-20") == []
    assert store.count(INSTRUMENTS_COLLECTION) == 2
    assert store.count(INSTRUMENTS_COLLECTION, "NSE:INFY") == 2


def test_an_absent_server_is_one_sentence_without_the_password() -> None:
    store = MongoStore(f"mongodb://user:hunter2@127.0.0.1:{free_port()}", "test", selection_timeout_ms=200)
    for call in (store.ping, store.prepare, lambda: store.upsert_candles(documents(candle(0)))):
        with pytest.raises(StoreError, match="MONGO_URL") as caught:
            call()
        assert "hunter2" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_wrong_url_is_one_sentence_without_the_password() -> None:
    with pytest.raises(StoreError, match="MONGO_URL") as caught:
        MongoStore("http://user:hunter2@127.0.0.1", "test")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("seed", range(6))
def test_the_newest_of_many_series_are_those_of_each(store: MongoStore, seed: int) -> None:
    """Dense and short, empty and unasked ones side by side, and names of which one begins as another does."""
    dice = random.Random(seed)
    print("seed", seed)
    names = ["NSE:A", "NSE:A-B", "NSE:AB", "NSE:M&M", "NSE:NIFTY 50", "NFO:A26JANFUT", "MCX:A"]
    series = [(symbol, timeframe) for symbol in names for timeframe in ("1m", "15m", "1d")]
    written: dict[tuple[str, str], list[Candle]] = {}
    for symbol, timeframe in series:
        minutes = sorted(dice.sample(range(40), dice.choice([0, 0, 1, 3, 4, 5, 12, 40])))
        written[symbol, timeframe] = [
            replace(candle(minute, symbol=symbol), timeframe=timeframe) for minute in minutes
        ]
    store.clear()  # the seeds share a database
    store.upsert_candles(documents(*(candle for of_one in written.values() for candle in of_one)))
    asked = dice.sample(series, dice.randrange(1, len(series) + 1))
    before_ms, limit = START_MS + 30 * MINUTE_MS, 5
    found = store.newest_of_each(asked, before_ms, limit)
    assert found == {pair: [each for each in written[pair] if each.start_ms < before_ms][-limit:] for pair in asked}
    assert store.newest_of_each([], before_ms, limit) == {}


def test_series_that_are_not_there_are_one_question_together(store: MongoStore, asked: list[str]) -> None:
    series = [(f"NSE:S{index}", name) for index in range(50) for name in ("1m", "5m")]
    assert store.newest_of_each(series, START_MS, 300) == {pair: [] for pair in series}
    assert len(asked) == 1


def test_short_series_share_their_questions(store: MongoStore, asked: list[str]) -> None:
    series = [(f"NSE:S{index}", "1m") for index in range(30)]
    store.upsert_candles(documents(*(candle(minute, symbol=symbol) for symbol, _ in series for minute in range(3))))
    assert {len(candles) for candles in store.newest_of_each(series, START_MS * 2, 50).values()} == {3}
    assert len(asked) == 2
