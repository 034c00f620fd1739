"""The candle kernel on decoded trades: without wire format, checks and z-score.

The work a trade of each timeframe is `utils.candles.kernels.buckets.apply_trade`, as in production.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.candles.kernels.buckets import apply_trade
from utils.candles.kernels.layout import FAR, Array, Output, Rules, Shard
from utils.candles.kernels.prefetch import fetch_ended, fetch_open
from utils.runtime.kernel_cache import kernel

AHEAD = 6  # trades between the prefetch of a row's candles and their use
TRADE = np.dtype(
    [
        ("row", "i8"),
        ("trade_ms", "i8"),
        ("place_ms", "i8"),
        ("receive_ms", "i8"),
        ("price", "i8"),
        ("cum", "i8"),
        ("oi", "i8"),
        ("raise_to", "i8"),
        ("lower_to", "i8"),
        ("has_volume", "u1"),
        ("timed", "u1"),
        ("late", "u1"),
        ("dated", "u1"),
        ("first", "u1"),
        ("day_open", "i8"),
        ("day_high", "i8"),
        ("day_low", "i8"),
    ],
    align=True,
)


class BareState(NamedTuple):
    """The arrays that trades change, passed one by one: numba needs microseconds a call to unpack a tuple of them."""

    instruments: Array
    latest: Array
    open: Array
    last: Array
    due: Array
    lengths: Array
    feed: Array
    counts: Array
    heads: Array
    candles: Array
    filled: Array

    @classmethod
    def of(cls, shard: Shard, out: Output) -> BareState:
        return cls(
            shard.instruments,
            shard.latest,
            shard.open,
            shard.last,
            shard.due,
            shard.lengths,
            shard.feed,
            shard.counts,
            out.heads,
            out.candles,
            out.filled,
        )


@kernel
def process_trades(  # noqa: PLR0917 - array by array: see BareState
    instruments: Array,
    latest: Array,
    open_candles: Array,
    last: Array,
    due: Array,
    lengths: Array,
    feed: Array,
    counts: Array,
    heads: Array,
    candles: Array,
    filled: Array,
    grace_ms: int,
    trades: Array,
) -> int:
    """Applies trades to a BareState's arrays; returns how many closed candles are in `heads`.

    `heads` must have room for two events a trade and timeframe.
    """
    unused = counts  # what only packets need
    shard = Shard(
        instruments, due, latest, due, open_candles, last, due, lengths, unused, unused, feed, counts, unused, unused
    )
    rules, out = Rules(grace_ms, 0, 0, 0.0, 0.0, 0, 0.0, 0), Output(heads, candles, heads, due, trades, filled)
    for i in range(trades.shape[0]):
        if i + AHEAD < trades.shape[0]:  # as the kernel of production does with packets
            fetch_open(shard, trades[i + AHEAD].row)
            fetch_ended(shard, trades[i + AHEAD // 2].row, trades[i].trade_ms)
        p = trades[i]
        r = p.row
        inst = instruments[r]
        cum_before = inst.cum
        inst.cum = p.cum
        apply_trade(shard, rules, out, r, p, cum_before, 0)
    return int(filled[0])


def as_trades(ticks: NDArray[np.void]) -> NDArray[np.void]:
    """Rows of `bench.synthetic.TICK` as trades."""
    trades = np.zeros(len(ticks), TRADE)
    trades["row"], trades["price"], trades["cum"] = ticks["row"], ticks["price"], ticks["cum"]
    trades["trade_ms"] = ticks["trade_s"] * 1000
    trades["place_ms"], trades["receive_ms"] = trades["trade_ms"], trades["trade_ms"] + 400
    trades["lower_to"] = FAR
    trades["has_volume"] = trades["timed"] = trades["dated"] = 1
    return trades
