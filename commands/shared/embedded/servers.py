"""A Redis and a MongoDB to work with, started by us on free loopback ports when none is named."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from commands.shared.child_process import ChildProcess, StartError
from commands.shared.embedded.mongo import MongoServer, mongo_answers
from commands.shared.embedded.redis import ValkeyServer, why_redis_is_of_no_use
from commands.shared.embedded.server import EmbeddedServer, running


@dataclass(frozen=True, slots=True)
class ServerUrls:
    """Where the two servers are, and the processes among them that are ours."""

    redis_url: str
    mongo_url: str
    own: tuple[ChildProcess, ...]
    redis_is_shared: bool
    mongo_is_shared: bool
    redis_users: Mapping[str, str] = field(default_factory=dict)

    def redis_url_of(self, user: str) -> str:
        """That user's; of a server that was named there is one URL, whoever asks."""
        return self.redis_users.get(user, self.redis_url)


@contextlib.contextmanager
def open_servers(directory: Path, environment: Mapping[str, str], prefix: str = "") -> Iterator[ServerUrls]:
    """The servers that REDIS_URL and MONGO_URL name, or embedded ones with their data under `directory`.

    The embedded Redis has one user a role, with rights to keys that begin with the prefix.
    """
    with contextlib.ExitStack() as stack:
        own: list[ChildProcess] = []

        def url_of(name: str, server: EmbeddedServer) -> str:
            if environment.get(name):
                return environment[name]
            stack.enter_context(running(server))
            assert server.process is not None
            own.append(server.process)
            return server.url

        valkey = ValkeyServer(directory / "redis", prefix)
        redis_url = url_of("REDIS_URL", valkey)
        mongo_url = url_of("MONGO_URL", MongoServer(directory / "mongo"))
        _check_named(environment)
        redis_is_shared, mongo_is_shared = bool(environment.get("REDIS_URL")), bool(environment.get("MONGO_URL"))
        users = {} if redis_is_shared else valkey.user_urls()
        yield ServerUrls(redis_url, mongo_url, tuple(own), redis_is_shared, mongo_is_shared, users)


def _check_named(environment: Mapping[str, str]) -> None:
    reason = why_redis_is_of_no_use(environment["REDIS_URL"]) if environment.get("REDIS_URL") else ""
    if reason:
        raise StartError(f"{reason} Without REDIS_URL a server of its own is started.")
    if environment.get("MONGO_URL") and not mongo_answers(environment["MONGO_URL"]):
        raise StartError("The server of MONGO_URL does not answer a ping: start it, correct it or unset it.")
