"""Our processes and the servers as deployed, measured from outside: CPU seconds, memory, health reports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis

from bench.synthetic import DAY
from commands.shared.child_process import ChildProcess, end_all
from commands.shared.embedded.mongo import MongoServer
from commands.shared.embedded.redis import ValkeyServer
from commands.shared.embedded.server import running
from commands.shared.readiness import RUNNING
from utils.keys import Keys
from utils.market.ist import ist_midnight_ms
from utils.stores.redis_connection import open_redis

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 180.0  # the first start compiles the kernels
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class BenchError(RuntimeError):
    """A measurement failed; the message is one sentence."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float, poll_seconds: float = 0.05) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchError(f"not within {seconds:g} s: {what}")
        time.sleep(poll_seconds)


def market_clock(hour: int, minute: int, second: int) -> str:
    """A MARKET_CLOCK by which it is that time (IST) of the bench's day now, at the speed of real time."""
    market_ms = ist_midnight_ms(DAY) + ((hour * 60 + minute) * 60 + second) * 1000
    text = f"{DAY.isoformat()}T{hour:02d}:{minute:02d}:{second:02d}+05:30"
    assert market_ms
    return f"{text}@1@{time.time():.3f}"


def cpu_seconds(pid: int) -> float:
    """CPU seconds of a process, user and system; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


def rss_mb(pid: int) -> float:
    """Resident memory of a process in MB; 0 when it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def written_bytes(pid: int) -> int:
    """What a process had written to disk since its start."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return int(dict(line.split(": ") for line in lines)["write_bytes"])


def pss_mb(pid: int) -> float:
    """Proportional memory of a process in MB: its own pages, and its share of pages that several processes use."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


@dataclass(frozen=True, slots=True)
class Usage:
    """Share of one core and resident memory."""

    cpu: float
    rss_mb: float


_USER_OF = {"connect": "connector"}  # the Redis user of a script, where their names differ


@dataclass
class Stage:
    """Both servers with empty data, and our processes that are started on them."""

    directory: Path
    redis_url: str
    mongo_url: str
    client: redis.Redis
    pids: dict[str, int]
    redis_users: Mapping[str, str]
    children: dict[str, ChildProcess] = field(default_factory=dict)
    _marks: dict[str, float] = field(default_factory=dict)
    _marked_at: float = 0.0

    def environment(self, **settings: str) -> dict[str, str]:
        """The environment of every process, without the caller's own settings."""
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "NUMBA_CACHE_DIR", "VIRTUAL_ENV")
        return {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONPATH": str(PROJECT),
            "API_KEY": "bench",
            "ACCESS_TOKEN": "bench-token",
            "SECRETS_DIR": "",
            "ACCESS_TOKEN_FILE": str(self.directory / "access_token"),
            "REDIS_URL": self.redis_url,
            "MONGO_URL": self.mongo_url,
            "JOURNAL_DIR": str(self.directory / "journal"),
            "LOG_DIR": str(self.directory / "logs"),
            **settings,
        }

    def start(self, name: str, environment: Mapping[str, str]) -> ChildProcess:
        """Starts `python <name>.py` as its own Redis user; its `.env` has INSTRUMENTS alone, if anything."""
        work = self.directory / "work"
        work.mkdir(exist_ok=True)
        child = ChildProcess(
            name,
            [sys.executable, str(PROJECT / f"{name}.py")],
            log_path=self.directory / f"{name}.log",
            environment={**environment, "REDIS_URL": self.redis_users[_USER_OF.get(name, name)]},
            directory=work,
        )
        self.children[name] = child
        self.pids[name] = child.pid
        return child

    def write_instruments(self, symbols: list[str]) -> None:
        """Writes INSTRUMENTS to the processes' `.env`: it may be too long for an environment variable."""
        work = self.directory / "work"
        work.mkdir(exist_ok=True)
        (work / ".env").write_text(f"INSTRUMENTS='{','.join(symbols)}'\n", encoding="utf-8")

    def health(self, process: str) -> dict[str, str]:
        report = self.client.hgetall(f"health:{process}")
        return {key.decode(): value.decode() for key, value in report.items()}  # type: ignore[union-attr]

    def wait_for(self, process: str, shards: int, is_warm: bool = True) -> None:
        """Waits until the process owns all shards, and, if `is_warm`, its indicators are warm."""

        def is_ready() -> bool:
            child = self.children[process]
            if not child.is_alive:
                raise BenchError(f"{process} ended with {child.exit_code}: {child.last_lines(4)}")
            report = self.health(process)
            is_running = not is_warm or report.get("state", RUNNING) == RUNNING
            return is_running and all(f"position_{shard}" in report for shard in range(shards))

        wait_until(is_ready, f"{process} owns its shards", START_SECONDS)

    def seconds_to_own(self, process: str, environment: Mapping[str, str]) -> float:
        """Starts the process; seconds until it owns its first shard and processes entries."""
        began = time.monotonic()
        child = self.start(process, environment)

        def is_decided() -> bool:
            return bool(self.client.exists(Keys().lease(process, 0))) or not child.is_alive

        wait_until(is_decided, f"{process} owns a shard", 60, 0.002)
        if not child.is_alive:
            raise BenchError(f"{process} ended with {child.exit_code}: {child.last_lines(4)}")
        return time.monotonic() - began

    def mark(self) -> None:
        """Starts the interval of `usage`."""
        self._marks = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        self._marked_at = time.monotonic()

    def usage(self) -> dict[str, Usage]:
        """Core share since `mark` and memory of each process."""
        seconds = time.monotonic() - self._marked_at
        return {
            name: Usage((cpu_seconds(pid) - self._marks.get(name, 0.0)) / seconds, rss_mb(pid))
            for name, pid in self.pids.items()
        }

    def end(self) -> None:
        end_all(list(self.children.values()))
        for name in self.children:
            self.pids.pop(name, None)
        self.children.clear()


def compile_kernels() -> None:
    """Compiles all kernels into the cache, in processes of their own, as the image's build does."""
    for module in ("utils.stores.compiling", "utils.indicators.compiling"):
        subprocess.run([sys.executable, "-m", module], cwd=PROJECT, check=True)


@contextmanager
def stage(directory: Path) -> Iterator[Stage]:
    """A stage with running servers; everything is ended afterwards."""
    with ExitStack() as stack:
        valkey = stack.enter_context(running(ValkeyServer(directory / "redis")))
        mongo = stack.enter_context(running(MongoServer(directory / "mongo")))
        client = open_redis(valkey.url)
        stack.callback(client.close)
        pids = {
            name: server.process.pid for name, server in (("redis", valkey), ("mongodb", mongo)) if server.process
        }
        users = valkey.user_urls()
        found = Stage(directory, valkey.url, mongo.url, client, pids, users)
        stack.callback(found.end)
        yield found
