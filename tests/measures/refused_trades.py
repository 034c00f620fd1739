"""Good trades that no candle holds: a packet showed the price of a real trade, and its minute's candle excludes it.

What counts is the candle as it ended, not what the engine rejected on the way: a price that is held back and let in a
packet later is not refused. A trade whose price came first may be in the minute of its packet or in its own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.dice import Ints
from simulator.looks import Flags
from tests.measures.engine_day import EngineDay
from tests.measures.played_day import PlayedDay

MINUTE = "1m"
LONGEST_LAG_S = 8


@dataclass(frozen=True)
class Refused:
    """Of `shown` packets that tell of a trade, the positions (in Told) of those that no candle holds.

    `rejected`: how many packets the engine rejected; without faults each of them is good. Of most the price is in
    the candle all the same.
    """

    shown: int
    at: list[int]
    rejected: int

    @property
    def share(self) -> float:
        return len(self.at) / max(1, self.shown)

    def __str__(self) -> str:
        return (
            f"{len(self.at)} of {self.shown} good trades refused (1 in {self.shown // max(1, len(self.at)):,}), "
            f"{self.rejected} packets rejected"
        )


def refused_trades(played: PlayedDay, engine: EngineDay) -> Refused:
    """Over the continuous session, minute candles; the engine must have a timeframe of one minute."""
    told, midnight_ms = played.told, played.tape.midnight_ms
    tells, trade_s = _telling(played)
    lows, highs = _minute_ranges(engine, len(played.tape.universe), midnight_ms)
    position = np.flatnonzero(tells)
    row, price = told.row[position], told.price[position]
    held = np.zeros(len(position), dtype=np.bool_)
    for at_s in (trade_s[position], told.exchange_s[position], told.exchange_s[position] - LONGEST_LAG_S):
        minute = (at_s - midnight_ms // 1000) // 60
        held |= (lows[row, minute] <= price) & (price <= highs[row, minute])
    return Refused(len(position), position[~held].tolist(), len(engine.rejected))


def _telling(played: PlayedDay) -> tuple[Flags, Ints]:
    """Which true packets tell of a trade of the continuous session, and that trade's second as far as they know it.

    A price that comes first tells of one at its packet's second. The first packet of a row tells of nothing, nor does
    one that sets the day before's quantity to 0.
    """
    told, tape = played.told, played.tape
    order = np.argsort(told.row, kind="stable")
    before = np.full(len(order), -1)
    same_row = np.flatnonzero(np.diff(told.row[order], prepend=-1) == 0)
    before[order[same_row]] = order[same_row - 1]
    has_before = before >= 0
    grew = has_before & (told.volume != told.volume[before])
    moved = (told.price != told.price[before]) | (told.quantity != told.quantity[before])
    led = has_before & ~grew & moved & (told.quantity > 0)
    trade_s = np.where(grew, told.trade_s, told.exchange_s)
    inside = (tape.opening[told.row] <= trade_s * 1000) & (trade_s * 1000 < tape.closing[told.row])
    return told.true & (grew | led) & inside, trade_s


def _minute_ranges(engine: EngineDay, rows: int, midnight_ms: int) -> tuple[Ints, Ints]:
    """[rows, 1440]: low and high of each minute's candle as it ended; an empty range where there is none."""
    lows = np.full((rows, 1440), 1 << 40, dtype=np.int64)
    highs = np.zeros((rows, 1440), dtype=np.int64)
    final = engine.final.taken(np.flatnonzero(engine.final.column == engine.timeframes.index(MINUTE)))
    minute = (final.start_ms - midnight_ms) // 60_000
    lows[final.row, minute], highs[final.row, minute] = final.low, final.high
    return lows, highs
