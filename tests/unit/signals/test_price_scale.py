"""A past on another price scale is found by the exchange's own close of the day before, and given up."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from strategies import Direction, Proposal, Strategy
from utils.market.candle import Candle, Source, TimedBy
from utils.market.entry_limit import UntilTimeOfDay
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import ist_midnight_ms
from utils.market.sessions import SessionCalendar
from utils.signals.engine import SignalEngine
from utils.signals.price_scale import Last, PriceScale
from utils.signals.state import split

CALENDAR = SessionCalendar.load()
THURSDAY, FRIDAY, MONDAY = date(2026, 7, 2), date(2026, 7, 3), date(2026, 7, 6)
MINUTE = 60_000
NAME = "NSE:SPLITCO"
OF_CLASS = {
    SessionClass.EQUITY: Instrument(1, "NSE", "SPLITCO", "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY),
    SessionClass.EQUITY_FNO: Instrument(1, "NSE", "SPLITCO", "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY_FNO),
    SessionClass.INDEX: Instrument(1, "NSE", "SPLITCO", "", "INDICES", "EQ", "", 0.05, 1, SessionClass.INDEX),
    SessionClass.EQUITY_DERIVATIVE: Instrument(
        1, "NSE", "SPLITCO", "", "NFO-FUT", "FUT", "", 0.05, 1, SessionClass.EQUITY_DERIVATIVE
    ),
}
OPTION = replace(OF_CLASS[SessionClass.EQUITY_DERIVATIVE], instrument_type="CE")


def candle(day: date, number: int, price: float, before: float | None = None, symbol: str = NAME) -> Candle:
    start = ist_midnight_ms(day) + (9 * 60 + 15 + 5 * number) * MINUTE
    return Candle(
        symbol, "5m", 1, start, start + 5 * MINUTE, price, price, price, price, 100, None, None, 3, True, Source.LIVE,
        0, TimedBy.EXCHANGE, before,
    )  # fmt: skip


def last(day: date, price: float, number: int = 74) -> Last:
    bar = candle(day, number, price)
    return Last(bar.start_ms, bar.close)


def jumps(instrument: Instrument, before: Last, after: Candle) -> bool:
    scale = PriceScale(CALENDAR)
    scale.know([instrument])
    return scale.jump(before, after) is not None


@pytest.mark.parametrize(
    ("kind", "close", "exchange_close", "price", "is_jump"),
    [
        (SessionClass.EQUITY, 5000.0, 1000.0, 1003.0, True),  # a split 1:5
        (SessionClass.EQUITY, 5000.0, 2500.0, 2600.0, True),  # a bonus 1:1
        (SessionClass.EQUITY, 5000.0, 3333.35, 3300.0, True),  # a bonus 1:2
        (SessionClass.EQUITY, 1000.0, 800.0, 803.0, True),  # a bonus 1:4: within a day's band, not within a close's
        (SessionClass.EQUITY, 20.0, 200.0, 204.0, True),  # a consolidation 10:1
        (SessionClass.EQUITY, 5000.0, 4990.0, 4000.0, False),  # down by the whole band
        (SessionClass.EQUITY, 5000.0, 4900.0, 5800.0, False),
        (SessionClass.EQUITY, 5000.0, 4300.0, 4310.0, False),  # the exchange's close is an average of half an hour
        (SessionClass.EQUITY_FNO, 5000.0, 4444.45, 4450.0, True),  # a bonus 1:8
        (SessionClass.EQUITY_FNO, 5000.0, 5000.0, 4010.0, False),  # a real fall: the exchange's close is ours
        (SessionClass.EQUITY_FNO, 5000.0, 4600.0, 4650.0, False),
        (SessionClass.INDEX, 25000.0, 25010.0, 24000.0, False),
        (SessionClass.INDEX, 25000.0, 2501.0, 2500.0, True),  # an index begun anew from another base
        (SessionClass.INDEX, 13.8, 13.8, 17.6, False),  # India VIX over a bad night
        (SessionClass.INDEX, 13.8, None, 17.6, False),
        (SessionClass.INDEX, 25000.0, None, 2500.0, True),
        (SessionClass.EQUITY_DERIVATIVE, 5000.0, 1000.0, 1003.0, True),
        (SessionClass.EQUITY_DERIVATIVE, 5000.0, 4800.0, 3600.0, False),
        (SessionClass.EQUITY, 5000.0, 5000.0, 1003.0, True),  # the exchange has not adjusted it
        (SessionClass.EQUITY, 5000.0, 1.0, 5010.0, False),  # one odd number is no jump
        (SessionClass.EQUITY, 5000.0, None, 1003.0, True),  # ltp mode, history
        (SessionClass.EQUITY, 5000.0, None, 4100.0, False),
    ],
)
def test_what_no_band_allows_is_a_jump(
    kind: SessionClass, close: float, exchange_close: float | None, price: float, is_jump: bool
) -> None:
    assert jumps(OF_CLASS[kind], last(THURSDAY, close), candle(FRIDAY, 0, price, exchange_close)) is is_jump


def test_an_option_has_no_band() -> None:
    assert not jumps(OPTION, last(THURSDAY, 5.0), candle(FRIDAY, 0, 250.0, 40.0))


def test_a_name_shows_the_class_of_what_is_not_known() -> None:
    scale = PriceScale()
    for symbol, is_jump in (("NFO:X26JULFUT", True), ("NFO:X26JUL1500CE", False), ("BFO:X26JUL1500PE", False)):
        after = candle(FRIDAY, 0, 1000.0, 1000.0, symbol)
        assert (scale.jump(last(THURSDAY, 5000.0), after) is not None) is is_jump


def test_within_a_day_nothing_is_a_jump() -> None:
    assert not jumps(OF_CLASS[SessionClass.EQUITY], last(FRIDAY, 5000.0, 3), candle(FRIDAY, 4, 1000.0, 1000.0))


def test_the_first_price_of_a_day_may_be_a_bad_print() -> None:
    bad_print = replace(candle(FRIDAY, 0, 5010.0, 5000.0), open=1000.0, low=1000.0)
    assert not jumps(OF_CLASS[SessionClass.EQUITY], last(THURSDAY, 5000.0), bad_print)


def test_sessions_that_were_missed_may_have_moved_the_price_each() -> None:
    stock = OF_CLASS[SessionClass.EQUITY]
    assert not jumps(stock, last(THURSDAY, 5000.0), candle(MONDAY, 0, 3300.0, 3300.0))
    assert jumps(stock, last(FRIDAY, 5000.0), candle(MONDAY, 0, 3300.0, 3300.0)), "a weekend is no session"
    assert jumps(stock, last(THURSDAY, 5000.0), candle(MONDAY, 0, 1000.0, 1000.0))
    assert not jumps(stock, last(THURSDAY, 5000.0, 20), candle(FRIDAY, 0, 3300.0, 3300.0)), "a feed that was down"
    assert not jumps(stock, last(date(2025, 7, 2), 5000.0), candle(MONDAY, 0, 1000.0, 1000.0)), "a year"


@pytest.mark.parametrize(("symbol", "is_jump"), [("MCX:MENTHAOIL26JULFUT", True), ("MCX:CRUDEOIL26JULFUT", False)])
def test_a_series_that_ends_at_its_own_close_missed_nothing(symbol: str, is_jump: bool) -> None:
    """Of mentha oil 17:00 is the end, of crude oil an evening is missing."""
    end = candle(FRIDAY, 92, 1_000.0, symbol=symbol)  # 16:55
    after = candle(MONDAY, 0, 750.0, 750.0, symbol)
    assert (PriceScale(CALENDAR).jump(Last(end.start_ms, end.close), after) is not None) is is_jump


# ---- what the engine makes of it

ALWAYS = Strategy(
    "always",
    ("sma_20",),
    lambda candle, *_: Proposal(Direction.LONG, candle.close, candle.close - 1, candle.close + 1, ("",)),
)


def new_engine() -> SignalEngine:
    return SignalEngine([ALWAYS], UntilTimeOfDay(1440), scale=PriceScale(CALENDAR))


def two_days(factor: float) -> list[Candle]:
    """A day, and the next one on a scale that is `factor` of the first's."""
    first = [candle(THURSDAY, number, 5000.0 + number % 7) for number in range(75)]
    return [
        *first,
        *(candle(FRIDAY, number, (5000.0 + number % 5) * factor, 5000.0 * factor) for number in range(75)),
    ]


