"""The true candles of the session's day, from the tape alone, as an observer of every trade would draw them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.dice import Ints
from simulator.tape import Tape, Trades
from utils.market.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class TrueCandle:
    """Prices in wire integers; [start_ms, end_ms) in epoch ms; volume 0 for an index."""

    start_ms: int
    end_ms: int
    open: int
    high: int
    low: int
    close: int
    volume: int


def truth_candles(tape: Tape, row: int, timeframe: Timeframe, until_ms: int | None = None) -> list[TrueCandle]:
    """One row's candles in time, buckets without a trade left out.

    Intraday buckets are anchored at the session's open and contain continuous trading alone. `1d` is
    [open, day_end) with the trades of [day_start, day_end), auctions included. With `until_ms`, later
    trades are left out.
    """
    session = tape.sessions[row]
    if session is None:
        return []
    trades = tape.full_day(row)
    if timeframe.is_day:
        window = _between(trades, session.day_start_ms, _earlier(session.day_end_ms, until_ms))
        return _candles(window, np.full(len(window), session.open_ms), session.day_end_ms, session.day_end_ms)
    window = _between(trades, session.open_ms, _earlier(session.close_ms, until_ms))
    length = timeframe.length_ms
    starts = session.open_ms + (window.ms - session.open_ms) // length * length
    return _candles(window, starts, length, session.close_ms)


def _earlier(end_ms: int, until_ms: int | None) -> int:
    return end_ms if until_ms is None else min(end_ms, until_ms)


def _between(trades: Trades, from_ms: int, to_ms: int) -> Trades:
    return trades.select((trades.ms >= from_ms) & (trades.ms < to_ms))


def _candles(trades: Trades, starts: Ints, length_ms: int, last_end_ms: int) -> list[TrueCandle]:
    if not len(trades):
        return []
    first = np.flatnonzero(np.diff(starts, prepend=-1))
    last = np.append(first[1:], len(starts)) - 1
    columns = (
        starts[first],
        np.minimum(starts[first] + length_ms, last_end_ms),
        trades.price[first],
        np.maximum.reduceat(trades.price, first),
        np.minimum.reduceat(trades.price, first),
        trades.price[last],
        np.add.reduceat(trades.quantity, first),
    )
    return [TrueCandle(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
