"""The three scripts as real processes for an end-to-end test: started, watched, killed, drained, and always ended.

    with pipeline(directory, servers, environment) as scripts:
        scripts.start(CANDLE_WORKER); ...; scripts.drain(); scripts.final_candles()

The harness does not judge candles: tests compare them with tests/reference.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pymongo
import redis

from commands.shared.child_process import ChildProcess, end_all
from tests.shared.env_file import names_in_example, write_env_file
from tests.shared.servers import mongo_server, valkey_server
from utils.keys import Keys

REPO = Path(__file__).parents[2]
CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER = "connect", "candle_worker", "signal_worker"
WORKERS = (CANDLE_WORKER, SIGNAL_WORKER)
USER_OF = {CONNECTOR: "connector"}  # the Redis user of a script, where their names differ
POLL_SECONDS = 0.05
DEADLINE_SECONDS = 120.0
READY_SECONDS = 300.0  # kernels may have to be compiled first
STILL_SECONDS = 180.0
END_SECONDS = 120.0
Document = dict[str, Any]


@dataclass(frozen=True)
class Stores:
    """A Redis and a MongoDB of the test's own; `redis_url` and `client` are the administrator's."""

    redis_url: str
    mongo_url: str
    client: redis.Redis
    pids: dict[str, int]
    redis_users: Mapping[str, str] = field(default_factory=dict)

    def redis_url_of(self, script: str) -> str:
        """The URL with which `<script>.py` is deployed."""
        return self.redis_users.get(USER_OF.get(script, script), self.redis_url)


@contextmanager
def stores(directory: Path) -> Iterator[Stores]:
    """Both servers, empty, with their data under `directory`."""
    with ExitStack() as stack:
        valkey = stack.enter_context(valkey_server(directory))
        mongo = stack.enter_context(mongo_server(directory))
        client = redis.Redis.from_url(valkey.url, socket_timeout=60)
        stack.callback(client.close)
        pids = {server.name: server.process.pid for server in (valkey, mongo) if server.process is not None}
        yield Stores(valkey.url, mongo.url, client, pids, valkey.user_urls())


@dataclass
class Scripts:
    """Processes by name; the names of the three scripts are those of their files."""

    directory: Path
    stores: Stores
    environment: dict[str, str]
    shards: int = 1
    running: dict[str, ChildProcess] = field(default_factory=dict)

    def start(self, name: str, command: list[str] | None = None, **settings: str) -> ChildProcess:
        """`python <name>.py` as its own user of Redis, in a folder with a `.env`, unless another command is given.

        What .env.example knows of the settings goes into that file, the others into the environment. A program that
        is no script of ours, such as the simulator, reads no `.env`: it gets all of them in its environment.
        """
        assert name not in self.running, f"{name} runs already"
        script, *arguments = command or [f"{name}.py"]
        given = {"REDIS_URL": self._redis_url(script, settings), **self.environment, **settings}
        is_ours = script.endswith(".py")
        in_file = {key: value for key, value in given.items() if is_ours and key in names_in_example()}
        work = self.directory / "work" / name
        write_env_file(work, in_file)
        child = ChildProcess(
            name,
            [sys.executable, str(REPO / script) if is_ours else script, *arguments],
            log_path=self.directory / f"{name}.err",
            environment={key: value for key, value in given.items() if key not in in_file},
            directory=work,
        )
        self.running[name] = child
        return child

    def _redis_url(self, script: str, settings: Mapping[str, str]) -> str:
        """The Redis users have rights to a deployment's keys only: a script with a prefix gets the administrator."""
        if settings.get("REDIS_PREFIX"):
            return self.stores.redis_url
        return self.stores.redis_url_of(Path(script).stem)

    def kill(self, name: str) -> None:
        """kill -9."""
        self.running.pop(name).kill()

    def stop(self, name: str) -> None:
        """SIGTERM; AssertionError unless the process ends with exit code 0."""
        child = self.running.pop(name)
        by_itself = child.end(END_SECONDS)
        assert by_itself and child.exit_code == 0, f"{name} ended with {child.exit_code}:\n{child.last_lines()}"

    def end(self) -> None:
        end_all(list(self.running.values()))
        self.running.clear()

    def until(self, condition: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
        """Polls the condition. AssertionError, with every process's last lines: not in time, or a process died."""
        deadline = time.monotonic() + seconds
        while not condition():
            dead = [name for name, child in self.running.items() if not child.is_alive]
            assert not dead, f"{', '.join(dead)} died while waiting until {what}\n{self.tails()}"
            assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}\n{self.tails()}"
            time.sleep(POLL_SECONDS)

    def tails(self) -> str:
        """The last lines of every process, and the health reports."""
        logs = sorted(self.directory.glob("*.err"))
        tails = [f"--- {path.name}\n{''.join(path.read_text().splitlines(True)[-25:])}" for path in logs]
        reports = [f"--- {name}: {self.health(name)}" for name in ("connector", *WORKERS)]
        return "\n".join(tails + reports)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU seconds used so far by each running process and the two servers."""
        pids = {name: child.pid for name, child in self.running.items()} | self.stores.pids
        return {name: _cpu_seconds(pid) for name, pid in pids.items()}

    # -- what the processes report --------------------------------------------------------------------------

    def health(self, process: str) -> dict[str, str]:
        """The process's health report; empty when it has expired."""
        report: Any = self.stores.client.hgetall(f"health:{process}")
        return {name.decode(): value.decode() for name, value in report.items()}

    def until_ready(self, *workers: str) -> None:
        """Waits until each of these workers owns all shards (kernels compiled, state restored)."""
        for name in workers:
            self.until(
                lambda name=name: all(f"position_{n}" in self.health(name) for n in range(self.shards)),  # type: ignore[misc]
                f"{name} owns its shards",
                READY_SECONDS,
            )

    def until_connected(self) -> None:
        """Waits until the connector has subscribed on each of its connections."""
        self.until(lambda: self.health("connector").get("state") == "up", "the connector is connected", READY_SECONDS)

    def drain(self) -> None:
        """Stops the connector and waits until all it received is aggregated, evaluated and stored.

        There is no limit to the time as long as there is progress within STILL_SECONDS.
        """
        if CONNECTOR in self.running:
            self.stop(CONNECTOR)
        self._until_still(lambda: self._behind(CANDLE_WORKER, Keys().ticks), "all frames are aggregated")
        if SIGNAL_WORKER in self.running:
            self._until_still(lambda: self._behind(SIGNAL_WORKER, Keys().closed), "all candles are evaluated")
        self._until_still(self._unarchived_streams, "MongoDB has everything")

    def _until_still(self, left: Callable[[], list[object]], what: str) -> None:
        """Waits until `left` is empty; it has to change within STILL_SECONDS each time."""
        while before := left():
            self.until(lambda before=before: left() != before, what, STILL_SECONDS)  # type: ignore[misc]

    def _behind(self, process: str, stream: Callable[[int], str]) -> list[object]:
        """The positions of the shards that have not been read to their end."""
        report = self.health(process)
        positions = [as_id(report.get(f"position_{n}", "0-0")) for n in range(self.shards)]
        return [at for n, at in enumerate(positions) if at < self.last_id(stream(n))]

    def length(self, stream: str) -> int:
        """The number of entries in the stream."""
        return int(self.stores.client.xlen(stream))

    def last_id(self, stream: str) -> tuple[int, int]:
        try:
            about: Any = self.stores.client.xinfo_stream(stream)
        except redis.ResponseError:
            return 0, 0
        return as_id(about["last-generated-id"])

    def _unarchived_streams(self) -> list[object]:
        streams = [Keys().closed(n) for n in range(self.shards)]
        streams += [Keys().signals(n) for n in range(self.shards)] if SIGNAL_WORKER in self.running else []
        return [count for count in map(self._unarchived, streams) if count]

    def _unarchived(self, stream: str) -> int:
        if self.last_id(stream) == (0, 0):
            return 0
        groups: Any = self.stores.client.xinfo_groups(stream)
        if not groups or any(group["lag"] is None for group in groups):
            return -1
        return sum(int(group["lag"]) + int(group["pending"]) for group in groups)

    # -- the output -------------------------------------------------------------------------------------------

    def closed_stream(self) -> list[Document]:
        """All documents of `closed:*`, shard after shard, in order."""
        return [entry for n in range(self.shards) for entry in self.stream(Keys().closed(n))]

    def signals_streams(self) -> list[Document]:
        """All documents of `signals:*`, shard after shard, in order."""
        names = [Keys().signals(n) for n in range(self.shards)]
        return [entry for name in names if self.last_id(name) > (0, 0) for entry in self.stream(name)]

    def stream(self, name: str) -> list[Document]:
        return [document for _, document in self.entries(name)]

    def entries(self, name: str) -> list[tuple[str, Document]]:
        """A stream's entry ids and documents."""
        entries: Any = self.stores.client.xrange(name)
        return [(entry_id.decode(), orjson.loads(fields[b"json"])) for entry_id, fields in entries]

    def collection(self, name: str) -> list[Document]:
        """All documents of a MongoDB collection."""
        with pymongo.MongoClient[Document](self.stores.mongo_url) as database:
            return list(database["candlewick"][name].find(batch_size=1_000))

    def candles_published_once(self, source: str = "live") -> list[Document]:
        """The final state of each candle in `closed:*`, which must be what MongoDB has of this source.

        AssertionError: a revision was published twice or out of order, or a stored candle differs.
        """
        published = self.closed_stream()
        twice = [
            key
            for key, times in Counter((message["_id"], message["rev"]) for message in published).items()
            if times > 1
        ]
        assert not twice, f"published twice in closed:*: {twice[:5]}"
        final: dict[str, Document] = {}
        for message in published:
            before = final.get(message["_id"])
            assert message["rev"] == (before["rev"] + 1 if before else 0), f"a revision is missing before {message}"
            final[message["_id"]] = message
        stored = {
            document["_id"]: document for document in self.collection("candles") if document["source"] == source
        }
        different = [key for key in stored.keys() | final.keys() if stored.get(key) != final.get(key)]
        assert not different, f"MongoDB and closed:* differ: {sorted(different)[:5]}"
        return list(final.values())


