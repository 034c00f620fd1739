"""What is wrong with Redis itself, and what it refuses our processes, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from commands.findings import Finding
from utils.stores.redis_failure import RedisFailure
from utils.stores.redis_server import NOT_TOLD, Info, dangers, is_cluster

REDIS = "redis"


def redis_findings(info: Info | None) -> Iterator[Finding]:
    """Of what INFO says; None where the user of REDIS_URL may not ask."""
    if info is None:
        yield Finding(REDIS, NOT_TOLD, is_problem=False)
    elif is_cluster(info):
        yield Finding(REDIS, RedisFailure.CLUSTER.sentence)
    else:
        for sentence in dangers(info):
            yield Finding(REDIS, sentence)


def refused_findings(reports: Mapping[str, Mapping[str, str]], processes: Iterable[str]) -> Iterator[Finding]:
    """What Redis refused these processes of late (`redis_fault` of a report)."""
    for process in processes:
        fault = reports.get(process, {}).get("redis_fault", "")
        if fault:
            yield Finding(process, fault)
