"""The times of faults: actions at times drawn from a seed, played when they fall due."""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable
from itertools import count

Range = tuple[float, float]


class Timetable:
    """Every random choice is drawn from `dice`; `each_time` is called before due actions are played."""

    def __init__(self, seed: int, each_time: Callable[[], None]) -> None:
        self.dice = random.Random(seed)
        self._each_time = each_time
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._began = time.monotonic()

    def begin(self) -> None:
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since `begin`."""
        return time.monotonic() - self._began

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._due, (seconds, next(self._numbers), action))

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        self.at(self.seconds + seconds, action)

    def now_and_then(self, gaps: Range, until: float, *actions: Callable[[], None]) -> None:
        """Schedules random `actions` until `until`, with gaps drawn from `gaps` between them."""
        at = self.dice.uniform(*gaps)
        while at < until:
            self.at(at, self.dice.choice(actions))
            at += self.dice.uniform(*gaps)

    def run(self, until: float) -> None:
        """Plays the actions that fall due; the rest is dropped when the time is over."""
        while self.seconds < until:
            self._each_time()
            while self._due and self._due[0][0] <= self.seconds:
                heapq.heappop(self._due)[2]()
            time.sleep(0.01)
        self._due.clear()

    def between(self, low: float, high: float) -> float:
        return self.dice.uniform(low, high)
