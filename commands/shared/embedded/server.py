"""A server of ours on a free loopback port: started, watched, killed, started again, and always ended."""

from __future__ import annotations

import contextlib
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self, TypeVar

from commands.shared.child_process import ChildProcess, StartError

LOOPBACK = "127.0.0.1"
READY_SECONDS = 90.0
PING_SECONDS = 1.0
_PORT_ATTEMPTS = 3


def free_port() -> int:
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedServer(ABC):
    """A server of ours. It can be killed and started again on the same port and data, as tests of crashes do."""

    name: str

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = 0
        self.process: ChildProcess | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def _command(self) -> list[str]: ...

    def _environment(self) -> Mapping[str, str] | None:
        """None: that of this process."""
        return None

    @abstractmethod
    def _answers(self) -> bool:
        """One real ping."""

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive

    def start(self) -> Self:
        """Returns when the server answers. StartError gives the reason otherwise. A second start keeps the port."""
        ports = [self.port] if self.port else [free_port() for _ in range(_PORT_ATTEMPTS)]
        for attempt, port in enumerate(ports, start=1):
            self.port = port
            try:
                self._start_once()
            except StartError:
                # Someone else may have taken the port between our look and the server's bind.
                if attempt == len(ports):
                    raise
            else:
                return self
        return self

    def end(self, grace_seconds: float = 10.0) -> None:
        if self.process is not None:
            self.process.end(grace_seconds)

    def kill(self) -> None:
        """kill -9, as a crash would."""
        if self.process is not None:
            self.process.kill()

    def _start_once(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        log_path = self.directory / f"{self.name}.log"
        self.process = ChildProcess(
            self.name,
            self._command(),
            log_path=log_path,
            environment=self._environment(),
            directory=self.directory,
        )
        try:
            self._wait_until_ready(self.process)
        except BaseException:
            self.process.end()
            raise

    def _wait_until_ready(self, process: ChildProcess) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            if not process.is_alive:
                raise StartError(f"{self.name} ended at once (exit {process.exit_code}): {process.last_lines()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} did not answer within {READY_SECONDS:g} s: {process.last_lines()}")
            time.sleep(0.02)


Server = TypeVar("Server", bound=EmbeddedServer)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """Starts the server, and ends it whatever happens."""
    try:
        yield server.start()
    finally:
        server.end()
