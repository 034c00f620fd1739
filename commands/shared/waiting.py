"""Waiting for something to become true: always with a deadline, and ended at once by a stop request."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from utils.runtime.lifecycle import StopRequest

POLL_SECONDS = 0.1


class Interrupted(Exception):
    """The person asked to stop before this was done."""


def wait_for(condition: Callable[[], bool], seconds: float, stop: StopRequest) -> bool:
    """Polls until it holds; False when it did not within the time. Interrupted when asked to stop."""
    deadline = time.monotonic() + seconds
    while not condition():
        if stop.wait(POLL_SECONDS):
            raise Interrupted
        if time.monotonic() > deadline:
            return False
    return True


def wait_while_moving(
    is_done: Callable[[], bool],
    position: Callable[[], Hashable],
    still_seconds: float,
    stop: StopRequest,
    meanwhile: Callable[[], None] = lambda: None,
) -> bool:
    """Waits as long as `position` goes on changing; False when it stood still for that long without being done.

    A long backlog is worked off in its own time, a stuck one is noticed soon.
    """
    seen, moved_at = position(), time.monotonic()
    while not is_done():
        if stop.wait(POLL_SECONDS):
            raise Interrupted
        meanwhile()
        here = position()
        if here != seen:
            seen, moved_at = here, time.monotonic()
        elif time.monotonic() - moved_at > still_seconds:
            return False
    return True
