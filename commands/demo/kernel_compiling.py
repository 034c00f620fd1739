"""Compiles the numba kernels before the processes start, or finds them in the cache; the history begins meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

from commands.shared.child_process import ChildProcess
from commands.shared.picture import Step
from commands.shared.processes import ChildDied
from commands.shared.run_environment import PROJECT
from commands.shared.waiting import wait_for
from utils.runtime.lifecycle import StopRequest

_COMPILE = (
    "from utils.stores.compiling import compile_candle_kernels; compile_candle_kernels();"
    "from utils.indicators.compiling import compile_indicator_kernels; compile_indicator_kernels()"
)
_LONGEST_SECONDS = 600.0
_READ_SECONDS = 4.0  # whoever takes longer most likely compiles


class KernelCompiling:
    """A process that compiles while other things are prepared; `with` ends it whatever happens."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        paths = [str(PROJECT), *filter(None, [environment.get("PYTHONPATH", "")])]
        self._began = time.monotonic()
        self._child = ChildProcess(
            "compile_kernels",
            [sys.executable, "-c", _COMPILE],
            log_path=directory / "logs" / "compile_kernels.out",
            environment={**environment, "PYTHONPATH": ":".join(paths)},
            directory=directory,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.end(grace_seconds=2.0)

    @property
    def step(self) -> Step:
        """Nobody knows how much there is to compile."""
        seconds = time.monotonic() - self._began
        return Step(
            "kernels", 0, 0, f"compiling, {seconds:.0f} s (once: they are kept)" if seconds > 4 else "reading"
        )

    def finish(self, stop: StopRequest, meanwhile: Callable[[], None]) -> None:
        """Waits. ChildDied when it fails, Interrupted when asked to stop."""

        def is_over() -> bool:
            meanwhile()
            return not self._child.is_alive

        wait_for(is_over, _LONGEST_SECONDS, stop)
        if self._child.exit_code != 0:
            raise ChildDied(self._child)
