"""What Redis refuses for itself is set aside, tried again now and then, and logged once; all else comes through."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis
import structlog
from structlog.testing import capture_logs

from utils.stores.redis_refusals import AGAIN_SECONDS, Refusals, WaitsError

NO_RIGHT = redis.exceptions.NoPermissionError("No permissions to access a key in XADD broker:{a}")
WRONG_TYPE = redis.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value")


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def refusals(clock: Clock) -> Refusals:
    return Refusals(structlog.get_logger("test"), clock)


def failing(error: Exception) -> Callable[[], bool]:
    def step() -> bool:
        raise error

    return step


@pytest.mark.parametrize("error", [NO_RIGHT, WRONG_TYPE, WaitsError("The file is another's: move it away")])
def test_it_is_set_aside_and_tried_again_after_a_while(refusals: Refusals, clock: Clock, error: Exception) -> None:
    with capture_logs() as logged:
        for _ in range(3):
            assert not refusals.tried("broker:{a}", failing(error))
            assert refusals.has("broker:{a}")
            assert not refusals.tried("broker:{a}", lambda: True), "not before a while has passed"
            assert refusals.tried("ticks:{a}", lambda: True)
            clock.seconds += AGAIN_SECONDS
    assert [event["log_level"] for event in logged] == ["error"]
    assert refusals.sentence == logged[0]["event"]
    assert refusals.sentence.endswith("Until then broker:{a} waits, and all else continues.")
    assert refusals.tried("broker:{a}", lambda: True)
    assert refusals.sentence == "" and not refusals.has("broker:{a}")


@pytest.mark.parametrize(
    "error",
    [redis.ConnectionError("gone"), redis.TimeoutError("slow"), redis.OutOfMemoryError("OOM"), OSError("no disk")],
)
def test_what_is_not_of_one_key_comes_through(refusals: Refusals, error: Exception) -> None:
    with pytest.raises(type(error)):
        refusals.tried("broker:{a}", failing(error))
    assert not refusals.has("broker:{a}") and refusals.sentence == ""


def test_an_outage_in_between_keeps_what_is_known(refusals: Refusals, clock: Clock) -> None:
    refusals.tried("broker:{a}", failing(NO_RIGHT))
    clock.seconds += AGAIN_SECONDS
    with pytest.raises(redis.ConnectionError):
        refusals.tried("broker:{a}", failing(redis.ConnectionError("gone")))
    assert refusals.has("broker:{a}")
