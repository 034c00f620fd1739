"""A worker that is suspended for longer than its lease: another takes its shard over, and no candle changes.

Two workers of each role share one shard. Its owner is suspended again and again in the middle of a session, until the
other one has taken over, and then resumes with entries that it had read before.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import CONNECTOR, WORKERS, Scripts, pipeline, stores
from tests.e2e.simulated import Steps, ist_ms, journal_entries, play_on, start_exchange
from tests.reference.candles import reference_candles
from tests.reference.comparison import compare
from tests.reference.inputs import ReferenceSettings
from utils.keys import Keys

TIMEFRAMES = {"5s": 5, "15s": 15, "1m": 60, "5m": 300}
SETTINGS = ReferenceSettings(tuple((name, seconds * 1_000) for name, seconds in TIMEFRAMES.items()))
START, OVER = "10:05:00", "10:35:00"
STOPS = 6
STANDSTILL_SECONDS = 4.0  # a lease lasts 3
SPEED = 120.0  # at most: the market plays on while a worker is suspended
SEED = int(os.environ.get("CANDLEWICK_SEED", "5"))
pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


def test_who_stands_still_loses_the_shard_and_no_candle(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    print(f"\n  seed {SEED}")
    settings = {"TIMEFRAMES": ",".join(TIMEFRAMES), "WARMUP": "false"}
    with stores(tmp_path) as where, pipeline(tmp_path, where, settings) as scripts:
        clock = Steps.from_start(tmp_path, START)
        exchange = start_exchange(scripts, clock, 20, SEED, "late,duplicate,badprint", tmp_path / "sent")
        for name in WORKERS:
            scripts.start(name)
            scripts.start(f"{name}-2", [f"{name}.py"])
        scripts.start(CONNECTOR)
        scripts.until_ready(*WORKERS)
        scripts.until_connected()
        for moment_ms in sorted(dice.randrange(ist_ms("10:06:00"), ist_ms("10:33:00")) for _ in range(STOPS)):
            play_on(scripts, exchange, clock, moment_ms, SPEED)
            exchange.play(ist_ms(OVER), SPEED)
            stand_still(scripts, dice.choice(WORKERS))
        play_on(scripts, exchange, clock, ist_ms(OVER))
        scripts.drain()
        candles = scripts.candles_published_once()
        entries = journal_entries(tmp_path / "journal", 0)
    assert len(candles) > 5_000
    assert compare(reference_candles(entries, exchange.instruments, SETTINGS).candles, candles) == []


def stand_still(scripts: Scripts, role: str) -> None:
    """Suspends the owner of the role's shard for STANDSTILL_SECONDS at least, until the shard is taken over."""
    scripts.until(lambda: owner_pid(scripts, role) != 0, f"someone owns {role}'s shard")
    owner = owner_pid(scripts, role)
    assert owner, "the lease ran out between two looks"
    os.kill(owner, signal.SIGSTOP)
    try:
        due = time.monotonic() + STANDSTILL_SECONDS
        scripts.until(
            lambda: owner_pid(scripts, role) not in (0, owner) and time.monotonic() >= due,
            f"{role}'s shard changes hands",
        )
    finally:
        os.kill(owner, signal.SIGCONT)


def owner_pid(scripts: Scripts, role: str) -> int:
    """0 while the lease has run out."""
    content: Any = scripts.stores.client.get(Keys().lease(role, 0))
    return int(content.decode().rpartition(":")[2]) if content else 0
