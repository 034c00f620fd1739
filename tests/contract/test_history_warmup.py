"""A warm-up with the broker's history, MongoDB and the closed stream: each row gets what is missing, once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date

from tests.shared.closed_candles import OPEN_MS, ClosedCandle, grouped, minute_candles
from tests.shared.history_broker import CALENDAR, INFY, Broker, as_answer, at, broker, day_rows, history, trading_days
from tests.shared.warmup_stage import TIMEFRAMES, Stage, stage, warm
from utils.journal.entries import EntryId
from utils.market.candle import Candle, Source
from utils.market.entry_limit import UntilTimeOfDay
from utils.signals.engine import SignalEngine
from utils.signals.warmup import Cut, WarmUp

__all__ = ["broker", "stage"]


def newest(engine: SignalEngine) -> dict[str, dict[str, float]]:
    return {row.timeframe: row.values.as_dict() for row in engine.latest()}


def test_an_empty_store_is_filled_from_the_broker_once(stage: Stage, broker: Broker) -> None:
    days = trading_days(260, date(2026, 1, 2))
    rows = [row for day in days[-6:] for row in day_rows(day.isoformat())]
    broker.minutes = as_answer(rows)
    broker.days = as_answer([(at(f"{day}T00:00"), 1.0, 3.0, 0.5, 2.0, 9, 0) for day in days])
    engine, (done, again) = warm(stage, history(broker), "2026-01-02T09:00", ["1m", "5m", "1d"])
    assert (len(done), again) == (3, [])
    assert [path.rsplit("/", 1)[1] for path, _, _ in broker.asked] == ["minute", "day"]
    assert [engine.bars(INFY.symbol, name) for name in TIMEFRAMES] == [250, 250, 250]
    held = stage.mongo.candles_before(INFY.symbol, "5m", OPEN_MS, 1_000)
    assert len(held) == 250
    assert (held[-1].end_ms, held[-1].source, held[-1].complete) == (at(f"{days[-1]}T15:30"), Source.HISTORY, True)
    asked = len(broker.asked)
    again_engine, _ = warm(stage, history(broker), "2026-01-02T09:00", ["1m", "5m", "1d"])
    assert len(broker.asked) == asked, "what is held was asked for again"
    assert [values.values.as_dict() for values in again_engine.latest()] == [
        values.values.as_dict() for values in engine.latest()
    ]
    assert stage.progress[-1][:2] == (1, 1)


def _at_days(day: date, minutes: Sequence[Candle]) -> list[Candle]:
    """The same candles on another day."""
    shift = at(f"{day}T09:15") - minutes[0].start_ms
    return [replace(minute, start_ms=minute.start_ms + shift, end_ms=minute.end_ms + shift) for minute in minutes]


def test_only_what_is_missing_is_asked_for_and_what_is_held_stays(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    prices = {"open": 100.0, "high": 103.0, "low": 98.0, "close": 101.0}  # as the rows': another scale is a split
    live = [replace(candle, **prices) for candle in _at_days(yesterday, minute_candles(INFY.symbol, [0]))]  # type: ignore[arg-type]
    stage.mongo.upsert_candles([candle.as_document() for candle in live])
    broker.minutes = as_answer(day_rows(yesterday.isoformat()) + day_rows("2026-01-02"))
    engine, _ = warm(stage, history(broker), "2026-01-02T09:25:30", ["1m"])
    ((_, wanted, _),) = broker.asked
    assert wanted["from"] >= f"{yesterday} 15:30:00"
    assert wanted["to"] == "2026-01-02 09:25:29"
    today = stage.mongo.candles_between(INFY.symbol, "1m", OPEN_MS, 2 * OPEN_MS)
    assert [candle.start_ms for candle in today] == [OPEN_MS + 60_000 * index for index in range(10)]
    kept = stage.mongo.candles_before(INFY.symbol, "1m", OPEN_MS, 1_000)
    assert kept == live
    assert engine.bars(INFY.symbol, "1m") == 250


def test_what_comes_by_the_stream_is_neither_asked_for_nor_warmed(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    live = _at_days(yesterday, minute_candles(INFY.symbol, [0]))
    today = [replace(candle, complete=True) for candle in minute_candles(INFY.symbol, [OPEN_MS])[:10]]
    stage.mongo.upsert_candles([candle.as_document() for candle in live + today])
    stage.publish([ClosedCandle(0, f"{candle.end_ms + 3000}-0", candle) for candle in today])
    engine, _ = warm(stage, history(broker), "2026-01-02T09:25:30", ["1m"], after=f"{today[3].end_ms + 3000}-0")
    assert broker.asked == []
    assert engine.latest()[0].start_ms == today[3].start_ms
    clean = SignalEngine([], UntilTimeOfDay(1440))
    clean.warm(INFY.symbol, "1m", (live + today[:4])[-250:])
    assert newest(engine) == newest(clean)


def test_a_broker_that_refuses_leaves_the_rows_for_later(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    live = _at_days(yesterday, minute_candles(INFY.symbol, [0]))
    stage.mongo.upsert_candles([candle.as_document() for candle in live[-50:]])
    broker.faults = [403]
    engine, (done, again) = warm(stage, history(broker), "2026-01-02T09:00", ["1m"])
    assert (done, again) == ([], [(INFY.symbol, "1m")])
    assert engine.bars(INFY.symbol, "1m") == 50


def test_without_a_broker_longer_candles_come_from_mongo_alone(stage: Stage) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    five = grouped(_at_days(yesterday, minute_candles(INFY.symbol, [0])), 5)
    stage.mongo.upsert_candles([candle.as_document() for candle in five])
    engine, (done, again) = warm(stage, None, "2026-01-02T09:00", ["5m"])
    assert (done, len(again)) == ([], 1)
    assert engine.bars(INFY.symbol, "5m") == 75


def test_each_of_many_instruments_is_warmed_with_what_is_its_own(stage: Stage) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    instruments = [replace(INFY, tradingsymbol=f"S{index:02}") for index in range(45)]
    held: dict[str, list[Candle]] = {}
    for index, instrument in enumerate(instruments):
        held[instrument.symbol] = _at_days(yesterday, minute_candles(instrument.symbol, [0]))[: index % 4 * 10]
    stage.mongo.upsert_candles([candle.as_document() for candles in held.values() for candle in candles])
    pairs = [(instrument.symbol, name) for instrument in instruments[::-1] for name in ("1m", "5m")]
    engine, progress = SignalEngine([], UntilTimeOfDay(1440)), list[tuple[int, int, int]]()
    warm_up = WarmUp(stage.store, stage.mongo, None, CALENDAR, lambda *done: progress.append(done))
    cut = Cut({0: EntryId.parse("0-0")}, at("2026-01-02T09:00"))
    result = warm_up.run(engine, instruments[::-1], TIMEFRAMES, pairs, cut)
    assert sorted(result.again) == sorted(pairs)
    assert [report[0] for report in progress] == list(range(46))
    plain = SignalEngine([], UntilTimeOfDay(1440))
    for symbol, candles in held.items():
        plain.warm(symbol, "1m", candles)
        assert engine.bars(symbol, "1m") == len(candles)
    values = [
        {(row.symbol, row.timeframe): row.values.as_dict() for row in side.latest()} for side in (engine, plain)
    ]
    assert values[0] == values[1]
    assert len(values[0]) == 33
