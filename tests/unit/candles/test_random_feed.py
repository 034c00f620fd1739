"""The random feeds reach the rules that they are there for: how often, as the reference counts."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.reference.candles import reference_candles
from tests.reference.random_feed import WHO, random_feed
from tests.unit.candles.test_against_reference import SETTINGS, SPANS

# What three seeds of each span reach at least; about half of what they reached when this was written.
AT_LEAST = {
    "undated": 1500,
    "withdrawn": 130,
    "moved_back": 35,
    "held": 400,
    "off_grid": 20,
    "far_from_book": 6,
    "believed_range": 65,
    "believed_book": 18,
    "believed_persists": 20,
    "believed_been_there": 150,
    "repetitions": 20,
    "own_book": 140,
    "late_in_range": 10,
    "without_price": 6,
    "first_of_day": 60,
    "outside": 600,
    "rebased": 200,
    "amended": 2000,
    "inserted": 60,
    "late": 900,
    "outages": 30,
    "baselines": 200,
}
REJECTED_AT_LEAST = {"range": 80, "zscore": 70, "time": 90, "crossed": 45, "frame": 120}


@pytest.fixture(scope="module")
def reached() -> tuple[Counter[str], Counter[str]]:
    counts: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for start, seconds in SPANS:
        for seed in range(3):
            entries = random_feed(seed, start, seconds)
            result = reference_candles(entries, [who.reference for who in WHO], SETTINGS)
            counts.update(result.counts)
            rejected.update(result.rejected)
    return counts, rejected


@pytest.mark.parametrize("name", AT_LEAST)
def test_a_rule_is_reached(name: str, reached: tuple[Counter[str], Counter[str]]) -> None:
    assert reached[0][name] >= AT_LEAST[name]


@pytest.mark.parametrize("reason", REJECTED_AT_LEAST)
def test_a_reason_is_reached(reason: str, reached: tuple[Counter[str], Counter[str]]) -> None:
    assert reached[1][reason] >= REJECTED_AT_LEAST[reason]
