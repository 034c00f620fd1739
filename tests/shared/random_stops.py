"""Slows down every process that a test started: SIGSTOP at seeded moments, SIGCONT after 0.1 to 2 s, at times 4 s.

    python -m pytest -p tests.shared.random_stops --stops 7 tests/e2e

No verdict may depend on it. Only the moments are seeded; which processes there are then is up to the run.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from pathlib import Path

import pytest

PAUSE_SECONDS = (0.2, 1.0)
STOP_SECONDS = (0.1, 2.0)
LONG_STOP_SECONDS = 4.0  # longer than a lease lasts
LONG_ONE_IN = 15
END_SECONDS = 60.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--stops", type=int, metavar="SEED", help="stop the processes of tests at random, by this seed")


def pytest_configure(config: pytest.Config) -> None:
    seed = config.getoption("--stops")
    if seed is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Stopping(seed), "stopping")


class _Stopping:
    """Runs beside the session, in a thread."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._stops = self._long_stops = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def pytest_sessionstart(self) -> None:
        self._thread.start()

    def pytest_sessionfinish(self) -> None:
        self._ended.set()
        self._thread.join(END_SECONDS)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.write_line(
            f"processes stopped {self._stops} times, {self._long_stops} of them for {LONG_STOP_SECONDS:g} s, "
            f"by seed {self._seed}"
        )
        assert self._stops, "nothing was stopped: this run proves nothing"

    def _run(self) -> None:
        dice = random.Random(self._seed)
        while not self._ended.wait(dice.uniform(*PAUSE_SECONDS)):
            is_long = dice.randrange(LONG_ONE_IN) == 0
            seconds = LONG_STOP_SECONDS if is_long else dice.uniform(*STOP_SECONDS)
            running = sorted(descendants(os.getpid()))
            if running and self._stop_for(dice.choice(running), seconds):
                self._stops += 1
                self._long_stops += is_long

    def _stop_for(self, pid: int, seconds: float) -> bool:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            self._ended.wait(seconds)
            os.kill(pid, signal.SIGCONT)
            return True
        return False


def descendants(pid: int) -> set[int]:
    """Every process below this one that is not pytest's own, by Linux's /proc."""
    parents = dict(_parents())
    below = {pid}
    while more := {child for child, parent in parents.items() if parent in below} - below:
        below |= more
    return {child for child in below - {pid} if "pytest" not in _command(child).split("\0")[:4]}


def _parents() -> list[tuple[int, int]]:
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = (directory / "stat").read_text().rsplit(")", 1)[1].split()[1]
            found.append((int(directory.name), int(parent)))
    return found


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    return ""
