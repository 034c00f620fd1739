"""Being asked to stop: a signal ends a wait at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from utils.runtime.lifecycle import EXIT_BAD_SETTINGS, EXIT_FAILED, EXIT_OK, StopRequest
from utils.runtime.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
LONG_SECONDS = 240.0

WAITING = f"""
from utils.runtime.lifecycle import StopRequest, run_script
from utils.runtime.settings import Settings

def main(settings: Settings, stop: StopRequest) -> int:
    print("waits", flush=True)
    asked = stop.wait({LONG_SECONDS})
    return 0 if asked and stop.requested else 9

run_script("waiting", main)
"""


def test_the_exit_codes() -> None:
    assert (EXIT_OK, EXIT_FAILED, EXIT_BAD_SETTINGS) == (0, 1, 2)


def test_a_wait_ends_by_itself() -> None:
    stop = StopRequest()
    started = time.monotonic()
    assert stop.wait(0.05) is False
    assert 0.04 < time.monotonic() - started < LONG_SECONDS / 2
    assert stop.wait(-1) is False
    assert not stop.requested


def test_all_waiters_wake_when_it_is_asked_for_and_later_ones_do_not_wait() -> None:
    stop = StopRequest()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(stop.wait(LONG_SECONDS))) for _ in range(3)]
    for thread in threads:
        thread.start()
    started = time.monotonic()
    stop.request()
    stop.request()
    for thread in threads:
        thread.join(LONG_SECONDS / 2)
    assert woken == [True, True, True]
    assert stop.wait(LONG_SECONDS) is True
    assert time.monotonic() - started < LONG_SECONDS / 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_of_a_script_at_once(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "waiting.py").write_text(WAITING)
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    process = subprocess.Popen(
        [sys.executable, "waiting.py"],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": str(ROOT), "LOG_DIR": str(tmp_path / "logs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "waits\n"
        started = time.monotonic()
        process.send_signal(number)
        _, errors = process.communicate(timeout=LONG_SECONDS / 2)
        assert process.returncode == 0, errors
        assert time.monotonic() - started < LONG_SECONDS / 4
        assert "ends  exit_code=0" in errors
    finally:
        process.kill()
        process.wait()
