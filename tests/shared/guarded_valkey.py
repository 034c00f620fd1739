"""The Valkey of tests that look at its users: with known passwords, and a client for each user."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import redis

from commands.shared.embedded.redis import ADMINISTRATOR, ValkeyServer
from commands.shared.embedded.server import running
from tests.shared.compose_file import REPO


def password_names() -> list[str]:
    """Every password that docker-compose.yml takes from `.env`."""
    return sorted(set(re.findall(r"\$\{([A-Z_]+_PASSWORD)\b", (REPO / "docker-compose.yml").read_text())))


def passwords() -> dict[str, str]:
    """One of its own for each, easy to find again."""
    return {name: f"pw-{name.lower()}-7Qx" for name in password_names()}


class GuardedValkey(ValkeyServer):
    """`url_of("reader")` opens it as that user; `client(user)` is one of its own."""

    def __init__(self, directory: Path, prefix: str = "") -> None:
        super().__init__(directory, prefix, passwords())

    def client(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.url_of(user), protocol=2, socket_timeout=5, decode_responses=True)

    def refusals(self) -> list[tuple[str, str, str]]:
        """(user, reason, object) of everything that Redis refused for want of a permission."""
        with closing(self.client(ADMINISTRATOR)) as client:
            return [
                (str(refusal["username"]), str(refusal["reason"]), str(refusal["object"]))
                for refusal in client.acl_log()
            ]


@contextmanager
def guarded_valkey(directory: Path, prefix: str = "") -> Iterator[GuardedValkey]:
    with running(GuardedValkey(directory / "redis", prefix)) as server:
        yield server
