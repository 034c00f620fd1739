"""Compiles the numba kernels before the clock starts: the first time this takes a while, then nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Self

from commands.child_process import ChildProcess
from commands.demo_environment import RunPlace
from commands.pipeline_processes import ChildDied
from commands.terminal import Terminal
from commands.waiting import wait_for
from utils.lifecycle import StopRequest

_COMPILE = (
    "from utils.compile_kernels import compile_candle_kernels; compile_candle_kernels();"
    "from utils.indicators.compiling import compile_indicator_kernels; compile_indicator_kernels()"
)
_LONGEST_SECONDS = 300.0
_COMPILED_SECONDS = 6.0


class KernelCompiling:
    """A process that compiles while other things are prepared; `with` ends it whatever happens."""

    def __init__(self, place: RunPlace, environment: Mapping[str, str]) -> None:
        self._place = place
        self._environment = environment
        self._seconds: float | None = None
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end(grace_seconds=2.0)

    def look(self) -> None:
        """Notes when it has ended: to be called now and then."""
        if self._seconds is None and not self._child.is_alive:
            self._seconds = time.monotonic() - self._began

    def finish(self, terminal: Terminal, stop: StopRequest) -> float:
        """Waits; returns how many real seconds to give the processes to come up, judged by how long this took.

        ChildDied when it fails, Interrupted when asked to stop.
        """
        seconds = self._wait(stop)
        if seconds > _COMPILED_SECONDS:
            terminal.say(f"  kernels  compiled in {seconds:.1f} s (once: they are kept)")
            self._start()
            seconds = self._wait(stop)
        return 5.0 + 3.0 * seconds

    def _start(self) -> None:
        self._place.work.mkdir(parents=True, exist_ok=True)
        self._began, self._seconds = time.monotonic(), None
        self._child = ChildProcess(
            "compile_kernels",
            [sys.executable, "-c", _COMPILE],
            log_path=self._place.logs / "compile_kernels.out",
            environment=self._environment,
            directory=self._place.work,
        )

    def _wait(self, stop: StopRequest) -> float:
        wait_for(lambda: not self._child.is_alive, _LONGEST_SECONDS, stop)
        self.look()
        if self._child.exit_code != 0:
            raise ChildDied(self._child)
        return self._seconds or 0.0
