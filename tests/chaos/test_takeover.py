"""Several workers of a role: the shards are shared out, and when one dies another continues within five seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tests.chaos.judging import judge
from tests.chaos.stage import Plan, Stage, stage
from tests.e2e.harness import CANDLE_WORKER, SIGNAL_WORKER, as_id
from utils.keys import Keys

SEED = 77
SHARDS = 3
LEASE_SECONDS = 3.0  # as deployed
TAKEOVER_SECONDS = LEASE_SECONDS + 10 * 1.0  # a quiet machine needs less than a second beyond the lease
CANDLE_WORKERS = (CANDLE_WORKER, f"{CANDLE_WORKER}-2", f"{CANDLE_WORKER}-3")
SIGNAL_WORKERS = (SIGNAL_WORKER, f"{SIGNAL_WORKER}-2")


def owner(made: Stage, role: str, shard: int) -> str:
    """The name of the process that owns its lease; empty when none of ours does."""
    content: Any = made.scripts.stores.client.get(Keys().lease(role, shard))
    pid = content.decode().rpartition(":")[2] if content else ""
    return next((name for name, child in made.scripts.running.items() if str(child.pid) == pid), "")


def owners(made: Stage, role: str = CANDLE_WORKER) -> list[str]:
    return [owner(made, role, shard) for shard in range(SHARDS)]


def _position(made: Stage, shard: int) -> tuple[int, int]:
    return as_id(made.scripts.health(SIGNAL_WORKER).get(f"position_{shard}", "0-0"))


def _reported(made: Stage) -> set[int]:
    """The shards of which the candle workers' report has a position."""
    report = made.scripts.health(CANDLE_WORKER)
    return {shard for shard in range(SHARDS) if f"position_{shard}" in report}


def seconds_until_taken_over(made: Stage, name: str, role: str, shard: int) -> float:
    """Kills the process; until another owns its lease and publishes more in the shard's closed stream."""
    stream = Keys().closed(shard)
    made.kill(name)
    killed = time.monotonic()
    last = made.scripts.last_id(stream)
    made.scripts.until(lambda: owner(made, role, shard) not in ("", name), f"{role} {shard} is taken over")
    seconds = time.monotonic() - killed
    made.scripts.until(lambda: made.scripts.last_id(stream) > last, f"{stream} continues")
    return seconds


def test_shards_are_shared_and_taken_over(tmp_path: Path) -> None:
    lease = (("LEASE_SECONDS", f"{LEASE_SECONDS:g}"),)
    plan = Plan(seconds=0, speed=60.0, instruments=12, shards=SHARDS, timeframes="5s,1m,1d", settings=lease)
    with stage(tmp_path, plan, SEED) as made:
        for name in (*CANDLE_WORKERS[1:], SIGNAL_WORKERS[1]):
            made.start(name)
        made.scripts.until(lambda: set(owners(made)) == set(CANDLE_WORKERS), "each worker owns a shard")
        made.scripts.until(
            lambda: all(made.scripts.last_id(Keys().closed(n)) > (0, 0) for n in range(3)), "candles", 60
        )
        made.scripts.until(
            lambda: set(owners(made, SIGNAL_WORKER)) == set(SIGNAL_WORKERS), "each signal worker has a part", 60
        )
        made.scripts.until_ready(SIGNAL_WORKER)

        victim = owners(made)[1]
        seconds = {victim: seconds_until_taken_over(made, victim, CANDLE_WORKER, 1)}
        made.scripts.until(lambda: _reported(made) == set(range(SHARDS)), "the report of all has every shard")
        assert len(set(owners(made))) == 2, "the two that are left share the three shards"

        victim = owners(made, SIGNAL_WORKER)[0]
        (left,) = set(SIGNAL_WORKERS) - {victim}
        before = [as_id(made.scripts.health(SIGNAL_WORKER)[f"position_{n}"]) for n in range(SHARDS)]
        made.kill(victim)
        killed = time.monotonic()
        made.scripts.until(lambda: set(owners(made, SIGNAL_WORKER)) == {left}, "signals taken over")
        seconds[victim] = time.monotonic() - killed
        for n, position in enumerate(before):
            made.scripts.until(lambda n=n, at=position: _position(made, n) > at, f"shard {n} continues")  # type: ignore[misc]

        made.make_well()
        made.drain()
        verdict = judge(made)
    print(f"\n  seed {SEED}: taken over after {seconds}, {verdict}")
    assert verdict.differences == [], f"seed {SEED}: {verdict.differences}"
    assert max(seconds.values()) < TAKEOVER_SECONDS, f"taken over after {seconds}"
