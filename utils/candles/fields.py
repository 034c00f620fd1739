"""The fields of a candle and of a tick as readers get them, in columns: integers become prices here."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.candles.kernels.layout import Array, Record
from utils.candles.texts import BOOL, CLOCK, INT, ISO, REAL
from utils.runtime.kernel_cache import kernel


class Fields(NamedTuple):
    """Names, and of which kind each is."""

    names: tuple[str, ...]
    kinds: Array  # int64


def _fields(**kinds: int) -> Fields:
    return Fields(tuple(kinds), np.array(list(kinds.values()), np.int64))


CANDLE_FIELDS = _fields(
    t=INT, start=ISO, end=ISO, end_t=INT, open=REAL, high=REAL, low=REAL, close=REAL, volume=INT, oi=INT, vwap=REAL,
    ticks=INT, complete=BOOL, rev=INT, timed_by=CLOCK, closed=BOOL,
)  # fmt: skip
TICK_FIELDS = _fields(
    last_price=REAL, average_price=REAL, day_open=REAL, day_high=REAL, day_low=REAL, previous_close=REAL, bid=REAL,
    ask=REAL, volume=INT, last_quantity=INT, oi=INT, last_trade_time=ISO, exchange_time=ISO, received=ISO, t=INT,
)  # fmt: skip
VWAP = CANDLE_FIELDS.names.index("vwap")
_ALL_BUT_THREE = (1 << len(CANDLE_FIELDS.names)) - 1 - (1 << 8) - (1 << 9) - (1 << VWAP)
EXACT = 1 << 53  # whole numbers below it are real numbers without loss


@kernel
def describe_candle(candle: Record, closed: int, divisor: int, values: Array, reals: Array) -> int:
    """One row of CANDLE_FIELDS; returns which are there, a bit each. `values` and `reals` are one memory."""
    values[0] = values[1] = candle.start_ms
    values[2] = values[3] = candle.end_ms
    reals[4], reals[5] = candle.open / divisor, candle.high / divisor
    reals[6], reals[7] = candle.low / divisor, candle.close / divisor
    values[11], values[12], values[13] = candle.ticks, candle.complete, candle.rev
    values[14], values[15] = candle.by_receive, closed
    there = _ALL_BUT_THREE
    if candle.has_volume:
        volume = candle.end_cum - candle.base
        values[8] = volume
        there |= 1 << 8
        if volume != 0:
            reals[10] = candle.turnover / volume / divisor
            there |= 1 << 10
    if candle.has_oi:
        values[9] = candle.oi
        there |= 1 << 9
    return there


@kernel
def is_vwap_inexact(candle: Record) -> bool:
    """Whether the turnover is too large a number for `describe_candle` to divide it without loss."""
    return bool(candle.has_volume and abs(candle.turnover) >= EXACT)


def exact_vwap(candle: np.void, divisor: int) -> float:
    """The vwap by whole numbers as far as it goes; 0 where there is none."""
    volume = int(candle["end_cum"]) - int(candle["base"])
    return int(candle["turnover"]) / volume / divisor if volume else 0.0


@kernel
def describe_tick(tick: Record, divisor: int, values: Array, reals: Array) -> int:
    """One row of TICK_FIELDS; returns which are there, a bit each. A price of 0 is none."""
    reals[0], reals[1], reals[2] = tick.price / divisor, tick.average / divisor, tick.day_open / divisor
    reals[3], reals[4] = tick.day_high / divisor, tick.day_low / divisor
    reals[5], reals[6], reals[7] = tick.previous_close / divisor, tick.bid / divisor, tick.ask / divisor
    values[8], values[9], values[10] = tick.cum, tick.quantity, tick.oi
    values[11], values[12] = tick.trade_ms, tick.exchange_ms
    values[13] = values[14] = tick.receive_ms
    there = 3 << 13
    for f in range(8):
        there |= int(reals[f] != 0.0) << f
    if tick.has_volume:
        there |= 7 << 8
    if tick.timed:
        there |= int(tick.trade_ms != 0) << 11 | int(tick.exchange_ms != 0) << 12
    return there
