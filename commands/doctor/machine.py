"""Whether the machine has what docker-compose.yml lets its containers take, and Redis' container what Redis takes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from commands.doctor.findings import Finding
from commands.doctor.stores import REDIS
from utils.runtime.memory_sizes import size_bytes, sum_of_sizes
from utils.stores.redis_server import Info

PLACE = "machine"


def machine_findings(memory_limits: str, memory_bytes: int) -> Iterator[Finding]:
    """A note: nothing is wrong until they take it, and then the kernel ends one of them."""
    allowed = sum_of_sizes(memory_limits)
    if allowed > memory_bytes:
        sentence = (
            f"the containers may take {allowed >> 20:,} MB of memory together, and it has {memory_bytes >> 20:,} MB: "
            "take a larger one, or lower REDIS_MAXMEMORY and REDIS_MEM_LIMIT."
        )
        yield Finding(PLACE, sentence, is_problem=False)


def redis_room_findings(memory_limits: str, info: Info | None) -> Iterator[Finding]:
    """Redis' limit is the first of those that docker-compose.yml sums up."""
    wanted = int((info or {}).get("maxmemory", 0))
    allowed = size_bytes(memory_limits.partition("+")[0]) if memory_limits else 0
    if allowed and wanted >= allowed:
        sentence = (
            f"its container is ended before Redis is full: REDIS_MAXMEMORY is {wanted >> 20:,} MB, and the container "
            f"may take {allowed >> 20:,} MB: set REDIS_MEM_LIMIT to a third more than REDIS_MAXMEMORY."
        )
        yield Finding(REDIS, sentence)


def memory_of_machine() -> int:
    """In bytes; within a container, too, of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
