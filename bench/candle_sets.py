"""Candles in a form that every side can give, and the differences between two sides."""

from __future__ import annotations

from collections.abc import Iterable

Key = tuple[str, str, int]  # symbol, timeframe, start in epoch ms
Values = tuple[float, float, float, float, float]  # open, high, low, close, volume
CandleSet = dict[Key, Values]

_CLOSE_ENOUGH = 1e-9


def only(candles: CandleSet, timeframes: Iterable[str], from_ms: int, before_ms: int) -> CandleSet:
    """Those of some timeframes that begin within a span."""
    wanted = set(timeframes)
    return {key: candle for key, candle in candles.items() if key[1] in wanted and from_ms <= key[2] < before_ms}


def difference(ours: CandleSet, theirs: CandleSet) -> str:
    """Empty when both are the same; else the first difference in words."""
    if ours.keys() != theirs.keys():
        missing, more = ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
        return f"{len(missing)} only ours {sorted(missing)[:2]}, {len(more)} only theirs {sorted(more)[:2]}"
    for key in sorted(ours):
        pairs = zip(ours[key], theirs[key], strict=True)
        if any(abs(a - b) > _CLOSE_ENOUGH * max(1.0, abs(a)) for a, b in pairs):
            return f"{key}: ours {ours[key]}, theirs {theirs[key]}"
    return ""