def _cpu_seconds(pid: int) -> float:
    """User and system time, from Linux's /proc; 0 where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return round((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), 1)


def as_id(text: str | bytes) -> tuple[int, int]:
    raw = text.decode() if isinstance(text, bytes) else text
    ms, _, counter = raw.partition("-")
    return int(ms), int(counter or 0)


def plain_environment(directory: Path, where: Stores, **settings: str) -> dict[str, str]:
    """An environment with these settings and nothing else of the caller's: all paths are within `directory`.

    The clock's zone is that of the containers, and there is no home to write to.
    """
    kept = ("PATH", "LANG", "TMPDIR", "NUMBA_CACHE_DIR", "VIRTUAL_ENV")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": str(REPO),
        "TZ": "UTC",
        "HOME": "/nonexistent",
        "API_KEY": "plain_key",
        "ACCESS_TOKEN": "plain_token",
        "ACCESS_TOKEN_FILE": str(directory / "access_token"),
        "MONGO_URL": where.mongo_url,
        "JOURNAL_DIR": str(directory / "journal"),
        "LOG_DIR": str(directory / "logs"),
        **settings,
    }


@contextmanager
def pipeline(directory: Path, where: Stores, settings: Mapping[str, str], shards: int = 1) -> Iterator[Scripts]:
    """Scripts of which none runs yet; those that were started are ended on leaving."""
    directory.mkdir(parents=True, exist_ok=True)
    scripts = Scripts(directory, where, plain_environment(directory, where, **settings), shards)
    try:
        yield scripts
    finally:
        scripts.end()
