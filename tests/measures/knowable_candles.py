"""The candles that can be known from the packets: an upper bound for any engine, except by chance.

- A trade is shown when the volume of a packet ends with it, or when a packet has its price before its volume.
- A shown trade has the time that it has on the tape.
- Volume is known at the trades that a packet ends with. A trade hidden at a minute's edge counts with its packet.
- New highs and lows of the day are known, shown or not.

The share of these candles that differ from the tape is what no engine can find out.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from simulator.contracts import Shape
from simulator.dice import Ints
from simulator.truth import TrueCandle, truth_candles
from tests.measures.played_day import Plan, PlayedDay, played_day
from tests.measures.tape_shares import Candles, Share, tape_shares
from utils.market.timeframes import Timeframe


def known_shares(plan: Plan, timeframes: list[Timeframe]) -> dict[str, Share]:
    """By timeframe: the share of the plan's candles that can be known."""
    played = played_day(plan)
    return tape_shares(played, timeframes, knowable_candles(played, timeframes))


def knowable_candles(played: PlayedDay, timeframes: list[Timeframe]) -> Candles:
    """By (row of the instrument, index of the timeframe, start in epoch ms)."""
    found: Candles = {}
    by_row = _packets_by_row(played)
    for row in range(len(played.tape.universe)):
        shown, ends = _shown(played, row, by_row[row])
        for column, timeframe in enumerate(timeframes):
            for true in truth_candles(played.tape, row, timeframe):
                candle = _knowable(played, row, true, shown, ends)
                if candle is not None:
                    found[row, column, true.start_ms] = candle
    return found


def _packets_by_row(played: PlayedDay) -> list[Ints]:
    order = np.argsort(played.sent.row, kind="stable")
    edges = np.searchsorted(played.sent.row[order], np.arange(len(played.tape.universe) + 1))
    return [order[left:right] for left, right in pairwise(edges.tolist())]


def _shown(played: PlayedDay, row: int, packets: Ints) -> tuple[Ints, Ints]:
    """Rising numbers of trades (from 1 on): of all that are shown, and of those that a packet's volume ends with."""
    trades = played.tape.full_day(row)
    if played.tape.universe.shapes[row] == Shape.INDEX:
        every_trade = np.arange(1, len(trades) + 1)
        return every_trade, every_trade
    sent = played.sent
    ends = np.searchsorted(np.cumsum(trades.quantity), sent.volume[packets], side="right")
    shown = set(ends.tolist())
    last = np.searchsorted(trades.ms, (sent.exchange_s[packets] + 1) * 1000)
    for count, until, at in zip(ends.tolist(), last.tolist(), packets.tolist(), strict=True):
        price, quantity = sent.price[at], sent.quantity[at]
        if until > count and (
            count == 0 or trades.price[count - 1] != price or trades.quantity[count - 1] != quantity
        ):
            led = (trades.price[count:until] == price) & (trades.quantity[count:until] == quantity)
            shown |= {int(count + 1 + np.flatnonzero(led)[-1])} if led.any() else set()
    return np.array(sorted(shown - {0}), dtype=np.int64), np.unique(ends)


def _knowable(played: PlayedDay, row: int, true: TrueCandle, shown: Ints, ends: Ints) -> TrueCandle | None:
    trades = played.tape.full_day(row)
    first, last = np.searchsorted(trades.ms, (_begins_ms(played, row, true), true.end_ms)).tolist()
    inside = shown[np.searchsorted(shown, first + 1) : np.searchsorted(shown, last + 1)] - 1
    if not len(inside):
        return None
    prices, before = trades.price[inside], trades.price[:first]
    high = true.high if not first or true.high > before.max() else int(prices.max())
    low = true.low if not first or true.low < before.min() else int(prices.min())
    volumes = np.concatenate(([0], np.cumsum(trades.quantity)))
    known = [_known(volumes, ends, count) for count in (first, last)]
    return TrueCandle(true.start_ms, true.end_ms, int(prices[0]), high, low, int(prices[-1]), known[1] - known[0])


def _begins_ms(played: PlayedDay, row: int, true: TrueCandle) -> int:
    """A day candle is stamped at the open, and includes the trades before it."""
    session = played.tape.sessions[row]
    assert session is not None
    is_day = true.start_ms == session.open_ms and true.end_ms == session.day_end_ms
    return session.day_start_ms if is_day else true.start_ms


def _known(volumes: Ints, ends: Ints, count: int) -> int:
    """The volume after the last trade of the first `count` that a packet ends with."""
    after = int(np.searchsorted(ends, count, side="right"))
    return int(volumes[ends[after - 1]]) if after else 0
