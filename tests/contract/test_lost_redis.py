"""Redis and its data directory are lost twice in a morning that is larger than twice STREAM_MAX_MB.

The short form of `python -m tests.measures.lost_redis`, which plays 500 instruments and measures how long it takes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.measures.lost_redis import Morning, Outcome, Plan, differences, play

PLAN = Plan(instruments=60, minutes=60, stream_max_mb=16, timeframes="15s,1m,5m")


def test_what_was_lost_comes_back_with_the_same_ids(tmp_path: Path) -> None:
    morning = Morning(PLAN, tmp_path / "journal")
    morning.record()
    assert morning.journal_bytes > 2 * PLAN.stream_max_mb << 20
    runs: list[Outcome] = []
    for name in ("undisturbed", "lost"):
        (tmp_path / name).mkdir()
        runs.append(play(morning, tmp_path / name, loses=name == "lost"))
    print(f"seed {PLAN.seed}: {len(runs[0].candles)} candles, {len(runs[0].signals)} signals")
    assert differences(*runs) == [], f"seed {PLAN.seed}"
    assert len(runs[0].candles) > 10_000
    assert len(runs[0].signals) > 10
    assert len(runs[1].live_after) == 2


@pytest.mark.parametrize("what", ["candles", "signals"])
def test_a_difference_is_named(what: str) -> None:
    same = Outcome([(b"1-0", b"{}")], ["a"])
    other = Outcome([], ["a"]) if what == "candles" else Outcome([(b"1-0", b"{}")], ["a", "b"])
    assert differences(same, same) == []
    (sentence,) = differences(same, other)
    assert what in sentence