def signals(engine: SignalEngine, candles: list[Candle], at_once: int) -> list[tuple[int, float, float]]:
    """Start, entry and sma_20 of each signal; the candles come in batches of so many."""
    fired = [
        firing.signal
        for first in range(0, len(candles), at_once)
        for firing in engine.apply(candles[first : first + at_once]).fired
    ]
    return [(firing.start_ms, firing.entry, firing.values["sma_20"]) for firing in fired]


def test_no_signal_and_no_value_is_of_both_scales() -> None:
    candles = two_days(0.2)
    alone = new_engine()
    expected = signals(new_engine(), candles[:75], 75) + signals(alone, candles[75:], 75)
    for at_once in (1, 7, 75, 150):
        engine = new_engine()
        assert signals(engine, candles, at_once) == expected
        assert [values.values.as_dict() for values in engine.latest()] == [
            values.values.as_dict() for values in alone.latest()
        ]
        assert [jump.as_text() for jump in engine.jumps] == [f"{NAME}|2026-07-03|5004|1000"]
    undisturbed = signals(new_engine(), two_days(1.0), 150)
    assert len(undisturbed) > len(expected), "without a jump the second day's first candles give signals, too"


def test_each_row_notes_the_same_jump_once() -> None:
    engine = new_engine()
    candles = two_days(0.2)
    both = [candle for each in candles for candle in (each, replace(each, timeframe="10m"))]
    assert [jump.symbol for jump in engine.apply(both).jumps] == [NAME]


