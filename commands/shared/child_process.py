"""A process that we started and will end: its command, its log, and how it went."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None) if sys.platform.startswith("linux") else None


class StartError(RuntimeError):
    """A process or a server did not come up: one sentence, and its last lines of output."""


def _end_with_parent() -> None:
    # Even a kill -9 of the console must not leave servers behind. The signal comes when the starting thread ends.
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class ChildProcess:
    """One child in a process group of its own, so that a Ctrl-C in the terminal reaches only the console.

    stdout and stderr go to `log_path` (appended), unless `pipe_stdout` keeps stdout for the caller to read.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
        pipe_stdout: bool = False,
    ) -> None:
        self.name = name
        self.log_path = log_path
        self.was_killed = False
        self._was_asked = False
        log_path.parent.mkdir(parents=True, exist_ok=True)
        with log_path.open("ab") as log:
            try:
                self.popen = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if pipe_stdout else log,
                    stderr=log,
                    env=None if environment is None else dict(environment),
                    cwd=directory,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,  # noqa: PLW1509 - it only calls a bound C function
                )
            except OSError as error:
                raise StartError(f"{name} cannot be started: {error}") from None

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def is_alive(self) -> bool:
        return self.popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self.popen.poll()

    def ask_to_end(self) -> None:
        """SIGTERM, once, without waiting: a second one would hit a Python that is already on its way out."""
        if self.is_alive and not self._was_asked:
            self._was_asked = True
            self.popen.terminate()

    def end(self, grace_seconds: float = 10.0) -> bool:
        """SIGTERM, and SIGKILL when it has not gone after `grace_seconds`. True when it went by itself."""
        self.ask_to_end()
        try:
            self.popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self.was_killed = True
        self.kill()
        return not self.was_killed

    def kill(self) -> None:
        """SIGKILL to it and to whatever it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()
        if self.popen.stdout is not None:
            self.popen.stdout.close()

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        with contextlib.suppress(OSError), self.log_path.open("r", errors="replace") as log:
            return "".join(deque(log, maxlen=count)).rstrip()
        return ""


def end_all(children: Sequence[ChildProcess], grace_seconds: float = 10.0) -> list[ChildProcess]:
    """Asks all of them at once, then waits for each; returns those that had to be killed."""
    for child in children:
        child.ask_to_end()
    return [child for child in children if not child.end(grace_seconds)]
