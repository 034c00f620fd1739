"""The broker's history: continuous from day to day, on trading days alone, and of today what has happened."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from simulator.bars import Bars
from simulator.history import INTERVALS, History, as_rows
from simulator.tape import Tape
from simulator.truth import truth_candles
from simulator.universe import build_universe
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframe

DAY = date(2026, 11, 20)
CALENDAR = SessionCalendar.load()
UNIVERSE = build_universe(70, 7, CALENDAR, DAY)
TAPE = Tape(UNIVERSE, CALENDAR, DAY)
IST_HOURS = timedelta(hours=5, minutes=30)
SYMBOLS = (
    "NSE:NIFTY 50",
    "NSE:INFY",
    "NSE:TRIVENI",
    "NFO:INFY26NOVFUT",
    "MCX:CRUDEOIL26NOVFUT",
    "CDS:USDINR26NOVFUT",
)


def _ms(*parts: int) -> int:
    return round((datetime(*parts, tzinfo=UTC) - IST_HOURS).timestamp() * 1000)  # type: ignore[misc, arg-type]


def _ist(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC) + IST_HOURS


NOW_MS = _ms(2026, 11, 20, 11, 7, 30)


@pytest.fixture(scope="module")
def history() -> History:
    return History(UNIVERSE, CALENDAR, TAPE)


def _row(symbol: str) -> int:
    return UNIVERSE.row_of_symbol()[symbol]


def _candles(history: History, symbol: str, interval: str, from_ms: int, to_ms: int = NOW_MS) -> Bars:
    return history.candles(_row(symbol), INTERVALS[interval], from_ms, to_ms, NOW_MS)


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_bars_are_sound(history: History, symbol: str) -> None:
    bars = _candles(history, symbol, "minute", _ms(2026, 10, 1))
    assert len(bars) > 3000
    assert (np.diff(bars.start_ms) >= 60_000).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    assert (bars.low > 0).all()
    assert ((bars.volume > 0) == (symbol != "NSE:NIFTY 50")).all()


def test_asking_twice_or_apart_is_the_same(history: History) -> None:
    whole = _candles(history, "NSE:INFY", "minute", _ms(2026, 11, 2), _ms(2026, 11, 13))
    fresh = History(build_universe(200, 7, CALENDAR, DAY), CALENDAR, TAPE)
    parts = [
        _candles(fresh, "NSE:INFY", "minute", _ms(2026, 11, day), _ms(2026, 11, day, 23)) for day in range(2, 13)
    ]
    assert np.concatenate([part.close for part in parts]).tolist() == whole.close.tolist()
    assert np.concatenate([part.volume for part in parts]).tolist() == whole.volume.tolist()


def test_only_trading_days_and_their_hours(history: History) -> None:
    bars = _candles(history, "NSE:INFY", "minute", _ms(2026, 7, 27), _ms(2026, 8, 5, 23))
    times = [_ist(ms) for ms in bars.start_ms.tolist()]
    by_day = {
        day: [time.strftime("%H:%M") for time in times if time.date() == day] for day in {t.date() for t in times}
    }
    assert sorted(day.day for day in by_day) == [3, 4, 5, 27, 28, 29, 30, 31]
    assert (by_day[date(2026, 7, 31)][0], by_day[date(2026, 7, 31)][-1]) == ("09:15", "15:29")
    assert (by_day[date(2026, 8, 3)][0], by_day[date(2026, 8, 3)][-1]) == ("09:15", "15:14")


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_days_follow_each_other(history: History, symbol: str) -> None:
    days = _candles(history, symbol, "day", _ms(2025, 1, 1))
    assert len(days) > 400
    gaps = np.abs(np.log(days.open[1:] / days.close[:-1]))
    assert gaps.max() < 0.08
    assert np.log(days.close.max() / days.close.min()) < 2.5


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_session_goes_on_from_the_day_before(history: History, symbol: str) -> None:
    row = _row(symbol)
    before = history.previous_day_bars()[row]
    first = int(TAPE.full_day(row).price[0])
    assert abs(np.log(first / before.close[0])) < 0.05


@pytest.mark.parametrize(
    ("interval", "minutes"), [("3minute", 3), ("10minute", 10), ("30minute", 30), ("60minute", 60)]
)
def test_longer_bars_are_made_of_minutes(history: History, interval: str, minutes: int) -> None:
    from_ms, to_ms = _ms(2026, 11, 18), _ms(2026, 11, 19, 23)
    plain: dict[int, list[int]] = {}
    small = _candles(history, "NSE:TRIVENI", "minute", from_ms, to_ms)
    for start, o, h, low, c, v in zip(*(column.tolist() for column in small.columns()[:6]), strict=True):
        day_open = _ms(*_ist(start).timetuple()[:3], 9, 15)
        bucket = start - (start - day_open) % (minutes * 60_000)
        if bucket not in plain:
            plain[bucket] = [o, h, low, c, v]
        else:
            bar = plain[bucket]
            plain[bucket] = [bar[0], max(bar[1], h), min(bar[2], low), c, bar[4] + v]
    long = _candles(history, "NSE:TRIVENI", interval, from_ms, to_ms)
    found = zip(*(column.tolist() for column in long.columns()[:6]), strict=True)
    assert {start: list(rest) for start, *rest in found} == plain


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_of_today_there_is_what_has_happened(history: History, symbol: str) -> None:
    bars = _candles(history, symbol, "5minute", _ms(2026, 11, 20), _ms(2026, 11, 20, 23))
    true = truth_candles(TAPE, _row(symbol), parse_timeframe("5m"))
    whole = [candle for candle in true if candle.end_ms <= NOW_MS]
    found = list(zip(*(column.tolist() for column in bars.columns()[:6]), strict=True))
    assert found[: len(whole)] == [(c.start_ms, c.open, c.high, c.low, c.close, c.volume) for c in whole]
    assert len(found) <= len(whole) + 1
    assert bars.start_ms[-1] <= NOW_MS


def test_the_day_s_row_is_stamped_midnight(history: History) -> None:
    days = _candles(history, "NSE:INFY", "day", _ms(2026, 11, 18))
    rows = as_rows(days, 100, with_oi=False)
    assert [row[0] for row in rows] == [f"2026-11-{day}T00:00:00+0530" for day in (18, 19, 20)]
    assert rows[0][4] == days.close[0] / 100
    assert len(rows[0]) == 6
    assert len(as_rows(days, 100, with_oi=True)[0]) == 7


def test_nothing_after_now_and_nothing_of_the_future(history: History) -> None:
    assert len(_candles(history, "NSE:INFY", "minute", NOW_MS + 60_000, NOW_MS + 86_400_000)) == 0
