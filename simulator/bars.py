"""Minute and day bars of days before the session: drawn from the same knots as the tape, without its trades."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.contracts import Shape
from simulator.courses import Course, busyness, course_of, knots
from simulator.dice import Floats, Ints, Keys, Salt, draw_keys, normal, uniform
from simulator.tape import INDEX_VALUES_A_MINUTE, minute_swing, trade_counts
from simulator.universe import Universe
from utils.market.sessions import Session, SessionCalendar

MINUTE_MS = 60_000
MEAN_QUANTITY = 18.5
DAYS_KEPT = 4_096
ROWS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Bars:
    """Parallel arrays in time: start (epoch ms), prices in wire integers, volume, open interest (0 for none)."""

    start_ms: Ints
    open: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints
    oi: Ints

    def __len__(self) -> int:
        return len(self.start_ms)

    def columns(self) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints, Ints]:
        return self.start_ms, self.open, self.high, self.low, self.close, self.volume, self.oi

    def between(self, from_ms: int, to_ms: int) -> Bars:
        """Those that start in [from_ms, to_ms]."""
        keep = (self.start_ms >= from_ms) & (self.start_ms <= to_ms)
        return Bars(*(column[keep] for column in self.columns()))


NO_BARS = Bars(*(np.zeros(0, dtype=np.int64) for _ in range(7)))


@dataclass(frozen=True, slots=True)
class _RowDay:
    row: int
    session: Session
    course: Course


def joined(parts: Sequence[Bars]) -> Bars:
    """One after the other; empty for none."""
    if not parts:
        return NO_BARS
    return Bars(*(np.concatenate(columns) for columns in zip(*(part.columns() for part in parts), strict=True)))


def grouped(bars: Bars, starts: Ints) -> Bars:
    """Bars with the same start (rising) become one, stamped with it."""
    if not len(bars):
        return bars
    first = np.flatnonzero(np.diff(starts, prepend=starts[0] - 1))
    last = np.append(first[1:], len(starts)) - 1
    return Bars(
        start_ms=starts[first],
        open=bars.open[first],
        high=np.maximum.reduceat(bars.high, first),
        low=np.minimum.reduceat(bars.low, first),
        close=bars.close[last],
        volume=np.add.reduceat(bars.volume, first),
        oi=bars.oi[last],
    )


class BarMaker:
    """Minute bars of past days, many at once; the last few thousand instrument-days are kept."""

    def __init__(self, universe: Universe, calendar: SessionCalendar) -> None:
        self._universe = universe
        self._calendar = calendar
        self._kept: OrderedDict[tuple[int, date], Bars] = OrderedDict()

    def minutes_of(self, pairs: Sequence[tuple[int, date]]) -> list[Bars]:
        """The minutes with trades of each (row, day), empty where the market is closed."""
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in self._kept]
        fresh: dict[tuple[int, date], Bars] = {}
        for batch in self._batches(missing):
            fresh.update(self._drawn(batch))
        found = [self._kept[pair] if pair in self._kept else fresh.get(pair, NO_BARS) for pair in pairs]
        self._keep(fresh)
        return found

    def days_of(self, pairs: Sequence[tuple[int, date]]) -> list[Bars]:
        """One bar for each full day, with the cash market's pre-open auction; empty where the market is closed."""
        return [grouped(bars, np.zeros(len(bars), dtype=np.int64)) for bars in self.minutes_of(pairs)]

    def _keep(self, fresh: dict[tuple[int, date], Bars]) -> None:
        self._kept.update(fresh)
        while len(self._kept) > DAYS_KEPT:
            self._kept.popitem(last=False)

    def _batches(self, pairs: list[tuple[int, date]]) -> Iterator[list[_RowDay]]:
        """Those with a session, alike in length, at most ROWS_AT_ONCE together."""
        by_length: dict[int, list[_RowDay]] = {}
        for row, day in pairs:
            session = self._calendar.for_instrument(self._universe.instruments[row], day)
            if session is not None:
                course = course_of(self._universe, row, session, self._calendar)
                by_length.setdefault(course.minutes, []).append(_RowDay(row, session, course))
        for group in by_length.values():
            for start in range(0, len(group), ROWS_AT_ONCE):
                yield group[start : start + ROWS_AT_ONCE]

    def _drawn(self, batch: list[_RowDay]) -> dict[tuple[int, date], Bars]:
        universe, minutes = self._universe, batch[0].course.minutes
        rows = np.array([drawn_day.row for drawn_day in batch])
        path = knots(universe.seed, [drawn_day.course for drawn_day in batch])
        days = np.array([drawn_day.course.day for drawn_day in batch])
        minute = np.arange(minutes)
        keys = draw_keys(universe.seed, universe.tokens[rows][:, None], days[:, None], Salt.BAR, minute[None, :])
        counts = self._counts(rows, minute, keys)
        prices = _prices(
            path, keys, np.array([drawn_day.course.volatility for drawn_day in batch]), universe.tick_wire[rows]
        )
        volumes = self._volumes(batch, counts, keys)
        starts = np.array([drawn_day.session.open_ms for drawn_day in batch])[:, None] + minute * MINUTE_MS
        oi = open_interest(universe, rows, days, minute)
        keep = counts > 0
        keep[:, 0] = keep[:, -1] = True
        table = (starts, *prices, volumes, oi)
        return {
            (day_of_row.row, day_of_row.session.date): Bars(*(column[index][keep[index]] for column in table))
            for index, day_of_row in enumerate(batch)
        }

    def _counts(self, rows: Ints, minute: Ints, keys: Keys) -> Ints:
        mean = self._universe.rate[rows][:, None] * 60 * busyness(minute / len(minute))[None, :]
        is_index = (self._universe.shapes[rows] == Shape.INDEX)[:, None]
        return np.where(is_index, INDEX_VALUES_A_MINUTE, trade_counts(keys, mean))

    def _volumes(self, batch: list[_RowDay], counts: Ints, keys: Keys) -> Ints:
        universe, rows = self._universe, np.array([drawn_day.row for drawn_day in batch])
        lots = universe.lots[rows]
        mean = np.where(lots == 1, MEAN_QUANTITY, MEAN_QUANTITY / 6)[:, None]
        drawn = np.rint(counts * mean * (0.5 + uniform(draw_keys(keys, Salt.QUANTITY))))
        volumes = np.maximum(1, drawn).astype(np.int64)
        has_auction = np.array([drawn_day.session.day_start_ms < drawn_day.session.open_ms for drawn_day in batch])
        volumes[:, 0] += np.where(has_auction, np.maximum(50, universe.rate[rows] * 72_000).astype(np.int64), 0)
        return np.where((universe.shapes[rows] == Shape.INDEX)[:, None], 0, volumes * lots[:, None])


