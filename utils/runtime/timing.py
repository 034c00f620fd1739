"""When something is due, and how long to wait before the next attempt: pure, the time is an argument."""

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


class RetryDelay:
    """Seconds before the next attempt: doubled from `first_seconds` to `longest_seconds`, until `reset`."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        self._first_seconds = first_seconds
        self._longest_seconds = longest_seconds
        self._next_seconds = first_seconds

    def next_seconds(self) -> float:
        seconds = self._next_seconds
        self._next_seconds = min(self._longest_seconds, seconds * 2)
        return seconds

    def reset(self) -> None:
        self._next_seconds = self._first_seconds
