"""Five levels a side around a last price: seeded, and never crossed."""

from __future__ import annotations

import numpy as np

from simulator.dice import Ints, Keys, Salt, draw_keys, mix
from utils.kite import frames as wire

LEVELS = 5


def fill_book(
    records: np.ndarray, keys: Keys, price: Ints, tick: Ints, lots: Ints, wider: Ints | None = None
) -> None:
    """Write bids, asks and the two totals into full-mode records; one key, price and tick a record.

    The last price is on one of the two best levels or between them. A level below one tick is left empty. `wider`: by
    how much the best two are farther apart than usual, in wire units.
    """
    dice = mix(draw_keys(keys, Salt.BOOK))
    at_bid = (dice & np.uint64(1)).astype(np.int64)
    spread = 1 + _bits(dice, 1, 3) // 3 + (0 if wider is None else wider // tick)
    gaps = 1 + (_bits(dice, 4, 2) == 0)
    level = np.arange(LEVELS)
    best_bid = price - np.where(at_bid == 1, 0, spread * tick)
    bids = best_bid[:, None] - level * (gaps * tick)[:, None]
    asks = (best_bid + spread * tick)[:, None] + level * (gaps * tick)[:, None]
    _fill_side(records, "bids", bids, draw_keys(keys[:, None], 100 + level), lots)
    _fill_side(records, "asks", asks, draw_keys(keys[:, None], 200 + level), lots)
    for side, total in (("bids", "buy_quantity"), ("asks", "sell_quantity")):
        records[total] = records[side]["quantity"].sum(axis=1, dtype=np.int64) * (3 + _bits(dice, 10, 3))


def _fill_side(records: np.ndarray, side: str, prices: Ints, keys: Keys, lots: Ints) -> None:
    there = prices > 0
    quantity = (1 + _bits(keys, 0, 6) * (1 + _bits(keys, 6, 3))) * lots[:, None]
    levels = np.zeros(prices.shape, dtype=wire.LEVEL)
    levels["price"] = np.where(there, prices, 0)
    levels["quantity"] = np.where(there, quantity, 0)
    levels["orders"] = np.where(there, 1 + _bits(keys, 12, 4), 0)
    records[side] = levels


def _bits(keys: Keys, start: int, how_many: int) -> Ints:
    return ((keys >> np.uint64(start)) & np.uint64((1 << how_many) - 1)).astype(np.int64)
