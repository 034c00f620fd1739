"""In the jumping market some rows go to a new level; every trade of it is on the tape and in what is sent."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from simulator.contracts import Shape
from simulator.faults import parse_faults
from simulator.jumps import NEVER, RESTLESS_MS, Market
from simulator.market_day import MarketDay
from simulator.packet_faults import PacketFaults
from simulator.tape import Tape
from simulator.truth import truth_candles
from simulator.universe import Universe, build_universe
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframe

DAY = date(2026, 11, 20)
CALENDAR = SessionCalendar.load()
FOREVER = 1 << 60
SEED = 5


@pytest.fixture(scope="module")
def universe() -> Universe:
    return build_universe(200, SEED, CALENDAR, DAY)


@pytest.fixture(scope="module")
def calm(universe: Universe) -> Tape:
    return Tape(universe, CALENDAR, DAY)


@pytest.fixture(scope="module")
def jumping(universe: Universe) -> Tape:
    return Tape(universe, CALENDAR, DAY, Market.JUMPING)


def _jumpers(tape: Tape) -> list[int]:
    return np.flatnonzero(tape.jumps.at_ms < NEVER).tolist()


def test_many_rows_jump_and_no_index_does(universe: Universe, calm: Tape, jumping: Tape) -> None:
    assert _jumpers(calm) == []
    assert 0.5 * len(universe) < len(_jumpers(jumping)) < 0.8 * len(universe)
    assert not np.isin(Shape.INDEX, universe.shapes[_jumpers(jumping)])


def test_the_new_level_is_there_from_one_trade_to_the_next_and_stays(universe: Universe, jumping: Tape) -> None:
    factors: dict[bool, list[float]] = {True: [], False: []}
    for row in _jumpers(jumping):
        trades, at_ms = jumping.full_day(row), int(jumping.jumps.at_ms[row])
        around = np.abs(trades.ms - at_ms) < 10 * 60_000
        before, after = around & (trades.ms < at_ms), around & (trades.ms >= at_ms + RESTLESS_MS)
        if before.sum() > 5 and after.sum() > 5 and trades.price[before].min() > 40 * universe.tick_wire[row]:
            is_option = universe.shapes[row] in (Shape.CALL, Shape.PUT)
            factors[is_option].append(float(np.median(trades.price[after]) / np.median(trades.price[before])))
    options, others = np.array(factors[True]), np.array(factors[False])
    assert len(options) > 10
    assert len(others) > 20
    assert ((options > 2.5) | (options < 0.45)).all()
    assert ((np.abs(others - 1) > 0.03) & (np.abs(others - 1) < 0.10)).all()


def test_an_option_is_restless_and_busy_after_its_jump(universe: Universe, jumping: Tape) -> None:
    moves, trades_then = [], []
    for row in _jumpers(jumping):
        if universe.shapes[row] in (Shape.CALL, Shape.PUT):
            trades, since = jumping.full_day(row), jumping.full_day(row).ms - jumping.jumps.at_ms[row]
            prices = trades.price[(since >= 0) & (since < RESTLESS_MS)]
            trades_before = int(np.count_nonzero((since < 0) & (since >= -RESTLESS_MS)))
            trades_then.append(len(prices) / max(1, trades_before))
            moves += np.abs(np.diff(np.log(prices))).tolist()
    assert 0.02 < np.median(moves) < 0.08
    assert np.median(trades_then) > 2.5


def test_minutes_and_whole_days_are_the_same_tape(jumping: Tape) -> None:
    row = _jumpers(jumping)[3]
    minute = (int(jumping.jumps.at_ms[row]) - jumping.midnight_ms) // 60_000
    whole = jumping.full_day(row)
    for index in range(minute - 1, minute + 3):
        some = jumping.minute(index)
        mine = some.select(some.row == row)
        there = (whole.ms - jumping.midnight_ms) // 60_000 == index
        assert mine.price.tolist() == whole.price[there].tolist()
        assert mine.ms.tolist() == whole.ms[there].tolist()


def test_the_day_closes_at_the_new_level(universe: Universe, calm: Tape, jumping: Tape) -> None:
    row = next(
        instrument for instrument in _jumpers(jumping) if universe.instruments[instrument].symbol.startswith("NSE:")
    )
    closes = [truth_candles(tape, row, parse_timeframe("1d"))[0].close for tape in (calm, jumping)]
    assert abs(closes[1] / closes[0] - 1) > 0.04


def test_packets_show_the_jump_with_a_book_that_follows(universe: Universe, jumping: Tape) -> None:
    row = next(instrument for instrument in _jumpers(jumping) if universe.shapes[instrument] == Shape.CALL)
    at_ms = int(jumping.jumps.at_ms[row])
    day = MarketDay(universe, CALENDAR, DAY, PacketFaults(parse_faults("none"), universe), Market.JUMPING)
    day.skip_to(at_ms - 60_000)
    bids, asks, prices = [], [], []
    for _ in range(4):
        coming = day.next_minute_when(FOREVER)
        assert coming is not None
        packets = coming.result().tradables
        mine = packets.records[packets.row == row]
        bids += mine["bids"]["price"][:, 0].tolist()
        asks += mine["asks"]["price"][:, 0].tolist()
        prices += mine["last_price"].tolist()
    day.close()
    inside = [bid <= price <= ask for bid, price, ask in zip(bids, prices, asks, strict=True)]
    assert np.mean(inside) > 0.7
    assert max(prices) > 2 * min(prices)
    assert max(bids) > 2 * min(price for price in bids if price)
    spreads = [(ask - bid) / ask for bid, ask in zip(bids, asks, strict=True) if bid]
    assert max(spreads) > 0.02, "the quotes of a row that is restless are wide"
