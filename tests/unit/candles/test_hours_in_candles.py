"""What an instrument's hours make of its packets, by the real table.

Indices of other exchanges, the futures' auction, and hours that are edited while the day runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import pytest

from data_handler import rules_of
from tests.shared.engine_candles import engine_candles
from tests.shared.extended_day import (
    EVENING,
    FUTURE,
    HEARTBEAT,
    MORNING,
    extended_hours,
    frames,
    full,
    index,
    mark,
    ms,
)
from utils.candles.engine import CandleEngine
from utils.journal.entries import Entry
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import IST
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframes
from utils.runtime.settings import Settings


def engine_of(timeframes: str, calendar: SessionCalendar, window: int = 120) -> CandleEngine:
    return CandleEngine(parse_timeframes(timeframes), rules_of(Settings()), window, calendar)


def closed(engine: CandleEngine, entries: Iterable[Entry]) -> dict[tuple[str, str], tuple[float, ...]]:
    """The last state of each candle, by timeframe and start: open, high, low, close, volume."""
    found: dict[tuple[str, str], tuple[float, ...]] = {}
    for engine_candle in engine_candles(engine.process(entries)):
        candle = engine_candle.candle
        start = datetime.fromtimestamp(candle.start_ms / 1000, IST).strftime("%H:%M")
        found[candle.timeframe, start] = (candle.open, candle.high, candle.low, candle.close, candle.volume or 0)
    return found


@pytest.mark.parametrize(("exchange", "has_evening"), [("MCX", True), ("NSE", False), ("NSEIX", False)])
def test_an_index_of_mcx_has_candles_in_the_evening(exchange: str, has_evening: bool) -> None:
    instrument = Instrument(273417, exchange, "X", "X", "INDICES", "EQ", "", 0.0, 1, SessionClass.INDEX)
    clocks = ("08:59:30", "09:20:05", "18:00:05", "18:01:05")
    entries = frames(*((clock, index(instrument.token, 6_000_00 + n, clock)) for n, clock in enumerate(clocks)))
    found = closed(
        engine_of("1m", SessionCalendar.load()), [mark("08:59", instrument), *entries, *frames(("23:50", b"\0"))]
    )
    assert (("1m", "18:00") in found) is has_evening
    assert (("1m", "09:20") in found) is (exchange != "NSEIX")


def test_the_auction_of_a_future_belongs_to_the_day_and_to_no_minute() -> None:
    """60 000 contracts at 1520 in the auction, then 800 in the first minute."""
    day = (152_000, 152_000, 151_000)
    entries = frames(
        ("08:50:01", full(FUTURE, 150_000, 0, "08:50:00")),
        ("09:08:01", full(FUTURE, 152_000, 60_000, "09:08:00", (152_000,) * 3)),
        ("09:15:01", full(FUTURE, 151_000, 60_400, "09:15:01", day)),
        ("09:15:30", full(FUTURE, 151_200, 60_800, "09:15:30", day)),
        ("15:50:00", HEARTBEAT),
    )
    found = closed(engine_of("1m,1d", SessionCalendar.load()), [mark("08:50", FUTURE), *entries])
    assert found["1m", "09:15"] == (1510.0, 1512.0, 1510.0, 1512.0, 800)
    assert found["1d", "09:15"][1:] == (1520.0, 1510.0, 1512.0, 60_800)


def longer(tmp_path: Path, close: str = "17:00") -> SessionCalendar:
    return SessionCalendar.load(local=extended_hours(tmp_path / "sessions.local.toml", close))


def test_a_restart_goes_on_with_the_hours_that_were_edited_in_mid_day(tmp_path: Path) -> None:
    """The same candles as if the hours had been known in the morning: open ones end where the new hours end them."""
    known = closed(engine_of("1m,1h,1d", longer(tmp_path)), [*MORNING, *EVENING])
    before = engine_of("1m,1h,1d", SessionCalendar.load())
    early = closed(before, MORNING)
    after = engine_of("1m,1h,1d", longer(tmp_path))
    after.restore(before.snapshot())
    assert after.new_hours == ["NSE:INFY"]
    assert early | closed(after, EVENING) == known
    assert known["1h", "15:15"] == (1502.0, 1510.0, 1502.0, 1510.0, 800)
    assert ("1m", "16:20") in known


def test_a_candle_that_was_closed_by_the_old_hours_is_amended_with_its_new_end(tmp_path: Path) -> None:
    before = engine_of("1h,1d", SessionCalendar.load())
    before.process([*MORNING, *frames(("15:40", HEARTBEAT))])
    after = engine_of("1h,1d", longer(tmp_path))
    after.restore(before.snapshot())
    output = after.process(EVENING[1:2])
    assert {
        engine_candle.candle.timeframe: (engine_candle.candle.end_ms, engine_candle.candle.rev)
        for engine_candle in engine_candles(output)
    } == {
        "1h": (ms("16:15"), 1),
        "1d": (ms("17:00"), 1),
    }


def test_hours_that_became_shorter_end_what_is_open(tmp_path: Path) -> None:
    before = engine_of("1h,1d", SessionCalendar.load())
    before.process([*MORNING, *frames(("15:20", HEARTBEAT))])
    after = engine_of("1h,1d", longer(tmp_path, close="15:20"))
    after.restore(before.snapshot())
    assert set(closed(after, frames(("15:20:03", HEARTBEAT)))) == {("1h", "15:15"), ("1d", "09:15")}


@pytest.mark.parametrize("grace_seconds", [3.0, 10.0])
def test_a_restart_closes_by_the_grace_that_is_set_now(grace_seconds: float) -> None:
    before = engine_of("1m", SessionCalendar.load())
    before.process(MORNING)
    rules = rules_of(Settings())._replace(grace_ms=round(1000 * grace_seconds))
    after = CandleEngine(parse_timeframes("1m"), rules, 120, SessionCalendar.load())
    after.restore(before.snapshot())
    assert len(engine_candles(after.process(frames(("15:19:05", HEARTBEAT))))) == (1 if grace_seconds == 3.0 else 0)
    assert len(engine_candles(after.process(frames(("15:19:10", HEARTBEAT))))) == (0 if grace_seconds == 3.0 else 1)


def test_hours_that_are_the_same_change_nothing() -> None:
    before = engine_of("1m,1h,1d", SessionCalendar.load())
    before.process(MORNING)
    after = engine_of("1m,1h,1d", SessionCalendar.load())
    after.restore(before.snapshot())
    assert after.new_hours == []
    assert after.snapshot() == before.snapshot()