def test_killed_anywhere_it_publishes_the_same() -> None:
    candles = two_days(0.2)
    whole = new_engine()
    expected = signals(whole, candles, 10)
    for stop in range(60, 90):
        engine, restored = new_engine(), new_engine()
        before = signals(engine, candles[:stop], 10)
        restored.restore(engine.snapshot({"positions": {"0": "0-0"}, "warmed": {}}))
        assert before + signals(restored, candles[stop:], 10) == expected
        assert restored.jumps == whole.jumps
    part = new_engine()
    part.restore(split(whole.snapshot({"positions": {"0": "0-0"}, "warmed": {}}), {0: ["NSE:INFY"]})[0])
    assert part.jumps == []


def test_a_row_is_warmed_with_what_lies_behind_the_last_jump() -> None:
    candles = two_days(0.2)
    engine = new_engine()
    engine.warm(NAME, "5m", candles)
    assert engine.bars(NAME, "5m") == 75
    assert engine.latest()[0].values.sma_20 < 1010
    assert [jump.ratio for jump in engine.jumps] == [pytest.approx(0.2, rel=1e-3)]


def test_a_second_jump_leaves_the_candles_before_the_first_to_it() -> None:
    engine = new_engine()
    engine.apply(two_days(0.2))
    engine.note_marked(engine.jumps[0])
    engine.apply([candle(MONDAY, 0, 100.0, 100.0)])
    (jump,) = engine.jumps
    assert (jump.day, jump.after, jump.is_marked) == ("2026-07-06", "2026-07-03", False)
    assert (jump.after_ms, jump.from_ms) == (ist_midnight_ms(FRIDAY), ist_midnight_ms(MONDAY))
