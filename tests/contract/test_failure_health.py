"""A failing test shows what the processes it started last reported of themselves, in whichever Redis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import redis

from tests.shared.servers import free_port
from tests.shared.started_processes import StartedProcess, health_lines
from utils.keys import Keys
from utils.stores.health import HealthReport


@pytest.fixture
def processes(redis_url: str, tmp_path: Path) -> list[StartedProcess]:
    """Two of one Redis, and one of a Redis that is away."""
    urls = (redis_url, redis_url, f"redis://127.0.0.1:{free_port()}/0")
    popen = subprocess.Popen([sys.executable, "-c", ""])
    popen.wait()
    return [
        StartedProcess("a test", "connect.py", None, tmp_path, {"REDIS_URL": url, "REDIS_PREFIX": "demo:"}, popen)
        for url in urls
    ]


def test_each_report_once_and_a_redis_that_is_away(client: redis.Redis, processes: list[StartedProcess]) -> None:
    HealthReport(client, Keys("demo:"), "connector", 60).write({"frames": 12, "state": "running"})
    assert health_lines(processes) == [
        "health of demo:connector: state=running frames=12",
        "health: not to be read (ConnectionError)",
    ]
