"""Real servers for tests: on free ports, with their data in a directory of the test's, and always ended.

    with valkey_server(tmp_path) as server: ...      # server.url, server.url_of(user), server.kill(), server.start()
    with mongo_server(tmp_path) as server: ...
    with both_servers(tmp_path) as servers: ...      # servers.redis_url, servers.mongo_url

`server.kill()` is a kill -9; `server.start()` brings it back on the same port with the same data.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from commands.shared.embedded.mongo import MongoServer
from commands.shared.embedded.redis import ValkeyServer
from commands.shared.embedded.server import EmbeddedServer, free_port, running
from commands.shared.embedded.servers import ServerUrls, open_servers

__all__ = [
    "EmbeddedServer",
    "ServerUrls",
    "ValkeyServer",
    "both_servers",
    "free_port",
    "mongo_server",
    "valkey_server",
]


@contextmanager
def valkey_server(directory: Path) -> Iterator[ValkeyServer]:
    """A real Valkey, set up and with users as the container's is, and with its data under `directory`/redis."""
    with running(ValkeyServer(directory / "redis")) as server:
        yield server


@contextmanager
def mongo_server(directory: Path) -> Iterator[EmbeddedServer]:
    """A mongod if PATH has one, else the stand-in, with its data under `directory`/mongo."""
    with running(MongoServer(directory / "mongo")) as server:
        yield server


def both_servers(directory: Path) -> AbstractContextManager[ServerUrls]:
    """Both of them, whatever REDIS_URL and MONGO_URL are."""
    return open_servers(directory, {})
