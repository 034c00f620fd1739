"""Randomness without a sequence: every draw is a hash of its purpose and keys.

A trade's price depends on (seed, date, token, minute, number of the trade) and on nothing else, so the tape is the
same in any order and at any speed, with any number of other instruments.
The hash is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)
_HALF = 2.0**-32
_UNIT = 2.0**-53


class Salt(IntEnum):
    """The purpose of a draw: two purposes never share a draw."""

    LEVEL = 1
    GAP = 2
    MINUTE = 3
    TREND = 4
    BASIS = 5
    COUNT = 6
    COUNT_NOISE = 7
    TRADE = 8
    WALK = 9
    SIDE = 10
    QUANTITY = 11
    AUCTION = 12
    OPEN_INTEREST = 13
    RATE = 14
    BAR = 15
    BOOK = 16
    QUOTE_CHANGE = 17
    LOOK = 18
    PART = 19
    LATENCY = 20
    FAULT = 21
    BASE = 22
    TAIL = 23
    STALL = 24
    LEAD = 25
    TIMELESS = 26
    JUMP = 27


def mix(values: Keys) -> Keys:
    """64 bits in, 64 well-mixed bits out."""
    with np.errstate(over="ignore"):
        z = values + _STEP
        z = (z ^ (z >> np.uint64(30))) * _FIRST
        z = (z ^ (z >> np.uint64(27))) * _SECOND
        return z ^ (z >> np.uint64(31))


def draw_keys(key: Keys | int, *parts: Keys | Ints | int) -> Keys:
    """A key for each combination of the parts (broadcast as numpy does); always an array."""
    keys = np.atleast_1d(np.asarray(key, dtype=np.uint64))
    for part in parts:
        keys = mix(keys ^ mix(np.asarray(part).astype(np.uint64)))
    return keys


def uniform(keys: Keys) -> Floats:
    """In [0, 1)."""
    return (mix(keys) >> np.uint64(11)).astype(np.float64) * _UNIT


def normal(keys: Keys) -> Floats:
    """Standard normal (Box-Muller, one of the pair)."""
    bits = mix(keys)
    radius = np.sqrt(-2.0 * np.log(((bits >> np.uint64(32)).astype(np.float64) + 0.5) * _HALF))
    angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0 * np.pi * _HALF)
    turned: Floats = radius * np.cos(angle)
    return turned


def fat_normal(keys: Keys) -> Floats:
    """A normal whose own deviation is log-normal: fat tails, deviation about 1."""
    return normal(keys) * np.exp(0.45 * normal(draw_keys(keys, Salt.TAIL)) - 0.2)
