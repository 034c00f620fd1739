"""What a worker does about Redis' errors: wait for an outage to pass, and end where waiting cannot help."""

from __future__ import annotations

import time
from collections.abc import Callable

import redis

from utils.keys import Keys
from utils.runtime.lifecycle import FatalError
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.stores.redis_connection import open_redis
from utils.stores.redis_failure import Failure, RedisFailure, failure_of
from utils.stores.redis_server import ServerCheck

FAULT_SECONDS = 15.0  # a failure that comes again and again is shown all the time


def check_at_start(settings: Settings, log: BoundLogger) -> ServerCheck:
    """A look at Redis before anything else. FatalError where it can be of no use; one that is away is waited for."""
    server = ServerCheck(open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix), log)
    try:
        server.look()
    except redis.RedisError as error:
        failure = failure_of(error)
        if failure.exit_code:
            raise FatalError(failure.sentence, failure.exit_code) from None
    return server


class RedisGuard:
    """`check` looks at the server before work begins; `on_error` judges what any call raised."""

    def __init__(self, server: ServerCheck, log: BoundLogger) -> None:
        self._server = server
        self._log = log
        self._failure: Failure | None = None
        self._failed_at = float("-inf")

    @property
    def fault(self) -> str:
        """The sentence of a failure of late that is no outage; empty when there was none."""
        is_late = time.monotonic() - self._failed_at < FAULT_SECONDS
        return self._failure.sentence if self._failure is not None and is_late else ""

    def check(self) -> None:
        """Once, and again after each error. ClusterModeError, RedisError."""
        self._server.look()

    def on_error(self, error: redis.RedisError, in_seconds: float, report: Callable[[], None]) -> None:
        """FatalError where trying again cannot help; else it returns, and the worker waits `in_seconds` and recovers.

        `report` writes the worker's health report with `fault` in it, if Redis accepts it.
        """
        failure = failure_of(error)
        self._server.forget()
        if failure.is_outage:
            self._log.warning("redis unavailable, retrying", in_seconds=in_seconds, reason=failure.sentence)
            return
        if failure.kind is RedisFailure.OURS:
            self._log.warning(failure.sentence)
            return
        if failure.sentence != self.fault and not failure.exit_code:
            self._log.error(failure.sentence)
        self._failure, self._failed_at = failure, time.monotonic()
        report()
        if failure.exit_code:
            raise FatalError(failure.sentence, failure.exit_code)

    def reason(self, error: redis.RedisError) -> str:
        """The sentence of an error."""
        return failure_of(error).sentence
