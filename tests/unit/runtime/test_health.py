"""What the reports of several workers come to."""

from __future__ import annotations

import pytest

from utils.runtime.health import SHARDS_FREE, merged, with_free_shards, worst_state


@pytest.mark.parametrize(
    ("states", "worst"),
    [
        (["running", "standing by"], "running"),
        (["standing by", "standing by"], "standing by"),
        (["running", "warming up 3/10"], "warming up 3/10"),
        (["starting", "warming up 3/10", "running"], "warming up 3/10"),
        (["waiting for the instruments", "warming up 3/10"], "waiting for the instruments"),
        (["running", "what nobody foresaw"], "what nobody foresaw"),
        ([], "standing by"),
    ],
)
def test_the_state_is_that_of_whoever_is_worst_off(states: list[str], worst: str) -> None:
    assert worst_state(states) == worst
    assert worst_state(reversed(states)) == worst


def test_counts_are_added_times_are_the_worst_and_shards_are_of_all() -> None:
    ours: dict[str, str | int] = {
        "state": "running",
        "shards": "0,2",
        "all_shards": 3,
        "signals": 4,
        "lag_ms": 10,
        "last_entry_ms": 90,
        "position_0": "5-1",
        "archive_state": "waiting",
        "history_rejected_prices": 1,
    }
    theirs: dict[str, str | int] = {
        "state": "warming up 1/2",
        "shards": "1",
        "all_shards": "3",
        "signals": "3",
        "lag_ms": "70",
        "last_entry_ms": "30",
        "position_0": "5-0",
        "position_1": "7-0",
    }
    assert merged([ours, theirs]) == {
        "state": "warming up 1/2",
        "shards": "0,1,2",
        "all_shards": 3,
        "signals": 7,
        "lag_ms": 70,
        "last_entry_ms": 30,
        "position_0": "5-1",
        "position_1": "7-0",
        "archive_state": "waiting",
        "history_rejected_prices": 1,
    }


@pytest.mark.parametrize(
    ("whole", "state"),
    [
        ({"state": "running", "shards": "0,1", "all_shards": 2}, "running"),
        ({"state": "running", "shards": "1", "all_shards": 2}, SHARDS_FREE),
        ({"state": "standing by", "shards": "", "all_shards": 2}, SHARDS_FREE),
        ({"state": "warming up 1/2", "shards": "1", "all_shards": 2}, "warming up 1/2"),
        ({"state": "waiting for the instruments", "shards": "1", "all_shards": 2}, "waiting for the instruments"),
    ],
)
def test_all_runs_only_when_every_shard_is_held(whole: dict[str, str | int], state: str) -> None:
    assert with_free_shards(whole)["state"] == state


def test_a_report_that_has_no_state_is_left_alone() -> None:
    assert with_free_shards({"shards": "1", "instruments": 5}) == {"shards": "1", "instruments": 5}
