"""The true trade tape of a day: every trade of every instrument, a pure function of (seed, date, instrument).

Either one minute of all rows is asked for (to play the day) or the full day of one row (for the truth); both go
through the same closed forms, so neither depends on the other, on the order or on how many rows there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.contracts import Shape
from simulator.courses import Course, busyness, course_of, knots
from simulator.dice import Floats, Ints, Keys, Salt, draw_keys, normal, uniform
from simulator.jumps import Jumps, Market
from simulator.universe import Universe
from utils.market.instruments import Instrument
from utils.market.ist import ist_midnight_ms
from utils.market.sessions import Session, SessionCalendar

MINUTE_MS = 60_000
MINUTES_A_DAY = 1_440
ROWS_AT_ONCE = 2_000
INDEX_VALUES_A_MINUTE = 60
POST_CLOSE_MS = 10 * MINUTE_MS
CURRENT_MONTH_DAYS = 35  # from one monthly expiry to the next


@dataclass(frozen=True, slots=True)
class Trades:
    """Parallel arrays, sorted by row and time: epoch ms, price in wire integers, quantity (0 for an index value)."""

    row: Ints
    ms: Ints
    price: Ints
    quantity: Ints

    def __len__(self) -> int:
        return len(self.row)

    def select(self, which: Ints | np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Trades:
        """The trades at these indices, or of this mask."""
        return Trades(self.row[which], self.ms[which], self.price[which], self.quantity[which])

    @classmethod
    def none(cls) -> Trades:
        empty = np.zeros(0, dtype=np.int64)
        return cls(empty, empty, empty, empty)


class Tape:
    """The trades of one date. Rows that are closed that day have none."""

    def __init__(
        self, universe: Universe, calendar: SessionCalendar, day: date, market: Market = Market.CALM
    ) -> None:
        self.universe = universe
        self.day = day
        self.midnight_ms = ist_midnight_ms(day)
        self.sessions = [calendar.for_instrument(instrument, day) for instrument in universe.instruments]
        self._open_minute = self._minute_of_day("open_ms", MINUTES_A_DAY)
        self._close_minute = self._minute_of_day("close_ms", 0)
        self.opening: Ints = self._open_minute * MINUTE_MS + self.midnight_ms
        self.closing: Ints = self._close_minute * MINUTE_MS + self.midnight_ms
        self.jumps = Jumps(market, universe, self.opening, self.closing, day.toordinal())
        self._knots, self._volatility = self._work_out_knots(calendar)
        self.specials = self._work_out_specials()
        self._kept: tuple[int, Trades] = (-1, Trades.none())
        self._special_minute = (self.specials.ms - self.midnight_ms) // MINUTE_MS

    def _minute_of_day(self, field: str, absent: int) -> Ints:
        times = [
            absent if session is None else (getattr(session, field) - self.midnight_ms) // MINUTE_MS
            for session in self.sessions
        ]
        return np.array(times, dtype=np.int64)

    def _work_out_knots(self, calendar: SessionCalendar) -> tuple[list[Floats], Floats]:
        """Knots by row, computed in groups of one session length: a stock needs fewer columns than a commodity."""
        rows = [row for row, session in enumerate(self.sessions) if session is not None]
        found: list[Floats] = [np.zeros(1)] * len(self.universe)
        volatility = np.zeros(len(self.universe))
        courses: dict[int, Course] = {}
        for row in rows:
            session = self.sessions[row]
            assert session is not None
            courses[row] = course_of(self.universe, row, session, calendar)
            volatility[row] = courses[row].volatility
        rows.sort(key=lambda row: courses[row].minutes)
        for group in _groups(rows, courses):
            table = knots(self.universe.seed, [courses[row] for row in group])
            for index, row in enumerate(group):
                found[row] = table[index]
        return found, volatility

    def minute(self, minute_of_day: int) -> Trades:
        """All trades of one minute (0 to 1439), sorted by row and time."""
        rows = np.flatnonzero((self._open_minute <= minute_of_day) & (minute_of_day < self._close_minute))
        ordinary = self._continuous(rows, np.full(len(rows), minute_of_day))
        return _merged(ordinary, self.specials.select(self._special_minute == minute_of_day))

    def full_day(self, row: int) -> Trades:
        """All trades of one row, in time. The last row is cached: each of its timeframes asks for it."""
        kept_row, trades = self._kept
        if kept_row != row:
            trades = self._full_day(row)
            self._kept = (row, trades)
        return trades

    def _full_day(self, row: int) -> Trades:
        minutes = np.arange(self._open_minute[row], self._close_minute[row])
        ordinary = self._continuous(np.full(len(minutes), row), minutes)
        return _merged(ordinary, self.specials.select(self.specials.row == row))

    def _continuous(self, rows: Ints, minutes: Ints) -> Trades:
        """The trades of continuous trading in the pairs (row, minute of the day), which come sorted."""
        if not len(rows):
            return Trades.none()
        seed, universe = self.universe.seed, self.universe
        pair_keys = draw_keys(seed, universe.tokens[rows], self.day.toordinal(), Salt.TRADE, minutes)
        counts = self._counts(pair_keys, rows, minutes)
        pair = np.repeat(np.arange(len(rows)), counts)
        number = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
        keys = draw_keys(pair_keys[pair], number)
        offset_ms = _offsets(keys, pair, number, universe.shapes[rows][pair] == Shape.INDEX)
        trade_rows, ms = rows[pair], self.midnight_ms + minutes[pair] * MINUTE_MS + offset_ms
        return Trades(
            row=trade_rows,
            ms=ms,
            price=self._prices(keys, pair, rows, minutes, offset_ms),
            quantity=_quantities(keys, universe, trade_rows),
        )

    def _counts(self, pair_keys: Keys, rows: Ints, minutes: Ints) -> Ints:
        part = (minutes - self._open_minute[rows]) / (self._close_minute[rows] - self._open_minute[rows])
        mean = self.universe.rate[rows] * 60 * busyness(part)
        mean *= self.jumps.busier(rows, self.midnight_ms + minutes * MINUTE_MS)
        drawn = trade_counts(pair_keys, mean)
        return np.where(self.universe.shapes[rows] == Shape.INDEX, INDEX_VALUES_A_MINUTE, drawn)

    def _prices(self, keys: Keys, pair: Ints, rows: Ints, minutes: Ints, offset_ms: Ints) -> Ints:
        """A bridge from one knot to the next, and each trade at the bid or at the ask."""
        at = minutes - self._open_minute[rows]
        left = np.array([self._knots[row][minute] for row, minute in zip(rows, at, strict=True)])
        right = np.array([self._knots[row][minute + 1] for row, minute in zip(rows, at, strict=True)])
        swing = minute_swing(left, self._volatility[rows], self._close_minute[rows] - self._open_minute[rows])
        path = left[pair] + (right - left)[pair] * (offset_ms / MINUTE_MS) + swing[pair] * _bridge(keys, pair)
        path = self.jumps.moved(path, rows[pair], self.midnight_ms + minutes[pair] * MINUTE_MS + offset_ms, keys)
        tick = self.universe.tick_wire[rows][pair]
        side = np.where(uniform(draw_keys(keys, Salt.SIDE)) < 0.5, -0.5, 0.5)
        side[self.universe.shapes[rows][pair] == Shape.INDEX] = 0.0
        steps: Ints = np.maximum(1, np.rint(path / tick + side).astype(np.int64))
        return steps * tick

    def opening_price(self, row: int) -> int:
        """The first knot, on the tick."""
        tick = int(self.universe.tick_wire[row])
        return max(1, round(float(self._knots[row][0]) / tick)) * tick

    def closing_price(self, row: int) -> int:
        """The last knot, on the tick."""
        tick = int(self.universe.tick_wire[row])
        last = int(self._close_minute[row] - self._open_minute[row])
        price = float(self._knots[row][last]) * float(self.jumps.factor(row, int(self.closing[row])))
        return max(1, round(price / tick)) * tick

    def _work_out_specials(self) -> Trades:
        """Trades of auctions and the post-close session, where the day's hours have them."""
        found: list[tuple[int, int, int, int]] = []
        for row, (session, instrument) in enumerate(zip(self.sessions, self.universe.instruments, strict=True)):
            if session is not None and _has_auctions(instrument, self.day):
                found += self._specials_of(row, session)
        columns = np.array(sorted(found), dtype=np.int64).reshape(-1, 4).T
        return Trades(*columns)

    def _specials_of(self, row: int, session: Session) -> list[tuple[int, int, int, int]]:
        key = draw_keys(self.universe.seed, int(self.universe.tokens[row]), self.day.toordinal(), Salt.AUCTION)
        shares = uniform(draw_keys(key, np.arange(12)))
        lot = int(self.universe.lots[row])
        hour_quantity = max(50, int(self.universe.rate[row] * 3600 * 40) // lot) * lot
        close_price, found = self.closing_price(row), []
        if session.day_start_ms < session.open_ms:
            at_ms = session.open_ms - 450_000 + int(shares[0] * 60_000)
            found.append((row, at_ms, self.opening_price(row), int(hour_quantity * (0.2 + shares[1])) // lot * lot))
        if session.day_end_ms > session.close_ms:
            span = session.day_end_ms - session.close_ms
            moved = round((shares[2] - 0.5) * 0.004 * close_price / int(self.universe.tick_wire[row]))
            close_price = max(1, close_price // int(self.universe.tick_wire[row]) + moved) * int(
                self.universe.tick_wire[row]
            )
            at_ms = session.day_end_ms - int(span * (0.05 + 0.15 * shares[3]))
            found.append((row, at_ms, close_price, int(hour_quantity * (0.5 + shares[4]))))
        for share in shares[5 : 5 + int(shares[11] * 5)] if session.post_end_ms > session.day_end_ms else ():
            at_ms = session.post_end_ms - POST_CLOSE_MS + int(share * 8) * MINUTE_MS + int(share * 59_000)
            found.append((row, at_ms, close_price, 1 + int(share * 200)))
        return found


def _has_auctions(instrument: Instrument, day: date) -> bool:
    """Whether a row has auctions. Futures beyond the current month have none, here not even in its last days."""
    is_future = instrument.instrument_type == "FUT"
    return not is_future or (date.fromisoformat(instrument.expiry) - day).days <= CURRENT_MONTH_DAYS


def trade_counts(keys: Keys, mean: Floats) -> Ints:
    """The number of trades in a minute with this mean: over-dispersed, with many empty minutes."""
    noise = np.exp(0.7 * normal(draw_keys(keys, Salt.COUNT_NOISE)) - 0.245)
    return np.floor(mean * noise + uniform(draw_keys(keys, Salt.COUNT))).astype(np.int64)


def minute_swing(price: Floats, volatility: Floats, minutes: Ints) -> Floats:
    """How far prices stray from the straight line between two knots, in wire units."""
    swing: Floats = price * volatility * 0.6 / np.sqrt(np.maximum(minutes, 1))
    return swing


def _offsets(keys: Keys, pair: Ints, number: Ints, is_index: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Ints:
    """Milliseconds into the minute, rising within each pair; an index has its value at each half second."""
    drawn = np.floor(uniform(keys) * MINUTE_MS).astype(np.int64)
    offset = np.where(is_index, number * 1000 + 500, drawn)
    return np.sort(pair * MINUTE_MS + offset) - pair * MINUTE_MS


def _bridge(keys: Keys, pair: Ints) -> Floats:
    """For each pair a random bridge from 0 to 0 over its trades, of deviation about 1/2 in the middle."""
    steps = normal(draw_keys(keys, Salt.WALK))
    total = np.cumsum(steps)
    starts = np.flatnonzero(np.diff(pair, prepend=-1))
    sizes = np.diff(np.append(starts, len(pair)))
    before = np.where(starts > 0, total[starts - 1], 0.0)
    within = total - np.repeat(before, sizes)
    ends = within[starts + sizes - 1]
    size = np.repeat(sizes, sizes)
    number = np.arange(len(pair)) - np.repeat(starts, sizes)
    bridged: Floats = (within - np.repeat(ends, sizes) * (number + 1) / size) / np.sqrt(size)
    return bridged


def _quantities(keys: Keys, universe: Universe, rows: Ints) -> Ints:
    drawn = np.exp(2.2 + 1.2 * normal(draw_keys(keys, Salt.QUANTITY)))
    lots = np.where(universe.lots[rows] > 1, np.ceil(drawn / 8), np.ceil(drawn)).astype(np.int64)
    return np.where(universe.shapes[rows] == Shape.INDEX, 0, lots * universe.lots[rows])


def _merged(ordinary: Trades, special: Trades) -> Trades:
    if not len(special):
        return ordinary
    both = [np.concatenate(pair) for pair in zip(_columns(ordinary), _columns(special), strict=True)]
    order = np.lexsort((both[1], both[0]))
    return Trades(*(column[order] for column in both))


def _columns(trades: Trades) -> tuple[Ints, Ints, Ints, Ints]:
    return trades.row, trades.ms, trades.price, trades.quantity


def _groups(rows: list[int], courses: dict[int, Course]) -> list[list[int]]:
    """Rows of one session length together, at most ROWS_AT_ONCE."""
    groups: list[list[int]] = []
    for row in rows:
        fits = groups and len(groups[-1]) < ROWS_AT_ONCE and courses[groups[-1][0]].minutes == courses[row].minutes
        if fits:
            groups[-1].append(row)
        else:
            groups.append([row])
    return groups
