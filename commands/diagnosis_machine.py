"""Whether the machine has what docker-compose.yml lets its containers take."""

from __future__ import annotations

import os
from collections.abc import Iterator

from commands.findings import Finding
from utils.memory_sizes import sum_of_sizes

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


def memory_of_machine() -> int:
    """In bytes; within a container, too, of the whole machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
