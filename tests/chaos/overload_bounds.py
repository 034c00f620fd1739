"""What is sampled during an overload run, and the bounds that it must keep. Pure: figures in, sentences out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

TRIM_SLACK_MB = 48  # the sender looks at a stream's size after each 32 MB, and a batch is a megabyte
LAG_SLACK_MS = 1_000.0
CAUGHT_UP_REAL_MS = 3_000.0


@dataclass(frozen=True, slots=True)
class Scenario:
    """One run: the offer, the faults meanwhile, and the required results.

    `away_seconds`, `leave_after_seconds`: market seconds, of which the candle worker is killed after the second and
    back after the first. `loses`: whether entries must be forced out unread (None: they may). `lag_bound_ms`: real
    milliseconds that the worker may be behind while the feed runs, 0 for no bound.
    """

    name: str
    instruments: int
    shards: int
    parts: tuple[tuple[float, float], ...]
    speed: float = 1.0
    timeframes: str = "1m,5m,15m,1d"
    settings: tuple[tuple[str, str], ...] = ()
    away_seconds: float = 0.0
    leave_after_seconds: float = 0.0
    has_deaf_readers: bool = False
    mongo_hangs: bool = False
    loses: bool | None = False
    loses_stored: bool = False
    lag_bound_ms: float = 0.0

    @property
    def stream_max_mb(self) -> int:
        return int(dict(self.settings).get("STREAM_MAX_MB", "256"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample. `at`: real seconds of the feed; lags in market milliseconds, -1: no report; sizes in MB."""

    at: float
    part: int
    worker_lag_ms: float
    feed_late_ms: float
    unsent_mb: float
    stream_mb: tuple[float, ...]
    redis_mb: float
    rss_mb: dict[str, float]
    position_ms: int = 0


def memory_findings(scenario: Scenario, samples: Sequence[Sample]) -> list[str]:
    """The streams stay within STREAM_MAX_MB, plus what is sent between two looks of the sender."""
    worst = max((size for sample in samples for size in sample.stream_mb), default=0.0)
    bound = scenario.stream_max_mb + TRIM_SLACK_MB
    return [f"a stream took {worst:.0f} MB, and STREAM_MAX_MB bounds it to {bound} MB"] if worst > bound else []


def lag_findings(scenario: Scenario, samples: Sequence[Sample]) -> list[str]:
    """While the feed runs, the worker's lag stays within the bound and does not grow."""
    lags = [sample.worker_lag_ms / scenario.speed for sample in samples if sample.worker_lag_ms >= 0]
    if not scenario.lag_bound_ms:
        return []
    if len(lags) < 8:
        return [f"the worker's lag was seen {len(lags)} times only"]
    settled = lags[len(lags) // 4 :]
    findings = []
    if max(settled) > scenario.lag_bound_ms:
        findings.append(f"the worker was {max(settled):.0f} ms behind; the bound is {scenario.lag_bound_ms:.0f} ms")
    first, second = median(settled[: len(settled) // 2]), median(settled[len(settled) // 2 :])
    if second > 1.5 * first + LAG_SLACK_MS:
        findings.append(f"the lag grows: its median went from {first:.0f} to {second:.0f} ms")
    return findings


def order_findings(samples: Sequence[Sample]) -> list[str]:
    """A position never goes back, once the worker is there to stay."""
    seen = [sample.position_ms for sample in samples if sample.position_ms]
    back = [(before, after) for before, after in pairwise(seen) if after < before]
    return [f"the worker's position went back from {before} to {after}" for before, after in back[:1]]


def loss_findings(scenario: Scenario, lost_entries: int, archive_lost: int) -> list[str]:
    """Entries are lost if and only if the scenario's limits are too small for its load."""
    findings = []
    if scenario.loses is False and lost_entries:
        findings.append(f"{lost_entries} entries were lost, and the limits were wide enough")
    if scenario.loses and not lost_entries:
        findings.append("nothing was lost and nothing was tested: the load is too small for the limit")
    if bool(archive_lost) != scenario.loses_stored:
        findings.append(f"{archive_lost} closed candles were dropped before they were stored")
    return findings


def caught_up_seconds(scenario: Scenario, samples: Sequence[Sample], since: float) -> float:
    """Real seconds from `since` until the worker was close behind the feed; -1 when it never was."""
    for sample in samples:
        is_close = 0 <= sample.worker_lag_ms / scenario.speed <= CAUGHT_UP_REAL_MS
        if sample.at > since and is_close and sample.feed_late_ms / scenario.speed <= CAUGHT_UP_REAL_MS:
            return round(sample.at - since, 1)
    return -1.0
