"""The tape depends on seed, date and instrument alone; the true candles are what a plain loop over it gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import numpy as np
import pytest

from simulator.tape import Tape
from simulator.truth import truth_candles
from simulator.universe import Universe, build_universe
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframe

DAY = date(2026, 11, 20)
CALENDAR = SessionCalendar.load()
SYMBOLS = (
    "NSE:NIFTY 50",
    "NSE:INFY",
    "NSE:TRIVENI",
    "NFO:INFY26NOVFUT",
    "CDS:USDINR26NOVFUT",
    "MCX:CRUDEOIL26NOVFUT",
)


def _tape(how_many: int = 70, seed: int = 7, day: date = DAY) -> Tape:
    return Tape(build_universe(how_many, seed, CALENDAR, DAY), CALENDAR, day)


def _row(universe: Universe, symbol: str) -> int:
    return universe.row_of_symbol()[symbol]


@pytest.fixture(scope="module")
def tape() -> Tape:
    return _tape()


def _day(tape: Tape, symbol: str) -> list[tuple[int, int, int]]:
    trades = tape.full_day(_row(tape.universe, symbol))
    return list(zip(trades.ms.tolist(), trades.price.tolist(), trades.quantity.tolist(), strict=True))


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_same_instrument_trades_alike_in_any_universe(tape: Tape, symbol: str) -> None:
    assert _day(tape, symbol) == _day(_tape(how_many=200), symbol)


@pytest.mark.parametrize("other", [_tape(seed=8), _tape(day=date(2026, 11, 19))], ids=["seed", "date"])
def test_another_seed_or_date_is_another_tape(tape: Tape, other: Tape) -> None:
    def prices(day_tape: Tape) -> list[int]:
        return [price for _, price, _ in _day(day_tape, "NSE:RELIANCE")]

    assert prices(tape) != prices(other)


def test_minutes_in_any_order_are_the_day(tape: Tape) -> None:
    shuffled = np.random.default_rng(3).permutation(1440)
    minutes = {int(minute): tape.minute(int(minute)) for minute in shuffled}
    for symbol in SYMBOLS:
        row = _row(tape.universe, symbol)
        found = []
        for minute in range(1440):
            some = minutes[minute].select(minutes[minute].row == row)
            found += list(zip(some.ms.tolist(), some.price.tolist(), some.quantity.tolist(), strict=True))
        assert found == _day(tape, symbol)


def test_a_minute_is_sorted_by_row_and_time(tape: Tape) -> None:
    trades = tape.minute(556)
    keys = list(zip(trades.row.tolist(), trades.ms.tolist(), strict=True))
    assert keys == sorted(keys)
    assert len({row for row, _ in keys}) > 30


def test_rates_differ_and_quiet_minutes_are_empty() -> None:
    tape = _tape(how_many=200)
    rates = tape.universe.rate
    assert rates.min() == 0.02
    assert rates.max() == 2.0
    assert 0.2 < rates.mean() < 0.45
    quiet = int(np.argmin(rates))
    minutes = {ms // 60_000 for ms in tape.full_day(quiet).ms.tolist()}
    assert 50 < len(minutes) < 300


def test_prices_stand_on_the_tick_and_move_with_fat_tails(tape: Tape) -> None:
    for symbol in SYMBOLS:
        row = _row(tape.universe, symbol)
        prices = tape.full_day(row).price
        assert (prices > 0).all()
        assert (prices % tape.universe.tick_wire[row] == 0).all()
    closes = np.array([candle.close for candle in truth_candles(tape, 0, parse_timeframe("1m"))])
    moves = np.diff(np.log(closes))
    kurtosis = float(np.mean((moves - moves.mean()) ** 4) / np.var(moves) ** 2)
    assert kurtosis > 3.5


def test_activity_is_u_shaped() -> None:
    tape = _tape(how_many=200)
    counts = [len(tape.minute(minute)) for minute in (556, 720, 909)]
    assert counts[0] > 1.5 * counts[1]
    assert counts[2] > 1.2 * counts[1]


@pytest.mark.parametrize(
    ("symbol", "day", "windows"),
    [
        ("NSE:INFY", date(2026, 11, 20), [(9, 7, 9, 9), (9, 15, 15, 15), (15, 15, 15, 35), (15, 50, 16, 0)]),
        ("NSE:INFY", date(2026, 7, 31), [(9, 7, 9, 9), (9, 15, 15, 30), (15, 40, 16, 0)]),
        ("NSE:TRIVENI", date(2026, 11, 20), [(9, 7, 9, 9), (9, 15, 15, 30), (15, 40, 16, 0)]),
        ("NFO:INFY26NOVFUT", date(2026, 11, 20), [(9, 7, 9, 9), (9, 15, 15, 40)]),
        ("NSE:NIFTY 50", date(2026, 11, 20), [(9, 15, 15, 30)]),
        ("CDS:USDINR26NOVFUT", date(2026, 11, 20), [(9, 0, 17, 0)]),
        ("MCX:CRUDEOIL26NOVFUT", date(2026, 11, 20), [(9, 0, 23, 55)]),
    ],
)
def test_trades_fall_in_their_sessions(symbol: str, day: date, windows: list[tuple[int, int, int, int]]) -> None:
    tape = _tape(day=day)
    minutes = [(ms - tape.midnight_ms) / 60_000 for ms, _, _ in _day(tape, symbol)]
    spans = [(a * 60 + b, c * 60 + d) for a, b, c, d in windows]
    for start, end in spans[:3]:
        assert any(start <= minute < end for minute in minutes), f"no trade in {start}-{end}"
    assert all(any(start <= minute < end for start, end in spans) for minute in minutes)


@pytest.mark.parametrize(("day", "has_auction"), [(date(2026, 11, 20), False), (date(2026, 11, 25), True)])
def test_a_future_has_an_auction_when_its_month_is_the_current_one(day: date, has_auction: bool) -> None:
    tape = _tape(how_many=300, day=day)
    assert (_row(tape.universe, "NFO:NIFTY26DECFUT") in tape.specials.row.tolist()) is has_auction


def test_a_holiday_has_no_trades() -> None:
    tape = _tape(day=date(2026, 12, 25))
    assert sum(len(tape.minute(minute)) for minute in range(540, 960)) == 0


def _plain_truth(
    trades: list[tuple[int, int, int]], start_of: Callable[[int], int | None]
) -> dict[int, tuple[int, int, int, int, int]]:
    """start to (open, high, low, close, volume), one trade after the other."""
    candles: dict[int, list[int]] = {}
    for ms, price, quantity in trades:
        start = start_of(ms)
        if start is None:
            continue
        if start not in candles:
            candles[start] = [price, price, price, price, quantity]
            continue
        candle = candles[start]
        candle[1], candle[2], candle[3] = max(candle[1], price), min(candle[2], price), price
        candle[4] += quantity
    return {start: (c[0], c[1], c[2], c[3], c[4]) for start, c in candles.items()}


HOURS_IST = {
    "NSE:NIFTY 50": ("09:15", "15:30", "09:15", "15:30"),
    "NSE:INFY": ("09:15", "15:15", "09:00", "15:35"),
    "NSE:TRIVENI": ("09:15", "15:30", "09:00", "15:30"),
    "NFO:INFY26NOVFUT": ("09:15", "15:40", "09:00", "15:40"),
    "CDS:USDINR26NOVFUT": ("09:00", "17:00", "09:00", "17:00"),
    "MCX:CRUDEOIL26NOVFUT": ("09:00", "23:55", "09:00", "23:55"),
}


def _hours_ms(symbol: str) -> tuple[int, ...]:
    midnight_ms = 1795113000000  # 2026-11-20T00:00:00+05:30
    times = [text.split(":") for text in HOURS_IST[symbol]]
    return tuple(midnight_ms + (int(hour) * 60 + int(minute)) * 60_000 for hour, minute in times)


@pytest.mark.parametrize("symbol", SYMBOLS)
@pytest.mark.parametrize(("name", "minutes"), [("1m", 1), ("5m", 5), ("10m", 10), ("60m", 60), ("75m", 75)])
def test_truth_is_what_a_plain_loop_gives(tape: Tape, symbol: str, name: str, minutes: int) -> None:
    open_ms, close_ms, _, _ = _hours_ms(symbol)
    length = minutes * 60_000

    def start_of(ms: int) -> int | None:
        return open_ms + (ms - open_ms) // length * length if open_ms <= ms < close_ms else None

    plain = _plain_truth(_day(tape, symbol), start_of)
    true = truth_candles(tape, _row(tape.universe, symbol), parse_timeframe(name))
    assert {c.start_ms: (c.open, c.high, c.low, c.close, c.volume) for c in true} == plain
    assert all(c.end_ms == min(c.start_ms + length, close_ms) for c in true)
    assert len(true) == len(plain) > 4


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_day_takes_in_the_auctions_and_not_the_post_close(tape: Tape, symbol: str) -> None:
    open_ms, _, start_ms, end_ms = _hours_ms(symbol)
    plain = _plain_truth(_day(tape, symbol), lambda ms: open_ms if start_ms <= ms < end_ms else None)
    (true,) = truth_candles(tape, _row(tape.universe, symbol), parse_timeframe("1d"))
    assert (true.open, true.high, true.low, true.close, true.volume) == plain[open_ms]
    assert (true.start_ms, true.end_ms) == (open_ms, end_ms)
    if symbol == "NSE:INFY":
        before = [quantity for ms, _, quantity in _day(tape, symbol) if ms < open_ms]
        intraday = truth_candles(tape, _row(tape.universe, symbol), parse_timeframe("60m"))
        assert true.volume > sum(before) + sum(c.volume for c in intraday), "the closing auction is missing"


def test_truth_up_to_now_leaves_the_future_out(tape: Tape) -> None:
    row = _row(tape.universe, "NSE:INFY")
    now_ms = _hours_ms("NSE:INFY")[0] + 90 * 60_000
    partial = truth_candles(tape, row, parse_timeframe("60m"), now_ms)
    whole = truth_candles(tape, row, parse_timeframe("60m"))
    assert len(partial) == 2
    assert partial[0] == whole[0]
    assert partial[1].volume < whole[1].volume
