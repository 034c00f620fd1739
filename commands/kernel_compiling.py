"""Compiles the numba kernels before the clock starts, or finds that they are there; meanwhile other things begin."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from commands.child_process import ChildProcess
from commands.demo_environment import PROJECT
from commands.picture import Step
from commands.pipeline_processes import ChildDied
from commands.waiting import wait_for
from utils.lifecycle import StopRequest

_COMPILE = (
    "import time; began = time.monotonic();"
    "from utils.compile_kernels import compile_candle_kernels; compile_candle_kernels();"
    "from utils.indicators.compiling import compile_indicator_kernels; compile_indicator_kernels();"
    "print(time.monotonic() - began)"
)
_LONGEST_SECONDS = 600.0
_COMPILED_SECONDS = 6.0  # a slow machine may need as long to read them: then this is done twice, and no harm


class KernelCompiling:
    """A process that compiles while other things are prepared; `with` ends it whatever happens."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._directory = directory
        paths = [str(PROJECT), *filter(None, [environment.get("PYTHONPATH", "")])]
        self._environment = {**environment, "PYTHONPATH": ":".join(paths)}
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end(grace_seconds=2.0)

    @property
    def step(self) -> Step:
        """Nobody knows how much there is to compile."""
        seconds = time.monotonic() - self._began
        return Step(
            "kernels", 0, 0, f"compiling, {seconds:.0f} s (once: they are kept)" if seconds > 2 else "reading"
        )

    def finish(self, stop: StopRequest, meanwhile: Callable[[], None]) -> float:
        """Waits; returns how many real seconds to give the processes to come up, judged by how long this took.

        ChildDied when it fails, Interrupted when asked to stop.
        """
        seconds = self._wait(stop, meanwhile)
        if seconds > _COMPILED_SECONDS:
            self._start()
            seconds = self._wait(stop, meanwhile)
        return 3.0 + 3.0 * seconds

    def _start(self) -> None:
        self._began = time.monotonic()
        self._child = ChildProcess(
            "compile_kernels",
            [sys.executable, "-c", _COMPILE],
            log_path=self._directory / "logs" / "compile_kernels.out",
            environment=self._environment,
            directory=self._directory,
        )

    def _wait(self, stop: StopRequest, meanwhile: Callable[[], None]) -> float:
        def is_over() -> bool:
            meanwhile()
            return not self._child.is_alive

        wait_for(is_over, _LONGEST_SECONDS, stop)
        if self._child.exit_code != 0:
            raise ChildDied(self._child)
        return float(self._child.last_lines(1))
