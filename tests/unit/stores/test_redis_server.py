"""What a look at the server logs: each danger once, however often it is looked at."""

from __future__ import annotations

from typing import Any

import structlog
from structlog.testing import capture_logs

from utils.keys import Keys
from utils.stores.redis_server import ServerCheck

MEGABYTE = 1 << 20


class _Filling:
    """A server that is a megabyte fuller at each look."""

    used = 950

    def info(self) -> dict[str, Any]:
        self.used += 1
        return {"maxmemory": 1_000 * MEGABYTE, "used_memory": self.used * MEGABYTE, "role": "master"}

    def type(self, name: str) -> bytes:
        return b"none"


def test_a_server_that_fills_up_is_named_once() -> None:
    """It is looked at again after each error, and one that is full gives many."""
    client: Any = _Filling()
    check = ServerCheck(client, Keys(), structlog.get_logger("test"))
    with capture_logs() as logged:
        for _ in range(40):
            check.look()
            check.forget()
    (line,) = logged
    assert line["event"].startswith("Redis has used 951 MB of its maxmemory of 1,000 MB")
