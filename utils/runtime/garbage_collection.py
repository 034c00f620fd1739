"""What a process makes while it starts stays for good: it is searched for garbage neither then nor later."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

from utils.runtime.timing import Pacing

YOUNG_OBJECTS = 1_000_000  # made since the last search, before there is one in the middle of the work
WHOLE_SEARCH_SECONDS = 600.0


@contextmanager
def long_lived_objects() -> Iterator[None]:
    """No search for garbage within; what is there at the end is left out of all later ones."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_on:
            gc.enable()


class GarbageSearch:
    """Reference cycles are looked for when nobody waits; what is there when this is made is left out for good."""

    def __init__(self) -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG_OBJECTS)
        self._pacing = Pacing(whole=WHOLE_SEARCH_SECONDS)

    def run(self, now_seconds: float) -> None:
        """Now: among what was made since the last time, and now and then among all."""
        gc.collect(2 if self._pacing.is_due("whole", now_seconds) else 1)
