"""connect.py as a real process, for tests: its settings, its streams, its journal."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson
import redis

from tests.shared.env_file import names_in_example, write_env_file
from tests.shared.fake_broker import FakeBroker
from utils.keys import Keys

ROOT = Path(__file__).resolve().parents[2]
MAGIC_AND_HEADER = 12
WAIT_SECONDS = 90.0  # for what comes at once on an idle machine


def wait_until(
    condition: Callable[[], object], what: str, seconds: float = WAIT_SECONDS, poll_seconds: float = 0.02
) -> None:
    """Polls until the condition holds; AssertionError names what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {what}"
        time.sleep(poll_seconds)


class RedisUsers(Protocol):
    """A Valkey, or what stands before one: the administrator's URL, and each user's."""

    @property
    def url(self) -> str: ...

    def url_of(self, user: str) -> str: ...


class ConnectorProcess:
    """Starts and ends connect.py as its own user of Redis; everything it writes is under `directory`."""

    def __init__(self, directory: Path, broker: FakeBroker, valkey: RedisUsers, **settings: str) -> None:
        self.directory = directory
        self.redis = redis.Redis.from_url(valkey.url, protocol=2, socket_timeout=5)
        self.process: subprocess.Popen[bytes] | None = None
        self.settings = {
            "API_KEY": "key",
            "ACCESS_TOKEN": "token-one",
            "ACCESS_TOKEN_FILE": str(directory / "token"),
            "KITE_API_URL": broker.api_url,
            "KITE_WS_URL": broker.ws_url,
            "INSTRUMENTS": "NSE:AAA,NSE:BBB",
            "REDIS_URL": valkey.url_of("connector"),
            "JOURNAL_DIR": str(directory / "journal"),
            "LOG_DIR": str(directory / "logs"),
            **settings,
        }

    def start(self) -> ConnectorProcess:
        own = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "SSL_CERT_FILE")}
        in_file = {name: value for name, value in self.settings.items() if name in names_in_example()}
        others = {name: value for name, value in self.settings.items() if name not in in_file}
        write_env_file(self.directory, in_file)
        with (self.directory / "stderr").open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "connect.py")],
                env={**own, "PYTHONPATH": str(ROOT), "TZ": "UTC", "HOME": "/nonexistent", **others},
                cwd=self.directory,
                stderr=stderr,
            )
        return self

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(WAIT_SECONDS)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(WAIT_SECONDS)

    @property
    def logged(self) -> str:
        """What it wrote to stderr."""
        return (self.directory / "stderr").read_text()

    def entries(self, shard: int = 0) -> list[tuple[str, str, bytes]]:
        """(id, kind, payload) of the stream, in order."""
        found: Any = self.redis.xrange(Keys().ticks(shard))
        return [(id_.decode(), kind.decode(), payload) for id_, fields in found for kind, payload in fields.items()]

    def frames(self, shard: int = 0) -> list[bytes | str]:
        """What the broker is to have sent: binary frames as bytes, text frames as str."""
        return [
            payload.decode() if kind == "t" else payload for _, kind, payload in self.entries(shard) if kind != "m"
        ]

    def marks(self, shard: int = 0, clock: bool = False) -> list[dict[str, Any]]:
        marks = [orjson.loads(payload) for _, kind, payload in self.entries(shard) if kind == "m"]
        return [mark for mark in marks if clock or mark["mark"] != "clock"]

    def mark_names(self, shard: int = 0) -> list[str]:
        return [mark["mark"] for mark in self.marks(shard)]

    def health(self) -> dict[str, str]:
        report: Any = self.redis.hgetall("health:connector")
        return {name.decode(): value.decode() for name, value in report.items()}

    def journal(self, shard: int = 0) -> list[tuple[str, str, bytes]]:
        """The journal's entries as `entries` gives them, read by hand: the layout, not the program that writes it."""
        return [
            record
            for path in sorted((self.directory / "journal").glob(f"*/ticks-{shard}.journal"))
            for record in _records(path.read_bytes()[MAGIC_AND_HEADER:])
        ]


def _records(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    at = 0
    while at < len(data):
        length, ms, counter = (int.from_bytes(data[at + a : at + b], "big") for a, b in ((4, 8), (8, 16), (16, 20)))
        yield f"{ms}-{counter}", chr(data[at + 3]), data[at + 24 : at + 24 + length]
        at += 24 + length


@contextmanager
def running_connector(
    directory: Path, broker: FakeBroker, valkey: RedisUsers, **settings: str
) -> Iterator[ConnectorProcess]:
    """Started; killed at the end if it still runs."""
    directory.mkdir(parents=True, exist_ok=True)
    connector = ConnectorProcess(directory, broker, valkey, **settings).start()
    try:
        yield connector
    finally:
        connector.kill()
        connector.redis.close()
