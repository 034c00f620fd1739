"""Doing things now and then: pure, the time is an argument."""

from __future__ import annotations


class Pacing:
    """Named intervals in seconds. What was never done is due; being late does not make it due twice."""

    def __init__(self, **intervals_seconds: float) -> None:
        self._intervals = intervals_seconds
        self._due_at = dict.fromkeys(intervals_seconds, float("-inf"))

    def is_due(self, name: str, now_seconds: float) -> bool:
        """Whether it is time; if so, the next time is an interval from now."""
        if now_seconds < self._due_at[name]:
            return False
        self._due_at[name] = now_seconds + self._intervals[name]
        return True

    def make_due(self, name: str) -> None:
        """It is time at once."""
        self._due_at[name] = float("-inf")

    def seconds_left(self, name: str, now_seconds: float) -> float:
        """How long until it is due; 0 when it is."""
        return max(0.0, self._due_at[name] - now_seconds)
