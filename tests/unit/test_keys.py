"""The names of a shard's keys: letters, and one hash tag, so that they lie in one slot of a Redis Cluster."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator

import pytest
from redis.crc import key_slot

import utils.keys
from utils.keys import Keys, shard_letter
from utils.runtime.settings import MAX_CONNECTIONS

SLOTS = (15495, 3300, 7365)
PRIMARIES = 3


def names_of_shard(keys: Keys, shard: int) -> Iterator[str]:
    """What each method of Keys that asks for a shard gives, for each of the workers where it asks for one."""
    for name in (
        name for name, known_name in vars(Keys).items() if inspect.isfunction(known_name) and name[0] != "_"
    ):
        wanted = inspect.signature(getattr(keys, name)).parameters
        if "shard" in wanted:
            for role in ("candle_worker", "signal_worker"):
                given = {"shard": shard, "role": role}
                yield getattr(keys, name)(**{parameter: given[parameter] for parameter in wanted})


@pytest.mark.parametrize("prefix", ["", "demo:", "paper-1."])
@pytest.mark.parametrize(("shard", "slot"), list(enumerate(SLOTS)))
def test_all_keys_of_a_shard_lie_in_one_slot(prefix: str, shard: int, slot: int) -> None:
    names = set(names_of_shard(Keys(prefix), shard))
    assert len(names) > 15
    assert {key_slot(name.encode()) for name in names} == {slot}


def test_shards_lie_on_different_primaries_of_a_cluster() -> None:
    """Of three with equal parts; the slots of 0, 1 and 2 would be on two of them."""
    assert sorted(slot * PRIMARIES // 16384 for slot in SLOTS) == [0, 1, 2]


def test_every_connection_has_a_letter() -> None:
    letters = [shard_letter(shard) for shard in range(MAX_CONNECTIONS)]
    assert all(len(letter) == 1 and letter.islower() for letter in letters)
    assert len(set(letters)) == MAX_CONNECTIONS


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(utils.keys).failed == 0
