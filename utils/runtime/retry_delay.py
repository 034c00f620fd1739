"""How long to wait before the next attempt."""

from __future__ import annotations


class RetryDelay:
    """Doubles from `first_seconds` up to `longest_seconds`; `reset` begins anew."""

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
