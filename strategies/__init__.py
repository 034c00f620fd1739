"""Strategies: one file each in this folder, found by the file's name and switched on by the STRATEGIES setting.

A strategy file `mine.py` needs two names, and reads no clock, file or network:

    REQUIRED = ("sma_200", "atr_14")        # it is asked only when these are warm, now and one candle before

    def evaluate(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None: ...

`now` are the values with the closed candle in, `before` those after the candle before it. A value that is absent is
NaN, with which every comparison is False. `momentum.py` is an example to copy. Files that begin with `_` are none.
"""

from strategies._loader import Strategy, load_strategies, strategy_names
from strategies._proposal import Direction, Proposal

__all__ = ["Direction", "Proposal", "Strategy", "load_strategies", "strategy_names"]
