"""What the doctor found, and what every topic of it (`commands/doctor/`) reads: a report, now, and limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER = "connector", "candle_worker", "signal_worker"
PROCESSES = (CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER)

Report = Mapping[str, str]
Reports = Mapping[str, Report]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence about one process; a problem makes the exit code 1, a note does not."""

    process: str
    sentence: str
    is_problem: bool = True


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, in market time: whether anything trades (`soon`: within half an hour), and how fast the clock runs."""

    now_ms: int
    in_session: bool
    soon: bool
    speed: float = 1.0

    def real_seconds_since(self, at_ms: int) -> float:
        return self.real_seconds(self.now_ms - at_ms)

    def real_seconds(self, market_ms: int) -> float:
        """How long a stretch of market time takes for real."""
        return market_ms / 1000 / self.speed


@dataclass(frozen=True, slots=True)
class Limits:
    """From when on it is a problem, in real seconds (frames, lag) or entries (archive)."""

    frame_seconds: float = 15.0
    lag_seconds: float = 15.0
    archive_entries: int = 50_000


def number_of(report: Report, field: str) -> int:
    """A field as a whole number, 0 when it is not there or none."""
    try:
        return int(float(report.get(field, "0")))
    except (ValueError, OverflowError):
        return 0


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `5.7 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
