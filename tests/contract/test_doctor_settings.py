"""Real processes and the real doctor where somebody set something for nobody to read, or on too small a machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from commands.shared.child_process import ChildProcess
from tests.shared.connector_process import wait_until
from tests.shared.servers import free_port
from utils.keys import Keys

_ROOT = Path(__file__).resolve().parents[2]
_PREFIX = "meant:"


def _environment(directory: Path, redis_url: str, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "NUMBA_CACHE_DIR") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": str(_ROOT),
        "REDIS_URL": redis_url,
        "REDIS_PREFIX": _PREFIX,
        "LOG_DIR": str(directory / "logs"),
        "SECRETS_DIR": "",
        "MONGO_URL": f"mongodb://127.0.0.1:{free_port()}",
        "MARKET_CLOCK": f"2026-11-20T20:00:00@1@{time.time():.3f}",
        **more,
    }


@contextmanager
def _candle_worker(directory: Path, environment: dict[str, str], client: redis.Redis) -> Iterator[ChildProcess]:
    child = ChildProcess(
        "candle_worker",
        [sys.executable, str(_ROOT / "candle_worker.py")],
        log_path=directory / "candle_worker.out",
        environment=environment,
        directory=directory,
    )
    try:
        wait_until(lambda: bool(client.exists(Keys(_PREFIX).health("candle_worker"))), "it reports")
        yield child
    finally:
        child.end()


def _doctor(directory: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """As the container's health check asks."""
    command = [sys.executable, str(_ROOT / "manage.py"), "doctor", "--process", "candle_worker"]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=directory, env=environment, timeout=60, check=False
    )


def test_a_misspelt_setting_is_in_the_log_and_makes_the_container_unhealthy(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    environment = _environment(tmp_path, redis_url, TIME_FRAMES="1m")
    sentence = "TIME_FRAMES in the environment is no setting, so that its value is ignored: write TIMEFRAMES."
    with _candle_worker(tmp_path, environment, client):
        asked = _doctor(tmp_path, environment)
    logged = [json.loads(line) for line in (tmp_path / "logs/candle_worker.log").read_text().splitlines()]
    assert sentence in [line["event"] for line in logged if line["level"] == "warning"]
    assert (asked.returncode, asked.stderr) == (1, "")
    assert f"PROBLEM  settings: {sentence}" in asked.stdout


def test_a_token_file_that_nobody_can_read_makes_it_unhealthy(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    (tmp_path / "token").write_text("the token is Abc123\n")
    environment = _environment(tmp_path, redis_url, ACCESS_TOKEN_FILE=str(tmp_path / "token"))
    with _candle_worker(tmp_path, environment, client):
        asked = _doctor(tmp_path, environment)
    assert asked.returncode == 1
    assert f"PROBLEM  settings: ACCESS_TOKEN_FILE: {tmp_path}/token holds more than a token" in asked.stdout
    assert "Abc123" not in asked.stdout


def test_too_small_a_machine_is_a_note(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    environment = _environment(tmp_path, redis_url, MEMORY_LIMITS="900000g+1m")
    with _candle_worker(tmp_path, environment, client):
        asked = _doctor(tmp_path, environment)
    assert asked.returncode == 0, asked.stdout
    assert "note     machine: the containers may take 921,600,001 MB of memory together, and it has " in asked.stdout


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("REDIS_URL", "redis://:hush@horse#battery/staple@127.0.0.1:1/0", "REDIS_URL: a special character stands"),
        ("REDIS_URL", "redis://127.0.0.1:1/0?decode_responses=true", "REDIS_URL: its option decode_responses is not"),
        ("MONGO_URL", "mongodb://u:hush@horse@127.0.0.1:1", "MONGO_URL: a special character stands"),
    ],
)
@pytest.mark.parametrize("script", ["candle_worker.py", "manage.py"])
def test_a_doubtful_url_ends_each_process_with_a_sentence_and_its_password_nowhere(
    tmp_path: Path, name: str, value: str, sentence: str, script: str
) -> None:
    environment = _environment(tmp_path, "redis://127.0.0.1:1/0", **{name: value})
    command = [sys.executable, str(_ROOT / script), *(["doctor"] if script == "manage.py" else [])]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60, check=False
    )
    assert done.returncode == 2
    assert sentence in done.stderr and "Traceback" not in done.stderr
    files = "".join(path.read_text() for path in (tmp_path / "logs").glob("*"))
    for secret in ("hush", "horse", "battery", "staple"):
        assert secret not in done.stdout + done.stderr + files
