"""Supertrend once more, in plain pandas, by its definition."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd


def supertrend_in_pandas(frame: pd.DataFrame, period: int, multiplier: float) -> pd.DataFrame:
    """Written anew from the definition: bands hl2 -/+ m ATR that only tighten, a flip when the close crosses."""
    before = frame["close"].shift()
    ranges = pd.concat(
        [frame["high"] - frame["low"], (frame["high"] - before).abs(), (frame["low"] - before).abs()], axis=1
    )
    true_range = ranges.max(axis=1).iloc[1:]
    seeded = true_range.copy()
    seeded.iloc[: period - 1] = np.nan
    seeded.iloc[period - 1] = true_range.iloc[:period].mean()
    atr = seeded.iloc[period - 1 :].ewm(alpha=1 / period, adjust=False).mean().reindex(frame.index)
    middle = (frame["high"] + frame["low"]) / 2
    rows: list[tuple[float, float]] = []
    upper, lower, is_up = math.inf, -math.inf, False
    for at in frame.index:
        if math.isnan(atr[at]):
            rows.append((math.nan, math.nan))
            continue
        previous = frame["close"].get(at - 1, math.nan)
        basic_upper, basic_lower = middle[at] + multiplier * atr[at], middle[at] - multiplier * atr[at]
        upper = basic_upper if basic_upper < upper or previous > upper else upper
        lower = basic_lower if basic_lower > lower or previous < lower else lower
        first = not rows or math.isnan(rows[-1][0])
        if not first:
            is_up = frame["close"][at] >= lower if is_up else frame["close"][at] > upper
        rows.append((lower if is_up else upper, 1.0 if is_up else -1.0))
    return pd.DataFrame(rows, columns=["line", "direction"])
