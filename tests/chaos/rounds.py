"""The kinds of rounds with the faults of each, and one round from its beginning to its verdict."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from tests.chaos.faults import MORE_WORKERS, SECOND_CANDLE_WORKER, Chaos
from tests.chaos.judging import Verdict, judge
from tests.chaos.latencies import Latencies
from tests.chaos.stage import SCRIPTS, Plan, Stage, can_mount_tmpfs, stage
from tests.e2e.harness import CANDLE_WORKER, WORKERS

SETTLE_SECONDS = 3.0
Schedule = Callable[[Chaos, float], None]


@dataclass
class Round:
    """A round and its results; it held when `differences` is empty."""

    kind: str
    seed: int
    kills: int = 0
    faults: dict[str, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    differences: list[str] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def kills(chaos: Chaos, seconds: float) -> None:
    """kill -9 and SIGSTOP of each process at random moments."""
    chaos.now_and_then((0.6, 1.6), seconds, chaos.kill_any)
    chaos.now_and_then((2.0, 6.0), seconds, chaos.stop_any)


def redis_faults(chaos: Chaos, seconds: float) -> None:
    """Redis killed, hung, out of memory, and without its last writes, while workers die."""
    actions = (chaos.redis_killed, chaos.redis_hung, chaos.redis_full, chaos.redis_torn)
    for index, action in enumerate(actions):
        chaos.at(2.0 + index * seconds / 5, action)
    chaos.now_and_then((5.0, 9.0), seconds - 4, *actions)
    chaos.now_and_then((2.0, 4.0), seconds, chaos.kill_any)
    chaos.now_and_then((4.0, 9.0), seconds, chaos.stop_any)


def network(chaos: Chaos, seconds: float) -> None:
    """Every pair's connection reset, delayed, cut, swallowed, refused."""
    chaos.now_and_then((0.3, 1.2), seconds, chaos.network_any)
    chaos.now_and_then((2.5, 5.0), seconds, chaos.kill_any)


def mongo_faults(chaos: Chaos, seconds: float) -> None:
    """MongoDB killed, hung, slow and failing, while workers die."""
    actions = (chaos.mongo_killed, chaos.mongo_hung, chaos.mongo_slow, chaos.mongo_errors)
    for index, action in enumerate(actions):
        chaos.at(2.0 + index * seconds / 5, action)
    chaos.now_and_then((3.0, 6.0), seconds - 4, *actions)
    chaos.now_and_then((1.0, 2.5), seconds, chaos.kill_worker)
    chaos.now_and_then((4.0, 9.0), seconds, chaos.stop_any)


def feed(chaos: Chaos, seconds: float) -> None:
    """The feed frozen, flapping, refused for its token and for too many connections."""
    actions = (chaos.feed_frozen, chaos.feed_flapping, chaos.feed_403, chaos.feed_429)
    for index, action in enumerate(actions):
        chaos.at(2.0 + index * seconds / 5, action)
    chaos.now_and_then((4.0, 8.0), seconds - 3, *actions)
    chaos.now_and_then((2.5, 5.0), seconds, chaos.kill_any)


def disk_and_clock(chaos: Chaos, seconds: float) -> None:
    """The journal's disk full, its last record torn, the clock an hour back and an hour forward."""
    chaos.now_and_then((5.0, 9.0), seconds - 3, chaos.disk_full, chaos.torn_journal)
    chaos.at(1.5, chaos.disk_full)
    chaos.at(0.12 * seconds, chaos.torn_journal)
    chaos.at(0.25 * seconds, lambda: chaos.clock_stepped(-1, 0.15 * seconds))
    chaos.at(0.65 * seconds, lambda: chaos.clock_stepped(+1, 0.1 * seconds))
    chaos.now_and_then((2.0, 4.0), seconds, chaos.kill_worker)


def doubles(chaos: Chaos, seconds: float) -> None:
    """Two candle workers on one shard, and one that hangs while it owns the lease."""
    both = (CANDLE_WORKER, SECOND_CANDLE_WORKER)
    chaos.at(0.0, lambda: chaos.stage.start(SECOND_CANDLE_WORKER))
    chaos.now_and_then((5.0, 9.0), seconds - 5, chaos.lease_ignored, chaos.owner_hangs)
    chaos.at(2.0, chaos.lease_ignored)
    chaos.at(seconds / 2, chaos.owner_hangs)
    chaos.now_and_then((1.5, 3.5), seconds, lambda: chaos.kill_one((*SCRIPTS, *both)))


