"""What is wrong with Redis itself, and what it refuses our processes, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from commands.doctor.findings import Finding
from utils.stores.key_types import WrongType
from utils.stores.redis_failure import RedisFailure
from utils.stores.redis_server import NOT_SHOWN, Info, dangers, is_cluster

REDIS = "redis"


def redis_findings(info: Info | None, old_keys: str = "") -> Iterator[Finding]:
    """From INFO (None where the user of REDIS_URL may not ask), and of the keys that an update left."""
    if info is None:
        yield Finding(REDIS, NOT_SHOWN, is_problem=False)
    elif is_cluster(info):
        yield Finding(REDIS, RedisFailure.CLUSTER.sentence)
    else:
        for sentence in dangers(info):
            yield Finding(REDIS, sentence)
    if old_keys:
        yield Finding(REDIS, old_keys, is_problem=False)


def refused_findings(reports: Mapping[str, Mapping[str, str]], processes: Iterable[str]) -> Iterator[Finding]:
    """What Redis refused these processes of late (`redis_fault` of a report)."""
    for process in processes:
        fault = reports.get(process, {}).get("redis_fault", "")
        if fault:
            yield Finding(process, fault)


def wrong_type_findings(wrong: Mapping[str, Iterable[WrongType]]) -> Iterator[Finding]:
    """By process the keys of its own that hold something else: each is named once, for the first that needs it."""
    named: set[str] = set()
    for process, of_process in wrong.items():
        for key, found, expected in of_process:
            if key not in named:
                named.add(key)
                what = f"the key {key} holds a {found}, where a {expected} of Candlewick belongs"
                yield Finding(process, f"{what}: rename or delete it.")
