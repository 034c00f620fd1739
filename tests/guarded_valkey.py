"""A real Valkey started the way the container's Redis is, by deploy/redis/start.sh: one user a role."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis

from commands.child_process import ChildProcess
from commands.embedded_servers import LOOPBACK, ValkeyServer, running, valkey_binary
from tests.compose_file import REPO, services

START = REPO / "deploy/redis/start.sh"


def password_names() -> list[str]:
    """Every password that docker-compose.yml takes from `.env`."""
    return sorted(set(re.findall(r"\$\{([A-Z_]+_PASSWORD)\b", (REPO / "docker-compose.yml").read_text())))


def passwords() -> dict[str, str]:
    """One of its own for each, easy to find again."""
    return {name: f"pw-{name.lower()}-7Qx" for name in password_names()}


class GuardedValkey(ValkeyServer):
    """`url_of("reader")` opens it as that user; `administrator` is the client of the default user."""

    def __init__(self, directory: Path, prefix: str = "") -> None:
        super().__init__(directory)
        self.prefix = prefix
        self.passwords = passwords()

    def password_of(self, user: str) -> str:
        return self.passwords["REDIS_PASSWORD" if user == "default" else f"REDIS_{user.upper()}_PASSWORD"]

    def url_of(self, user: str) -> str:
        return f"redis://{user}:{self.password_of(user)}@{LOOPBACK}:{self.port}/0"

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(user), protocol=2, socket_timeout=5, decode_responses=True)

    def refusals(self) -> list[tuple[str, str, str]]:
        """(user, reason, object) of everything that Redis refused for want of a permission."""
        with closing(self.client("default")) as client:
            return [(str(one["username"]), str(one["reason"]), str(one["object"])) for one in client.acl_log()]

    def _command(self) -> list[str]:
        options = services()["redis"]["command"]
        at_maxmemory = options.index("--maxmemory")
        kept = [
            *options[2:at_maxmemory],
            *options[at_maxmemory + 2 :],
        ]  # without the container's --dir and a variable
        return ["sh", str(START), "--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.directory), *kept]

    def _start_once(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        own = {"REDIS_SERVER": valkey_binary(), "ACL_FILE": str(self.directory / "users.acl")}
        self.process = ChildProcess(
            self.name,
            self._command(),
            log_path=self.directory / f"{self.name}.log",
            environment={"PATH": os.environ["PATH"], "REDIS_PREFIX": self.prefix, **self.passwords, **own},
            directory=self.directory,
        )
        self._wait_until_ready(self.process)

    def _answers(self) -> bool:
        try:
            with closing(self.client("default")) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def guarded_valkey(directory: Path, prefix: str = "") -> Iterator[GuardedValkey]:
    server = GuardedValkey(directory / "redis", prefix)
    with running(server):
        yield server
