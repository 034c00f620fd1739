"""Good trades that no candle has: a packet showed the price of a real trade, and its minute's candle excludes it.

The final candle counts, not what the engine rejected before: a price that is accepted a packet later is not refused.
A trade whose price came before its volume may be in the minute of its packet or in the minute of the trade.
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
    """`at`: positions in SentPackets of the packets whose trade no candle has, out of `shown` that show a trade.

    `rejected`: packets that the engine rejected. Without faults all of them are good, and the candle has most of
    their prices from other packets.
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
    """Over the minute candles of the continuous session; the engine must have the timeframe `1m`."""
    sent, midnight_ms = played.sent, played.tape.midnight_ms
    shows_trade, trade_s = _shown_trades(played)
    lows, highs = _minute_ranges(engine, len(played.tape.universe), midnight_ms)
    position = np.flatnonzero(shows_trade)
    row, price = sent.row[position], sent.price[position]
    is_in_candle = np.zeros(len(position), dtype=np.bool_)
    for at_s in (trade_s[position], sent.exchange_s[position], sent.exchange_s[position] - LONGEST_LAG_S):
        minute = (at_s - midnight_ms // 1000) // 60
        is_in_candle |= (lows[row, minute] <= price) & (price <= highs[row, minute])
    return Refused(len(position), position[~is_in_candle].tolist(), len(engine.rejected))


def _shown_trades(played: PlayedDay) -> tuple[Flags, Ints]:
    """Which true packets show a trade of the continuous session, and that trade's second as the packet has it.

    A price that comes before its volume shows a trade at the packet's exchange second. The first packet of a row
    shows none, nor does one that resets the quantity of the day before to 0.
    """
    sent, tape = played.sent, played.tape
    order = np.argsort(sent.row, kind="stable")
    before = np.full(len(order), -1)
    same_row = np.flatnonzero(np.diff(sent.row[order], prepend=-1) == 0)
    before[order[same_row]] = order[same_row - 1]
    has_before = before >= 0
    grew = has_before & (sent.volume != sent.volume[before])
    moved = (sent.price != sent.price[before]) | (sent.quantity != sent.quantity[before])
    led = has_before & ~grew & moved & (sent.quantity > 0)
    trade_s = np.where(grew, sent.trade_s, sent.exchange_s)
    inside = (tape.opening[sent.row] <= trade_s * 1000) & (trade_s * 1000 < tape.closing[sent.row])
    return sent.true & (grew | led) & inside, trade_s


def _minute_ranges(engine: EngineDay, rows: int, midnight_ms: int) -> tuple[Ints, Ints]:
    """[rows, 1440]: low and high of each minute's final candle; an empty range where there is none."""
    lows = np.full((rows, 1440), 1 << 40, dtype=np.int64)
    highs = np.zeros((rows, 1440), dtype=np.int64)
    final = engine.final.select(np.flatnonzero(engine.final.column == engine.timeframes.index(MINUTE)))
    minute = (final.start_ms - midnight_ms) // 60_000
    lows[final.row, minute], highs[final.row, minute] = final.low, final.high
    return lows, highs
