"""The commands that write indicator values, read back by redis-py's own parser."""

from __future__ import annotations

import itertools
import math

import hiredis
import numpy as np
import pytest

from utils.indicators import INDICATOR_NAMES, IndicatorValues
from utils.indicators.values import LatestValues
from utils.keys import Keys
from utils.stores.indicator_hashes import float_texts, values_commands

SEED = 20261120
START_MS = 1_767_325_500_000  # 2026-01-02T09:15+05:30
WHOLE = IndicatorValues(*(1000.0 / (at + 3) for at in range(len(INDICATOR_NAMES))))


def words_of(commands: list[bytes]) -> list[list[str]]:
    """As the server reads them: an array of words has one form in both directions."""
    reader = hiredis.Reader(encoding="utf-8")
    reader.feed(b"".join(commands))
    words = list(itertools.takewhile(lambda get: get is not False, iter(reader.gets, None)))
    assert len(words) == len(commands)
    return words


def test_a_whole_hash_has_every_value_as_its_repr() -> None:
    latest = LatestValues("NSE:INFY", "5m", START_MS, WHOLE)
    assert words_of(values_commands(Keys("demo:"), [latest])) == [
        [
            *("HSET", "demo:indicators:NSE:INFY:5m", "t", str(START_MS), "start", "2026-01-02T09:15:00+05:30"),
            *(word for name in INDICATOR_NAMES for word in (name, repr(getattr(WHOLE, name)))),
        ]
    ]


@pytest.mark.parametrize("absent", [math.nan, math.inf, -math.inf])
def test_absent_values_leave_the_hash_and_the_others_are_written(absent: float) -> None:
    some = WHOLE._replace(sma_200=absent, vwap=absent)
    several = [LatestValues("NSE:M&M", "1m", START_MS, values) for values in (WHOLE, some, WHOLE)]
    words = words_of(values_commands(Keys(), several))
    assert [word[0] for word in words] == ["HSET", "HSET", "HDEL", "HSET"]
    assert words[0] == words[3]
    there = [name for name in INDICATOR_NAMES if name not in ("sma_200", "vwap")]
    assert words[1][6:] == [word for name in there for word in (name, repr(getattr(WHOLE, name)))]
    assert words[2] == ["HDEL", "indicators:NSE:M&M:1m", "sma_200", "vwap"]


def test_nothing_known_writes_only_the_time() -> None:
    words = words_of(values_commands(Keys(), [LatestValues("NSE:ü", "1m", START_MS, IndicatorValues())]))
    assert words[0] == ["HSET", "indicators:NSE:ü:1m", "t", str(START_MS), "start", "2026-01-02T09:15:00+05:30"]
    assert words[1] == ["HDEL", "indicators:NSE:ü:1m", *INDICATOR_NAMES]
    assert values_commands(Keys(), []) == []


def test_a_whole_hash_whose_name_is_not_ascii() -> None:
    (words,) = words_of(values_commands(Keys(), [LatestValues("NSE:ü", "1m", START_MS, WHOLE)]))
    assert words[1] == "indicators:NSE:ü:1m"


def test_every_float_is_written_as_python_does() -> None:
    rng = np.random.default_rng(SEED)
    any_bits = rng.integers(0, 2**64, 50_000, dtype=np.uint64).view(np.float64)
    usual = 10.0 ** rng.uniform(-9, 20, 50_000) * rng.choice([-1.0, 1.0], 50_000)
    prices = np.round(rng.uniform(0, 1e5, 50_000), 2)
    edges = [
        0.0,
        -0.0,
        1e-4,
        np.nextafter(1e-4, 0),
        1e16,
        np.nextafter(1e16, 0),
        5e-324,
        1.7976931348623157e308,
        1e15,
    ]
    values = np.concatenate([any_bits[np.isfinite(any_bits)], usual, prices, edges])
    assert [text.decode() for text in float_texts(values)] == [repr(value) for value in values.tolist()]
