"""The running state of each row's day, after every trade of a minute: the content of a snapshot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.dice import Ints
from simulator.tape import Trades

NO_LOW = 1 << 32
SHIFT = 1 << 33  # above any wire price: rows do not mix when a running maximum runs over all of them


@dataclass(frozen=True, slots=True)
class States:
    """Parallel arrays. All but `row` and `ms` are the values just after the trade; zeros before the day's first.

    turnover: sum of price times quantity in wire units; low is NO_LOW while there is none.
    """

    row: Ints
    ms: Ints
    price: Ints
    quantity: Ints
    volume: Ints
    turnover: Ints
    open: Ints
    high: Ints
    low: Ints

    def __len__(self) -> int:
        return len(self.row)

    def columns(self) -> tuple[Ints, ...]:
        return (
            self.row, self.ms, self.price, self.quantity, self.volume, self.turnover, self.open, self.high, self.low
        )  # fmt: skip

    def select(self, which: Ints) -> States:
        return States(*(column[which] for column in self.columns()))


class DayBook:
    """Carries every row's state through a day, minute by minute."""

    def __init__(self, rows: int) -> None:
        zero = np.zeros(rows, dtype=np.int64)
        self.now = States(np.arange(rows), zero, zero, zero, zero, zero, zero, zero, np.full(rows, NO_LOW))

    def advance(self, trades: Trades) -> States:
        """Applies a minute's trades (sorted by row and time). Returns the states after each of them in the same
        order, with each row's state before the minute first."""
        table = self._with_carried(trades)
        rows = len(self.now)
        first = np.searchsorted(table.row, np.arange(rows))
        states = _running(table, first, self.now)
        last = np.append(first[1:], len(states)) - 1
        self.now = states.select(last)
        return states

    def _with_carried(self, trades: Trades) -> Trades:
        now = self.now
        row = np.concatenate((now.row, trades.row))
        order = np.argsort(row, kind="stable")
        return Trades(
            row=row[order],
            ms=np.concatenate((now.ms, trades.ms))[order],
            price=np.concatenate((now.price, trades.price))[order],
            quantity=np.concatenate((np.zeros(len(now), dtype=np.int64), trades.quantity))[order],
        )


def _running(table: Trades, first: Ints, carried: States) -> States:
    row, price = table.row, table.price
    highs, lows = price.copy(), price.copy()
    highs[first], lows[first] = carried.high, carried.low
    volume = _summed(table.quantity, first, row, carried.volume)
    turnover = _summed(table.quantity * price, first, row, carried.turnover)
    quantity = table.quantity.copy()
    quantity[first] = carried.quantity
    return States(
        row=row,
        ms=table.ms,
        price=price,
        quantity=quantity,
        volume=volume,
        turnover=turnover,
        open=_opens(price, first, row, carried.open),
        high=np.maximum.accumulate(row * SHIFT + highs) - row * SHIFT,
        low=row * SHIFT + NO_LOW - np.maximum.accumulate(row * SHIFT + NO_LOW - lows),
    )


def _summed(values: Ints, first: Ints, row: Ints, carried: Ints) -> Ints:
    """Running sums within each row, on from what was carried (the carried entries' own values are 0)."""
    total = np.cumsum(values)
    before = total[first] - values[first]
    summed: Ints = total - before[row] + carried[row]
    return summed


def _opens(price: Ints, first: Ints, row: Ints, carried: Ints) -> Ints:
    """The day's open: that carried, else the price of the row's first trade; 0 on a carried entry without one."""
    next_price = price[np.minimum(first + 1, len(price) - 1)]
    opens = np.where(carried > 0, carried, next_price)[row]
    opens[first] = carried
    return opens
