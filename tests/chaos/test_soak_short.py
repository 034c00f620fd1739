"""The short form of `make soak`: three tiny sessions and options that expire with each, in the same processes."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.soak_bounds import Bounds
from tests.chaos.soak_plan import Plan
from tests.chaos.soak_run import soak

SEED = 20_261_121
# The first session is where everything is allocated: three of them show a leak only when it is a large one. Rows,
# hashes and snapshots are flat from the first one on.
BOUNDS = Bounds(
    settled=1,
    rss_share=0.3,
    rss_mb=48.0,
    descriptors=6,
    threads=3,
    redis_share=0.5,
    bytes_share=2.0,
    fewest_share=1.0,  # in virtual time nothing is late
)


def test_three_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    plan = Plan(3, 40, 2, 60, SEED, "1h,1d", weekly=10, days_apart=2, bounds=BOUNDS)
    soaked = soak(plan, tmp_path / "soak", print)
    print(f"\n  seed {SEED}: {soaked.figures}")
    assert soaked.findings == [], f"seed {SEED}: {soaked.findings}"
    first, second, third = soaked.samples
    assert first.day < second.day < third.day and third.published > second.published > first.published > 30
    assert (third.rows, third.live_hashes) == (40, plan.live_hashes)
