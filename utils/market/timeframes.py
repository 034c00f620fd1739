"""Timeframes: any whole number of seconds, minutes or hours, and `1d`, which is the session.

A new timeframe is a setting, TIMEFRAMES. Only a new unit, such as a week, is added here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from utils.market.ist import Number

_UNIT_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000}
_PATTERN = re.compile(r"([1-9]\d*)([smh])")
DAY = "1d"


@dataclass(frozen=True, slots=True)
class Timeframe:
    """A candle's length. `length_ms` is 0 for `1d`, whose length is that of the day's session."""

    name: str
    length_ms: int

    @property
    def is_day(self) -> bool:
        return self.length_ms == 0


def parse_timeframe(text: str) -> Timeframe:
    """`5m`, `75m`, `1h`, `30s` or `1d`. ValueError names what is wrong with anything else."""
    name = text.strip()
    if name == DAY:
        return Timeframe(DAY, 0)
    match = _PATTERN.fullmatch(name)
    if match is None:
        raise ValueError(f"{name!r} is not a timeframe: write a whole number and s, m or h (5m, 75m, 1h), or 1d")
    length_ms = int(match[1]) * _UNIT_MS[match[2]]
    if length_ms > 24 * _UNIT_MS["h"]:
        raise ValueError(f"{name!r} is longer than a day: the longest timeframe is 1d, the session")
    return Timeframe(name, length_ms)


def names_of_length(length_ms: int) -> list[str]:
    """All names of one length: `60m` is `1h`.

    >>> names_of_length(3_600_000)
    ['3600s', '60m', '1h']
    """
    if length_ms == 0:
        return [DAY]
    return [f"{length_ms // unit_ms}{unit}" for unit, unit_ms in _UNIT_MS.items() if length_ms % unit_ms == 0]


def parse_timeframes(text: str) -> tuple[Timeframe, ...]:
    """A comma-separated list, without repetition, in the order given."""
    names = [part for part in (piece.strip() for piece in text.split(",")) if part]
    if not names:
        raise ValueError("the list is empty: give at least one timeframe, such as 1m")
    frames = tuple(parse_timeframe(name) for name in names)
    seen: dict[int, str] = {}
    for frame in frames:
        if frame.length_ms in seen:
            raise ValueError(f"{frame.name!r} and {seen[frame.length_ms]!r} are the same timeframe: keep one")
        seen[frame.length_ms] = frame.name
    return frames


def bucket_start_ms(at_ms: Number, open_ms: Number, length_ms: int) -> Number:
    """Start of the bucket that holds `at_ms`, or of each of an array, anchored at the session's open (half-open)."""
    return open_ms + (at_ms - open_ms) // length_ms * length_ms
