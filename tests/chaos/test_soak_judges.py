"""The soak's judge itself: what leaks, a little or a lot, is found, and what only breathes is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date

import pytest

from tests.chaos.overload_feed import Tape
from tests.chaos.soak_bounds import Bounds, Limits, Sample, findings
from tests.chaos.soak_broker import Sessions, at_ms
from tests.chaos.soak_plan import Plan
from tests.e2e.simulated import ist_ms

SESSIONS = 8
LIMITS = Limits(3, 1_000, 12.0, 5.0, 3, 500)
BOUNDS = Bounds()
OURS = ("connect", "candle_worker", "signal_worker")


def sample(number: int) -> Sample:
    """Flat, but for what breathes; the first session's figures are smaller."""
    small = 0.5 if number == 1 else 1.0
    breath = (number * 7) % 5
    return Sample(
        session=number,
        day=f"2026-10-{number:02}",
        rss_mb=dict.fromkeys(OURS, 300.0 * small + breath),
        descriptors=dict.fromkeys(OURS, 20 + breath % 2),
        threads=dict.fromkeys(OURS, 6),
        redis_mb=400.0 * small + breath,
        keys=1_000 + breath,
        ticks_entries=10_000,
        ticks_hours=12.0 + breath,
        closed_entries=3_000 + 10 * breath,
        rows=500,
        live_hashes=3_500,
        snapshot_bytes=4_000_000 + 1_000 * breath,
        published=500 * number,
        documents=500 * number,
        mongo_bytes=500_000 * number + 10_000 * breath,
        journal_days=3,
        journal_mb=100.0,
    )


FLAT = [sample(number) for number in range(1, SESSIONS + 1)]


def test_what_only_breathes_is_flat() -> None:
    assert findings(FLAT, BOUNDS, LIMITS, SESSIONS) == []


LEAKS: dict[str, Callable[[Sample, int], Sample]] = {
    "resident memory of signal_worker": lambda sample, n: replace(
        sample, rss_mb={**sample.rss_mb, "signal_worker": 300.0 + 10.0 * n}
    ),
    "file descriptors of connect": lambda sample, n: replace(
        sample, descriptors={**sample.descriptors, "connect": 20 + n}
    ),
    "threads of candle_worker": lambda sample, n: replace(
        sample, threads={**sample.threads, "candle_worker": 6 + n // 2}
    ),
    "keys in Redis": lambda sample, n: replace(sample, keys=1_000 + 5 * n),
    "Redis memory": lambda sample, n: replace(sample, redis_mb=400.0 + 12.0 * n),
    "entries of the closed streams": lambda sample, n: replace(sample, closed_entries=500 * n),
    "rows of the candle worker": lambda sample, n: replace(sample, rows=500 + n),
    "live hashes": lambda sample, n: replace(sample, live_hashes=3_500 + 7 * n),
    "bytes of the snapshots": lambda sample, n: replace(sample, snapshot_bytes=4_000_000 + 50_000 * n),
    "hours that the streams of ticks": lambda sample, n: replace(sample, ticks_hours=24.0 * n),
    "bytes a candle": lambda sample, n: replace(sample, mongo_bytes=sample.documents * (1_000 + 60 * n)),
    "the journal holds": lambda sample, n: replace(sample, journal_days=n),
}


@pytest.mark.parametrize("what", LEAKS)
def test_what_grows_with_each_session_is_found(what: str) -> None:
    leaking = [LEAKS[what](sample, sample.session) for sample in FLAT]
    (found,) = findings(leaking, BOUNDS, LIMITS, SESSIONS)
    assert found.startswith(what)


def test_a_candle_that_is_not_stored_or_stored_for_nothing_is_found() -> None:
    for documents in (2_499, 2_501):
        wrong = [replace(sample, documents=documents) if sample.session == 5 else sample for sample in FLAT]
        assert any("after session 5" in line for line in findings(wrong, BOUNDS, LIMITS, SESSIONS))


def test_a_feed_that_brought_too_little_proves_nothing() -> None:
    idle = [replace(sample, published=10 * sample.session, documents=10 * sample.session) for sample in FLAT]
    assert any("a session brought 10 candles" in line for line in findings(idle, BOUNDS, LIMITS, SESSIONS))


def test_a_session_that_is_missing_is_found() -> None:
    assert findings(FLAT[:-1], BOUNDS, LIMITS, SESSIONS) == ["7 sessions instead of 8"]
    assert "too few sessions to judge what is flat" in findings(FLAT[:2], BOUNDS, LIMITS, SESSIONS)


def test_the_plan_knows_what_a_session_should_bring() -> None:
    plan = Plan(8, 100, 1, 150, 1, "15m,1h,1d")
    assert plan.limits.candles_a_session == 100 * (25 + 7 + 1)
    assert plan.limits.journal_days == 3


def test_the_broker_plays_every_instrument_once_a_round() -> None:
    sessions = Sessions(instruments=10, shards=2, rounds=5, seed=1, per_frame=3)
    frames = Tape(sessions.offer).round(at_ms(date(2026, 11, 20), 600) // 1000)
    assert [shard for shard, _ in frames] == [0, 1, 0, 1]
    assert sum(int.from_bytes(frame[:2], "big") for _, frame in frames) == 10 == len(sessions.symbols(1))
    assert at_ms(date(2026, 11, 20), 9 * 60 + 15) == ist_ms("09:15")