def _prices(path: Floats, keys: Keys, volatility: Floats, ticks: Ints) -> tuple[Ints, Ints, Ints, Ints]:
    left, right, tick = path[:, :-1], path[:, 1:], ticks[:, None]
    swing = 0.5 * minute_swing(left, volatility[:, None], np.full((1, 1), left.shape[1]))
    up, down = (np.abs(normal(draw_keys(keys, side))) * swing for side in (1, 2))
    opens, closes = _on_tick(left, tick), _on_tick(right, tick)
    highs = np.maximum(np.maximum(opens, closes), _on_tick(np.maximum(left, right) + up, tick))
    lows = np.minimum(np.minimum(opens, closes), _on_tick(np.minimum(left, right) - down, tick))
    return opens, highs, lows, closes


def open_interest(universe: Universe, rows: Ints, days: Ints, minute: Ints) -> Ints:
    """[rows, minutes]: open interest of derivatives, in lots, drifting by a few per cent; 0 for others."""
    key = draw_keys(universe.seed, universe.tokens[rows][:, None], Salt.OPEN_INTEREST)
    base = 2_000 * np.exp(1.5 * normal(key))
    of_day = draw_keys(key, days[:, None])
    tilt = np.tanh(normal(draw_keys(of_day, np.array([[0, 1]]))))
    quarter = normal(draw_keys(of_day, 2 + minute[None, :] // 15))
    moved = 1 + 0.05 * tilt[:, :1] + 0.02 * tilt[:, 1:] * minute[None, :] / 400 + 0.002 * quarter
    contracts = np.maximum(1, np.rint(base * moved)).astype(np.int64) * universe.lots[rows][:, None]
    has_none = np.isin(universe.shapes[rows], (Shape.SPOT, Shape.INDEX))[:, None]
    return np.where(has_none, 0, contracts)


def _on_tick(price: Floats, tick: Ints) -> Ints:
    return np.maximum(1, np.rint(price / tick)).astype(np.int64) * tick
