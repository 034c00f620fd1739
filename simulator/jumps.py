"""A market in which prices jump: real trades at a new level, from one moment on for the rest of the day.

An option goes from 20 to some 70 to 110 within a tick, as on an expiry day, or down by as much, and is restless for
two minutes, by some per cent from trade to trade; a stock or a future moves by 5 to 8 %. The trades are on the tape,
in the volume and, always a packet late, in the day range; the book follows them, wider while the row is restless.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from simulator.contracts import Shape
from simulator.dice import Floats, Ints, Keys, Salt, draw_keys, normal, uniform
from simulator.universe import Universe

MINUTE_MS = 60_000
JUMP_SHARE = 0.7
AWAY_FROM_THE_EDGES_MS = 15 * MINUTE_MS
RESTLESS_MS = 2 * MINUTE_MS
RESTLESS_TRADES = 5.0
OPTION_FACTORS, OPTION_RISES, OPTION_SWING = (3.5, 5.5), 0.75, 0.03
OTHER_MOVES, OTHER_SWING = (0.05, 0.08), 0.002
NEVER = 1 << 62


class Market(StrEnum):
    """Names for --market."""

    CALM = "calm"
    JUMPING = "jumping"


class Jumps:
    """When each row jumps on a day, and the factor of its price. In a calm market no row jumps."""

    def __init__(self, market: Market, universe: Universe, opening: Ints, closing: Ints, day: int) -> None:
        self._at_ms: Ints = np.full(len(universe), NEVER, dtype=np.int64)
        keys = draw_keys(universe.seed, universe.tokens, day, Salt.JUMP)
        is_option = np.isin(universe.shapes, (Shape.CALL, Shape.PUT))
        span = closing - opening - 2 * AWAY_FROM_THE_EDGES_MS
        if market is Market.JUMPING:
            strikes = (uniform(keys) < JUMP_SHARE) & (universe.shapes != Shape.INDEX) & (span > 0)
            at = opening + AWAY_FROM_THE_EDGES_MS + np.floor(uniform(draw_keys(keys, 1)) * span).astype(np.int64)
            self._at_ms[strikes] = at[strikes]
        self._factor = np.where(is_option, _option_factors(keys), _other_factors(keys))
        self._swing = np.where(is_option, OPTION_SWING, OTHER_SWING)

    @property
    def at_ms(self) -> Ints:
        """Epoch ms of the jump by row; NEVER for rows that do not jump."""
        return self._at_ms

    def moved(self, price: Floats, rows: Ints, ms: Ints, keys: Keys) -> Floats:
        """Prices of trades with jump and restlessness applied; one key a trade."""
        swing = np.where(self._is_restless(rows, ms), self._swing[rows], 0.0)
        moved: Floats = price * self.factor(rows, ms) * np.exp(swing * normal(draw_keys(keys, Salt.JUMP)))
        return moved

    def factor(self, rows: Ints | int, ms: Ints | int) -> Floats:
        """The factor of the jump, without the restlessness."""
        factor: Floats = np.where(ms >= self._at_ms[rows], self._factor[rows], 1.0)
        return factor

    def busier(self, rows: Ints, minute_ms: Ints) -> Floats:
        """The factor of a row's trade count in the minutes that begin at `minute_ms`."""
        restless = self._is_restless(rows, minute_ms) | self._is_restless(rows, minute_ms + MINUTE_MS - 1)
        return np.where(restless, RESTLESS_TRADES, 1.0)

    def spread(self, price: Ints, rows: Ints, ms: Ints) -> Ints:
        """Extra spread in wire units: quotes of restless rows are as wide as their trades swing."""
        return np.where(self._is_restless(rows, ms), price * self._swing[rows], 0.0).astype(np.int64)

    def _is_restless(self, rows: Ints, ms: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        since = ms - self._at_ms[rows]
        return (since >= 0) & (since < RESTLESS_MS)


def _option_factors(keys: Keys) -> Floats:
    least, most = OPTION_FACTORS
    factor = least + (most - least) * uniform(draw_keys(keys, 2))
    return np.where(uniform(draw_keys(keys, 3)) < OPTION_RISES, factor, 1 / factor)


def _other_factors(keys: Keys) -> Floats:
    least, most = OTHER_MOVES
    move = least + (most - least) * uniform(draw_keys(keys, 2))
    return np.where(uniform(draw_keys(keys, 3)) < 0.5, 1 + move, 1 - move)
