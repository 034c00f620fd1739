"""An instrument that left the subscription leaves the state of its shard a day later, and nothing else changes."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from tests.shared.engine_candles import engine_candles
from tests.shared.weekly_options import contracts, expiry_day, expiry_of, heartbeat, mark, trades
from utils.candles.engine import CandleEngine
from utils.candles.engine_output import EngineOutput
from utils.candles.kernels.layout import Rules
from utils.journal.entries import Entry
from utils.market.instruments import Instrument
from utils.market.sessions import MOST_ANSWERS, SessionCalendar
from utils.market.timeframes import parse_timeframes

COUNT = 5
FIRST = expiry_of(0)
NEXT, AFTER_NEXT = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
STAYING = contracts(1, COUNT)
GOING = contracts(0, COUNT)


def new_engine() -> CandleEngine:
    rules = Rules(3_000, 60_000, 1_000, 2.5, 4.0, 10, 5.0, 3)
    return CandleEngine(parse_timeframes("1m,1h,1d"), rules, 10, SessionCalendar.load())


def symbols(instruments: list[Instrument]) -> list[str]:
    return [instrument.symbol for instrument in instruments]


def closes(output: EngineOutput) -> list[tuple[str, str]]:
    return [(engine_candle.candle.symbol, engine_candle.candle.timeframe) for engine_candle in engine_candles(output)]


def test_it_leaves_at_the_day_roll_after_the_next_one() -> None:
    engine = new_engine()
    engine.process([mark(FIRST, "09:10", GOING + STAYING), heartbeat(FIRST, "15:45")])
    output = engine.process([heartbeat(NEXT, "08:00"), mark(NEXT, "08:30", STAYING), heartbeat(NEXT, "15:45")])
    assert symbols(engine.instruments) == symbols(GOING + STAYING), "named on the day before"
    assert output.gone == []
    output = engine.process([heartbeat(AFTER_NEXT, "08:00")])
    assert symbols(engine.instruments) == symbols(STAYING)
    assert output.gone == GOING
    assert len(engine.shard.instruments) == len(engine.shard.open) == len(engine.shard.due) == COUNT


def test_a_connection_that_lasts_for_days_keeps_its_instruments() -> None:
    engine = new_engine()
    engine.process([mark(FIRST, "09:10", STAYING)])
    for days in range(1, 9):
        assert engine.process([heartbeat(FIRST + timedelta(days=days), "10:00")]).gone == []
    assert symbols(engine.instruments) == symbols(STAYING)


def test_what_was_open_is_closed_and_published_before_it_leaves() -> None:
    engine = new_engine()
    engine.process([mark(FIRST, "09:10", GOING), mark(FIRST, "10:00", GOING + STAYING)])
    engine.process(
        [mark(NEXT, "09:10", STAYING + GOING), *(trades(NEXT, f"09:{15 + n}", GOING, 101 + n) for n in (0, 1))]
    )
    engine.process([mark(NEXT, "09:17", STAYING)])
    later = NEXT + timedelta(days=2)
    output = engine.process([heartbeat(later, "00:00")])
    assert output.gone == [], "it was named on the day that was the last one"
    assert sorted(closes(output)) == sorted((entry.symbol, frame) for entry in GOING for frame in ("1m", "1h", "1d"))
    assert engine.process([heartbeat(later + timedelta(days=1), "00:00")]).gone == GOING


@pytest.mark.parametrize("is_named_first", [False, True])
def test_whoever_is_named_now_has_a_token_that_was_used_before(is_named_first: bool) -> None:
    """Tokens are used again: the new contract's packets are its own, whichever row came first."""
    (old,) = contracts(0, 1)
    (new,) = contracts(1, 1)
    new = Instrument(**{**new.as_dict(), "token": old.token})
    engine = new_engine()
    day, minutes = FIRST, [f"09:{n}" for n in (14, 15, 16, 17)]
    if is_named_first:
        engine.process([mark(day, "09:00", [new])])
    engine.process([mark(day, "09:05", [old]), mark(day, "09:10", [new])])
    output = engine.process([trades(day, clock, [new], 100 + n) for n, clock in enumerate(minutes)])
    assert {symbol for symbol, _ in closes(output)} == {new.symbol}


def weeks_of(count: int) -> list[Entry]:
    return [entry for week in range(count) for entry in expiry_day(week, contracts(week, COUNT))]


@pytest.mark.parametrize("every", [1, 3, 7, 1_000])
def test_restarts_and_batches_change_nothing(every: int) -> None:
    """The same closes, the same that leave, and the same state, in whatever pieces the entries come."""
    entries = weeks_of(4)
    at_once = new_engine()
    expected = at_once.process(entries)
    engine, found = new_engine(), EngineOutput()
    for first in range(0, len(entries), every):
        output = engine.process(entries[first : first + every])
        found.records += output.records
        found.gone += output.gone
        again = new_engine()
        again.restore(engine.snapshot())
        engine = again
    assert engine_candles(found) == engine_candles(expected)
    assert found.gone == expected.gone == [contract for week in (0, 1) for contract in contracts(week, COUNT)]
    assert engine.snapshot() == at_once.snapshot()


def test_the_state_of_ten_weeks_is_that_of_two() -> None:
    engine, sizes = new_engine(), []
    for week in range(10):
        engine.process(expiry_day(week, contracts(week, COUNT)))
        sizes.append(len(engine.snapshot()))
    assert len(engine.instruments) == 2 * COUNT
    assert max(sizes[2:]) <= 1.01 * sizes[1], sizes


def test_an_instrument_that_comes_back_begins_anew() -> None:
    engine = new_engine()
    engine.process(expiry_day(0, GOING))
    day = date(2026, 1, 20)
    engine.process([mark(FIRST + timedelta(days=7), "09:10", STAYING), heartbeat(day, "00:00")])
    assert symbols(engine.instruments) == symbols(STAYING)
    output = engine.process(
        [mark(day, "09:10", STAYING + GOING), *(trades(day, f"09:{15 + n}", GOING, 200 + n) for n in range(4))]
    )
    assert [
        engine_candle.candle.volume
        for engine_candle in engine_candles(output)
        if engine_candle.candle.timeframe == "1m"
    ] == [1] * (2 * COUNT)
    assert symbols(engine.instruments) == symbols(STAYING + GOING)


def test_what_a_calendar_remembers_of_days_has_an_end() -> None:
    calendar, fresh = SessionCalendar.load(), SessionCalendar.load()
    days = [FIRST + timedelta(days=n) for n in range(MOST_ANSWERS + 500)]
    for day in days:
        calendar.for_instrument(STAYING[0], day)
    assert len(calendar._answers) <= MOST_ANSWERS
    assert [calendar.for_instrument(STAYING[0], day) for day in days[:200]] == [
        fresh.for_instrument(STAYING[0], day) for day in days[:200]
    ]
