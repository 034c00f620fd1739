"""The first documents after a quiet time wait, those behind them do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from utils.stores.mongo import Refusal, StoreError
from utils.stores.unhurried import IDLE_SECONDS, WAIT_SECONDS, Unhurried

DOCUMENTS = [{"_id": "one"}, {"_id": "two"}]


class Slow:
    """MongoDB and the clock at once: a write takes `takes` seconds."""

    def __init__(self, takes: float) -> None:
        self.takes = takes
        self.now = 1_000.0
        self.slept: list[float] = []
        self.written: list[int] = []
        self.is_away = False

    def write(self, documents: Sequence[dict[str, Any]]) -> list[Refusal]:
        self.now += self.takes
        if self.is_away:
            raise StoreError("away")
        self.written.append(len(documents))
        return [Refusal(documents[0], "bad")]

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)

    def unhurried(self) -> Unhurried:
        return Unhurried(self.write, self.sleep, lambda: self.now)


def test_the_first_write_waits_and_those_right_behind_it_do_not() -> None:
    slow = Slow(IDLE_SECONDS + 3.0)  # a slow write is no quiet time
    write = slow.unhurried()
    refused = [write(DOCUMENTS) for _ in range(3)]
    assert slow.slept == [WAIT_SECONDS]
    assert slow.written == [len(DOCUMENTS)] * 3
    assert [one[0].reason for one in refused] == ["bad"] * 3


def test_after_a_quiet_time_it_waits_again() -> None:
    slow = Slow(0.0)
    write = slow.unhurried()
    write(DOCUMENTS)
    slow.now += IDLE_SECONDS + 0.1
    write(DOCUMENTS)
    assert slow.slept == [WAIT_SECONDS] * 2


def test_what_the_write_raises_is_raised_and_the_next_try_does_not_wait() -> None:
    slow = Slow(0.1)
    slow.is_away = True
    write = slow.unhurried()
    with pytest.raises(StoreError):
        write(DOCUMENTS)
    slow.is_away = False
    write(DOCUMENTS)
    assert slow.slept == [WAIT_SECONDS]
