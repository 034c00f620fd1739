"""Any number of instruments, each the same in every universe, classified by its dump alone."""

from __future__ import annotations

from collections import Counter
from datetime import date

import pytest

from simulator.universe import Universe, build_universe
from utils.market.instruments import SessionClass, parse_dump
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import DEFAULT_INSTRUMENTS

DAY = date(2026, 11, 20)
CALENDAR = SessionCalendar.load()


def _universe(how_many: int, day: date = DAY) -> Universe:
    return build_universe(how_many, 7, CALENDAR, day)


@pytest.mark.parametrize("how_many", [5, 6, 17, 60, 61, 200, 3_000, 27_000])
def test_as_many_as_asked_for_and_each_once(how_many: int) -> None:
    universe = _universe(how_many)
    assert len(universe) == how_many
    assert len(set(universe.tokens.tolist())) == how_many
    assert len({instrument.symbol for instrument in universe.instruments}) == how_many


@pytest.mark.parametrize("how_many", [4, 27_001])
def test_too_few_or_too_many_are_refused(how_many: int) -> None:
    with pytest.raises(ValueError, match="5 to 27000"):
        _universe(how_many)


def test_a_small_universe_is_part_of_a_larger_one() -> None:
    small, large = _universe(60), _universe(500)
    assert small.contracts == large.contracts[:60]
    assert small.instruments == large.instruments[:60]
    assert (small.rate == large.rate[:60]).all()


def test_five_have_a_currency_and_a_commodity() -> None:
    classes = {instrument.session_class for instrument in _universe(5).instruments}
    assert {SessionClass.INDEX, SessionClass.EQUITY_FNO, SessionClass.CURRENCY, SessionClass.COMMODITY} <= classes


def test_sixty_hold_the_default_instruments() -> None:
    symbols = {instrument.symbol for instrument in _universe(60).instruments}
    assert set(DEFAULT_INSTRUMENTS.split(",")) <= symbols
    assert {instrument.session_class for instrument in _universe(60).instruments} == set(SessionClass)


@pytest.mark.parametrize("how_many", [5, 60, 200, 3_000])
def test_the_dump_classifies_as_the_universe_does(how_many: int) -> None:
    universe = _universe(how_many)
    parsed = {instrument.symbol: instrument for instrument in parse_dump(universe.dump())}
    assert all(parsed[instrument.symbol] == instrument for instrument in universe.instruments)
    assert len(parsed) == how_many + len(universe.listed_only)


def test_known_tokens() -> None:
    by_symbol = {instrument.symbol: instrument for instrument in _universe(200).instruments}
    known = {
        "NSE:INFY": 408065,
        "NSE:RELIANCE": 738561,
        "NSE:NIFTY 50": 256265,
        "NSE:NIFTY BANK": 260105,
        "BSE:SENSEX": 265,
    }
    assert {symbol: by_symbol[symbol].token for symbol in known} == known
    assert by_symbol["NSE:INFY"].session_class is SessionClass.EQUITY_FNO
    assert by_symbol["NSE:TRIVENI"].session_class is SessionClass.EQUITY
    assert by_symbol["NFO:INFY26NOVFUT"].session_class is SessionClass.EQUITY_DERIVATIVE
    assert by_symbol["NFO:NIFTY26NOVFUT"].session_class is SessionClass.INDEX_DERIVATIVE


def test_the_low_byte_is_the_segment_and_the_divisor_follows() -> None:
    universe = _universe(200)
    segments = {"NSE": 1, "NFO": 2, "CDS": 3, "BSE": 4, "MCX": 7}
    for row, instrument in enumerate(universe.instruments):
        expected = 9 if instrument.is_index else segments[instrument.exchange]
        assert instrument.token & 0xFF == expected
        assert universe.divisor[row] == (10_000_000 if instrument.exchange == "CDS" else 100)
        assert universe.tick_wire[row] == round(instrument.tick_size * universe.divisor[row])
    assert Counter(instrument.exchange for instrument in universe.instruments).keys() == {
        "NSE",
        "BSE",
        "NFO",
        "CDS",
        "MCX",
    }


@pytest.mark.parametrize(
    ("day", "expiry"), [(DAY, "2026-11-23"), (date(2026, 11, 24), "2026-12-29"), (date(2026, 8, 3), "2026-08-25")]
)
def test_the_front_month_is_the_next_last_tuesday(day: date, expiry: str) -> None:
    futures = [
        instrument
        for instrument in _universe(200, day).instruments
        if instrument.instrument_type == "FUT" and instrument.exchange == "NFO"
    ]
    assert {future.expiry for future in futures} == {expiry}


def test_one_exchange_s_dump() -> None:
    assert {instrument.exchange for instrument in parse_dump(_universe(200).dump("NFO"))} == {"NFO"}
