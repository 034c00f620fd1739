"""How an archiver is: what it does, how much waits for it, and what it could not store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class ArchiverState(StrEnum):
    """What the archiver is about: `waiting` for new entries, `writing` them, or `failing` and trying again."""

    STARTING = "starting"
    WAITING = "waiting"
    WRITING = "writing"
    FAILING = "failing"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ArchiverHealth:
    """`backlog` entries are not written yet (-1: unknown); `last_write_ms` is real epoch ms, 0 before the first."""

    state: ArchiverState = ArchiverState.STARTING
    backlog: int = -1
    last_write_ms: int = 0
    written: int = 0
    rejected: int = 0
    lost: int = 0
    error: str = ""

    def as_fields(self) -> dict[str, str | int]:
        """For a health report."""
        return {
            "archive_state": str(self.state),
            "archive_backlog": self.backlog,
            "archive_last_write_ms": self.last_write_ms,
            "archive_written": self.written,
            "archive_rejected": self.rejected,
            "archive_lost": self.lost,
            "archive_fault": self.error,
        }


def total_health(healths: Sequence[ArchiverHealth]) -> ArchiverHealth:
    """The sums of all, and the state and error of the one that is behind most."""
    worst = max(healths, key=lambda health: (health.state is ArchiverState.FAILING, health.backlog))
    return ArchiverHealth(
        state=worst.state,
        backlog=worst.backlog,
        last_write_ms=max(health.last_write_ms for health in healths),
        written=sum(health.written for health in healths),
        rejected=sum(health.rejected for health in healths),
        lost=sum(health.lost for health in healths),
        error=worst.error,
    )
