"""An embedded MongoDB: a mongod on PATH, else the stand-in nx-27017, which knows no users."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import sys

from commands.shared.child_process import StartError
from commands.shared.embedded.server import LOOPBACK, PING_SECONDS, EmbeddedServer
from utils.stores.mongo import MongoStore, StoreError


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
                "'pip install -r requirements/dev.txt'."
            )
        own_files = ["--log-file", str(self.directory / "nx.log"), "--pid-file", str(self.directory / "nx.pid")]
        where = ["--data-dir", str(data), "--host", LOOPBACK, "-p", str(self.port)]
        return [sys.executable, "-m", "nx_27017.nx_27017", *where, *own_files]

    def _answers(self) -> bool:
        return mongo_answers(self.url, PING_SECONDS)


def mongo_answers(url: str, timeout_seconds: float = 5.0) -> bool:
    """One real ping command."""
    timeout_ms = int(timeout_seconds * 1000)
    try:
        with contextlib.closing(MongoStore(url, "admin", timeout_ms, timeout_ms)) as store:
            store.ping()
    except StoreError:
        return False
    return True
