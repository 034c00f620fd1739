"""The project's own processes, started as a person would start them: `python connect.py` and its like."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from commands.shared.child_process import ChildProcess
from commands.shared.run_environment import PROJECT

CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER = "connector", "candle_worker", "signal_worker"
SCRIPTS = {CONNECTOR: "connect.py", CANDLE_WORKER: "candle_worker.py", SIGNAL_WORKER: "signal_worker.py"}


class ChildDied(RuntimeError):
    """A process ended that should be running: which, how, and the last lines it wrote."""

    def __init__(self, child: ChildProcess) -> None:
        code = child.exit_code
        how = f"was ended by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        super().__init__(f"{child.name} {how}; the last lines of {child.log_path}:\n{child.last_lines()}")


def start_script(process: str, logs: Path, environment: Mapping[str, str], directory: Path) -> ChildProcess:
    """One of SCRIPTS by its process name, run in `directory`; its stderr goes to <logs>/<process>.out."""
    directory.mkdir(parents=True, exist_ok=True)
    return ChildProcess(
        process,
        [sys.executable, str(PROJECT / SCRIPTS[process])],
        log_path=logs / f"{process}.out",
        environment=environment,
        directory=directory,
    )


def end_orderly(child: ChildProcess, grace_seconds: float) -> list[str]:
    """SIGTERM, then SIGKILL. Returns what went wrong, in sentences."""
    if not child.end(grace_seconds):
        return [f"{child.name} did not end when asked and was killed; its log is {child.log_path}."]
    if child.exit_code:
        return [f"{child.name} ended with exit code {child.exit_code}: {child.last_lines(5)}"]
    return []


def check_alive(children: Sequence[ChildProcess]) -> None:
    """ChildDied for the first that is not running."""
    for child in children:
        if not child.is_alive:
            raise ChildDied(child)
