"""The doctor's sentences about shards that CONNECTIONS does not ask for any more."""

from __future__ import annotations

import shlex

import pytest

from commands.doctor.workers import left_shard_findings
from utils.keys import Keys

KEYS = Keys()
REMEDY = "set CONNECTIONS={} until doctor names them no more, and lower it after the market's close."
FRAMES, CANDLES = "frames that no worker has read", "1,200 candles or signals that MongoDB has not got"


def names(keys: Keys) -> list[str]:
    """What a shard leaves behind; a lease, and the place that hashes were written for, run out by themselves."""
    streams = ("ticks", "closed", "signals", "ticks.rejected", "archive.rejected")
    others = ("ticks-subscribed", "state", "state-counts", "signal-state", "published")
    return [f"{keys.prefix}{name}:{{b}}" for name in (*streams, *others)]


@pytest.mark.parametrize(
    ("left", "waiting", "needed"),
    [("1:1:0", FRAMES, 2), ("1:0:1200", CANDLES, 2), ("2:1:1200", f"{FRAMES} and {CANDLES}", 3)],
)
def test_what_waits_is_a_problem(left: str, waiting: str, needed: int) -> None:
    (finding,) = left_shard_findings({"left_shards": left}, KEYS)
    begin = f"CONNECTIONS was lowered while connection {needed - 1} had {waiting}: "
    assert (finding.sentence, finding.is_problem) == (begin + REMEDY.format(needed), True)


def test_what_is_of_no_use_any_more_is_a_note() -> None:
    first, second = left_shard_findings({"left_shards": "1:0:0;2:0:0"}, KEYS)
    assert not first.is_problem
    assert shlex.split(first.sentence.rpartition("DEL ")[2].rstrip(".")) == names(KEYS)
    assert second.sentence.startswith("connection 2 is not used any more, and nothing of it waits")


def test_the_keys_to_delete_are_those_of_the_prefix() -> None:
    (finding,) = left_shard_findings({"left_shards": "1:0:0"}, Keys("mine:"))
    assert shlex.split(finding.sentence.rpartition("DEL ")[2].rstrip(".")) == names(Keys("mine:"))


@pytest.mark.parametrize("report", [{}, {"left_shards": ""}])
def test_nothing_is_reported_where_nothing_was_left(report: dict[str, str]) -> None:
    assert list(left_shard_findings(report, KEYS)) == []
