"""What each process last did, in Redis, with a time to live: a process that stops reporting disappears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import redis

from utils.keys import Keys
from utils.runtime.health import Fields, merged, with_free_shards
from utils.stores.redis_failure import RedisFailure, failure_of


class HealthReport:
    """Writes one process's report."""

    def __init__(self, client: redis.Redis, keys: Keys, process: str, ttl_seconds: int) -> None:
        self._client = client
        self._keys = keys
        self._process = process
        self._ttl_seconds = ttl_seconds
        self._noted: RedisFailure | None = None

    def write(self, fields: Fields) -> bool:
        """Replaces the full report and starts its time to live anew.

        False when Redis did not accept it: a report is never worth stopping a process for.
        """
        name = self._keys.health(self._process)
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(name)
        if fields:
            pipeline.hset(name, items=[part for pair in fields.items() for part in pair])
            pipeline.expire(name, self._ttl_seconds)
        try:
            self._client.sadd(self._keys.health_processes(), self._process)
            pipeline.execute()
        except redis.RedisError as error:
            self.note(error)
            return False
        self._noted = None
        return True

    def note(self, error: redis.RedisError) -> None:
        """That a report could not be written: logged once, unless it is an outage, which others log."""
        failure = failure_of(error)
        if not failure.is_outage and failure.kind is not self._noted:
            import structlog  # noqa: PLC0415 - the doctor, which reads reports, starts without it

            log = structlog.get_logger(self._process)
            log.error("the health report is not written", process=self._process, reason=failure.sentence)
        self._noted = failure.kind


class SharedHealth:
    """Writes this worker's part, and the report of all."""

    def __init__(self, client: redis.Redis, keys: Keys, process: str, owner: str, ttl_seconds: int) -> None:
        self._client = client
        self._keys = keys
        self._process = process
        self._owner = owner
        self._ttl_seconds = ttl_seconds
        self._shared = HealthReport(client, keys, process, ttl_seconds)

    def write(self, fields: Fields, owners: Sequence[str]) -> Fields | None:
        """The report of all; None when Redis did not accept it. `owners`: all workers, this one among them."""
        others = [owner for owner in owners if owner != self._owner]
        try:
            parts = self._exchange(fields, others) if others else []
        except redis.RedisError as error:
            self._shared.note(error)
            return None
        report = with_free_shards(merged([fields, *parts]) if parts else fields)
        return report if self._shared.write(report) else None

    def _exchange(self, fields: Fields, others: Sequence[str]) -> list[dict[str, str]]:
        """Leaves our part where the others find it, and reads theirs."""
        name = self._keys.health_part(self._process, self._owner)
        pipeline = self._client.pipeline(transaction=False)
        pipeline.delete(name)
        pipeline.hset(name, items=[part for pair in fields.items() for part in pair])
        pipeline.expire(name, self._ttl_seconds)
        for peer in others:
            pipeline.hgetall(self._keys.health_part(self._process, peer))
        answers: list[Any] = pipeline.execute()[3:]
        return [{name.decode(): value.decode() for name, value in answer.items()} for answer in answers if answer]


def read_health(client: redis.Redis, keys: Keys) -> dict[str, dict[str, str]]:
    """The living reports by process name, sorted. RedisError when Redis is away."""
    processes = sorted(_text(name) for name in client.smembers(keys.health_processes()))
    pipeline = client.pipeline(transaction=False)
    for process in processes:
        pipeline.hgetall(keys.health(process))
    reports = zip(processes, pipeline.execute(), strict=True)
    return {
        process: {_text(field): _text(value) for field, value in report.items()}
        for process, report in reports
        if report
    }


def _text(raw: bytes | str) -> str:
    return raw.decode(errors="replace") if isinstance(raw, bytes) else raw
