"""The processes that tests start: whose each is, where it logs, what it last reported (read by failure_report.py).

They are recorded at `subprocess.Popen`, so that a test need not do anything, whatever it starts a process with.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from dotenv import dotenv_values

from utils.keys import Keys
from utils.stores.health import read_health
from utils.stores.redis_connection import open_redis

REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class StartedProcess:
    """One process. `owner` is the id of the test, the file or the session whose test or fixture started it."""

    owner: str
    program: str
    log: Path | None
    directory: Path | None
    environment: Mapping[str, str]
    popen: subprocess.Popen[Any]

    @property
    def state(self) -> str:
        code = self.popen.poll()
        return "running" if code is None else f"ended by signal {-code}" if code < 0 else f"exit code {code}"

    def logs_of_children(self) -> list[Path]:
        """Those of the project's processes that a demo or a replay started in its folder."""
        if self.directory is None or self.directory.is_relative_to(REPO):
            return []
        return sorted(self.directory.rglob("*.out"))


class ProcessRecord:
    """All processes that the running tests may have to do with."""

    def __init__(self) -> None:
        self.owner = ""
        self._started: list[StartedProcess] = []

    def install(self) -> None:
        """From now on each new process is recorded as `owner`'s."""
        start = subprocess.Popen.__init__

        def start_recorded(popen: subprocess.Popen[Any], args: Any, *rest: Any, **options: Any) -> None:
            start(popen, args, *rest, **options)
            self._started.append(_started(self.owner, args, options, popen))

        subprocess.Popen.__init__ = start_recorded  # type: ignore[method-assign,assignment]

    @contextlib.contextmanager
    def owned_by(self, owner: str) -> Iterator[None]:
        """What is started within is `owner`'s."""
        before, self.owner = self.owner, owner
        try:
            yield
        finally:
            self.owner = before

    def forget_all_but(self, owners: Collection[str]) -> None:
        """Forgets the processes of other tests that have ended."""
        self._started = [
            process for process in self._started if process.owner in owners or process.popen.poll() is None
        ]

    def owned(self, owners: Collection[str]) -> list[StartedProcess]:
        return [process for process in self._started if process.owner in owners]


def _started(owner: str, args: Any, options: Mapping[str, Any], popen: subprocess.Popen[Any]) -> StartedProcess:
    directory = options.get("cwd")
    in_file = dotenv_values(Path(directory) / ".env") if directory is not None else {}
    given = {name: value for name, value in in_file.items() if value is not None}
    return StartedProcess(
        owner,
        _program(args),
        _file_of(options.get("stderr")) or _file_of(options.get("stdout")),
        None if directory is None else Path(directory).absolute(),
        {**given, **(options.get("env") or {})},
        popen,
    )


def _program(args: Any) -> str:
    """connect.py of `python connect.py`, simulator of `python -m simulator`."""
    words: list[str] = [os.fspath(word) for word in ([args] if isinstance(args, (str, os.PathLike)) else args)]
    modules = [word for option, word in pairwise(words) if option == "-m"]
    scripts = [Path(word).name for word in words if word.endswith((".py", ".sh"))]
    return (scripts + modules + [Path(words[0]).name])[0]


def _file_of(stream: Any) -> Path | None:
    name = getattr(stream, "name", None)
    return Path(name).absolute() if isinstance(name, str) else None


def last_lines(path: Path, count: int) -> list[str]:
    """The end of a log; nothing when it is gone."""
    with contextlib.suppress(OSError), path.open("r", errors="replace") as log:
        return [line.rstrip() for line in deque(log, maxlen=count)]
    return []


def health_lines(processes: Sequence[StartedProcess]) -> list[str]:
    """What the processes last reported of themselves, one line each, from every Redis that they were given."""
    places = {}
    for process in processes:
        url, prefix = process.environment.get("REDIS_URL"), process.environment.get("REDIS_PREFIX", "")
        if url:
            places[url.rpartition("@")[2], prefix] = url
    return [line for (_, prefix), url in places.items() for line in _reports(url, prefix)]


def _reports(url: str, prefix: str) -> list[str]:
    try:
        with contextlib.closing(open_redis(url)) as client:
            reports = read_health(client, Keys(prefix))
    except (redis.RedisError, ValueError) as error:
        return [f"health: not to be read ({type(error).__name__})"]
    return [f"health of {prefix}{name}: {_by_state(report)}" for name, report in reports.items()]


def _by_state(report: Mapping[str, str]) -> str:
    state_first = sorted(report.items(), key=lambda pair: pair[0] != "state")
    return " ".join(f"{field}={value}" for field, value in state_first)
