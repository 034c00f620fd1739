"""The candle kernel on trades that are decoded already: without wire format, checks and z-score.

The work a trade of each timeframe is `utils.candles.buckets.take_trade`, as in production.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from utils.candles.buckets import take_trade
from utils.candles.layout import FAR, Array, Output, Rules, Shard
from utils.kernel_cache import kernel

TRADE = np.dtype(
    [
        ("row", "i8"),
        ("trade_ms", "i8"),
        ("receive_ms", "i8"),
        ("price", "i8"),
        ("cum", "i8"),
        ("oi", "i8"),
        ("raise_to", "i8"),
        ("lower_to", "i8"),
        ("has_volume", "u1"),
        ("timed", "u1"),
        ("late", "u1"),
    ],
    align=True,
)


@kernel
def take_trades(shard: Shard, rules: Rules, out: Output, trades: Array) -> int:
    """Takes them all; returns how many candles closed. `out` must have room for two events a trade and timeframe."""
    for i in range(trades.shape[0]):
        p = trades[i]
        r = p.row
        inst = shard.instruments[r]
        cum_before = inst.cum
        inst.cum = p.cum
        for c in range(shard.lengths.shape[0]):
            take_trade(shard, rules, out, r, c, p, cum_before, 0)
    return int(out.filled[0])


def as_trades(ticks: NDArray[np.void]) -> NDArray[np.void]:
    """Rows of `bench.synthetic.TICK` as trades."""
    trades = np.zeros(len(ticks), TRADE)
    trades["row"], trades["price"], trades["cum"] = ticks["row"], ticks["price"], ticks["cum"]
    trades["trade_ms"] = ticks["trade_s"] * 1000
    trades["receive_ms"] = trades["trade_ms"] + 400
    trades["lower_to"] = FAR
    trades["has_volume"] = trades["timed"] = 1
    return trades
