"""What Redis refuses for itself, a right or a key's type: all else continues, and it is tried again now and then."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from utils.runtime.log import BoundLogger
from utils.stores.redis_failure import RedisFailure, failure_of

AGAIN_SECONDS = 2.0
_KINDS = (RedisFailure.RIGHTS, RedisFailure.TYPE)


class WaitsError(redis.RedisError):
    """What a step works on cannot be used, for a reason of its own; its text names what to do."""


class Refusals:
    """`tried` runs a step of its own. Each refusal is logged when it begins, and `sentence` has it until it ends."""

    def __init__(self, log: BoundLogger, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._log = log
        self._monotonic = monotonic
        self._sentences: dict[str, str] = {}
        self._due: dict[str, float] = {}

    @property
    def sentence(self) -> str:
        """All that is refused now, for people; empty when nothing is."""
        return " ".join(self._sentences.values())

    def has(self, what: str) -> bool:
        """Whether this was refused the last time."""
        return what in self._sentences

    def tried(self, what: str, step: Callable[[], bool]) -> bool:
        """What the step returns, False where it is refused: `what` (`broker:{a}`) waits then. Other RedisErrors."""
        if self._monotonic() < self._due.get(what, 0.0):
            return False
        try:
            result = step()
        except redis.RedisError as error:
            failure = failure_of(error)
            if failure.kind not in _KINDS and not isinstance(error, WaitsError):
                raise
            self._note(what, failure.sentence)
            return False
        self._sentences.pop(what, None)
        self._due.pop(what, None)
        return result

    def _note(self, what: str, reason: str) -> None:
        sentence = f"{reason} Until then {what} waits, and all else continues."
        if self._sentences.get(what) != sentence:
            self._log.error(sentence)
        self._sentences[what] = sentence
        self._due[what] = self._monotonic() + AGAIN_SECONDS