def shared(chaos: Chaos, seconds: float) -> None:
    """Three shards, three candle workers, two signal workers: each is killed and suspended, others take over."""
    for name in MORE_WORKERS:
        chaos.at(0.0, partial(chaos.stage.start, name))
    chaos.now_and_then((0.8, 2.0), seconds, partial(chaos.kill_one, (*SCRIPTS, *MORE_WORKERS)))
    for name in (*SCRIPTS[1:], *MORE_WORKERS):
        chaos.now_and_then((6.0, 15.0), seconds, partial(chaos.stop_one, name, (0.2, 5.0)))


def mongo_away(chaos: Chaos, seconds: float) -> None:
    """MongoDB away for a third of the session, and nothing else: live latencies are measured."""
    chaos.at(seconds / 3, lambda: chaos.mongo_killed((seconds / 3, seconds / 3)))


def short(chaos: Chaos, seconds: float) -> None:
    """A little of everything, for `make test`: two kills of each process, a stop, and one fault of each neighbour."""
    for index, name in enumerate(2 * SCRIPTS):
        chaos.at(1.0 + index * seconds / 7, partial(chaos.kill_one, (name,)))
    chaos.at(0.2 * seconds, chaos.redis_killed)
    chaos.at(0.4 * seconds, lambda: chaos.mongo_killed((seconds / 5, seconds / 5)))
    chaos.at(0.5 * seconds, chaos.stop_any)
    chaos.at(0.6 * seconds, chaos.feed_flapping)
    chaos.at(0.75 * seconds, chaos.redis_full)
    chaos.now_and_then((1.0, 3.0), seconds, chaos.network_any)


KINDS: dict[str, Schedule] = {
    module.__name__: module
    for module in (kills, redis_faults, network, mongo_faults, feed, disk_and_clock, doubles, mongo_away, shared)
}


SCHEDULES = KINDS | {"short": short}


def kind_of(seed: int) -> str:
    """A round's kind follows from its seed: the seed alone repeats the round."""
    return list(KINDS)[seed % len(KINDS)]


def play(seed: int, directory: Path, plan: Plan, kind: str = "") -> Round:
    """Plays one round. Its directory, with all logs, is kept when it failed, and removed when it held."""
    began = time.monotonic()
    played = Round(kind or kind_of(seed), seed)
    if played.kind == "disk_and_clock" and can_mount_tmpfs(directory / "journal"):
        plan = replace(plan, journal_on_tmpfs=True)
    if played.kind == "mongo_away":
        plan = replace(plan, seconds=1.5 * plan.seconds)  # indicators are to be warm before it goes
    if played.kind == "shared":
        plan = replace(plan, shards=3)
    try:
        with stage(directory, plan, seed) as made:
            _play_on(made, played)
    except AssertionError as error:
        played.differences.append(f"not through: {error}")
    played.seconds = round(time.monotonic() - began, 1)
    if not played.differences:
        shutil.rmtree(directory, ignore_errors=True)
    return played


def _play_on(made: Stage, played: Round) -> None:
    chaos = Chaos(made, played.seed)
    made.scripts.until_ready(*WORKERS)
    seconds = made.plan.seconds
    SCHEDULES[played.kind](chaos, seconds)
    latencies = Latencies(made) if played.kind == "mongo_away" else None
    chaos.begin()
    chaos.run(seconds)
    played.kills, played.faults = made.kills, dict(chaos.counted)
    made.make_well()
    made.play_on()
    drain_began = time.monotonic()
    made.drain()
    played.measured["drained in seconds"] = round(time.monotonic() - drain_began, 1)
    if latencies is not None:
        played.measured |= latencies.figures(seconds)
    played.verdict = judge(made, frozenset(chaos.torn_ids), played.kind == "disk_and_clock")
    played.differences += [*made.findings, *played.verdict.differences]
