"""The stage of one round: servers, proxies, a fast exchange, and the three scripts, which may be killed."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import redis
import requests

from commands.shared.child_process import ChildProcess
from tests.chaos.mongo_errors import MongoErrors
from tests.chaos.proxy import Proxies, Proxy
from tests.e2e.harness import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER, Scripts, Stores, plain_environment
from tests.e2e.simulated import Clock, Exchange, start_exchange
from tests.shared.servers import EmbeddedServer, mongo_server, valkey_server
from utils.indicators.compiling import compile_indicator_kernels
from utils.keys import Keys
from utils.stores.compiling import compile_candle_kernels

SCRIPTS = (CONNECTOR, CANDLE_WORKER, SIGNAL_WORKER)
TOKEN = "plain_token"
TMPFS_MEGABYTES = 64
START_CLOCK = "09:13:30"


@dataclass(frozen=True)
class Plan:
    """The size and settings of a round; `seconds` are real ones."""

    seconds: float
    speed: float
    instruments: int
    shards: int = 1
    timeframes: str = "5s,15s,1m,5m,1d"
    ready_seconds: float = 9.0
    journal_on_tmpfs: bool = False
    settings: tuple[tuple[str, str], ...] = ()
    fewest_closed: int = 0  # the market plays on after the faults until so many candles have closed


@dataclass
class Stage:
    """The processes of a round. A script that ends by itself is a finding."""

    directory: Path
    plan: Plan
    seed: int
    valkey: EmbeddedServer
    mongo: EmbeddedServer
    proxies: Proxies
    scripts: Scripts
    clock: Clock
    exchange: Exchange
    findings: list[str] = field(default_factory=list)
    stopped: dict[str, ChildProcess] = field(default_factory=dict)
    own_settings: dict[str, dict[str, str]] = field(default_factory=dict)
    kills: int = 0

    # -- processes --------------------------------------------------------------------------------------------

    def start(self, name: str) -> None:
        """Starts a script that does not run, behind its proxies, with its own settings.

        A name may end in a number, for a second worker: candle_worker-2.
        """
        if name in self.scripts.running:
            return
        script = name.partition("-")[0]
        own = {"REDIS_URL": self._redis_url(script), "MONGO_URL": self._mongo_url(script)}
        self.scripts.start(name, [f"{script}.py"], **own, **self.own_settings.get(name, {}))

    def kill(self, name: str) -> bool:
        """kill -9; False when the script is not running."""
        if name not in self.scripts.running:
            return False
        self.stopped.pop(name, None)
        self.scripts.kill(name)
        self.kills += 1
        return True

    def suspend(self, name: str) -> bool:
        """SIGSTOP; False when the script is not running, or suspended already."""
        child = self.scripts.running.get(name)
        if child is None or name in self.stopped:
            return False
        child.popen.send_signal(signal.SIGSTOP)
        self.stopped[name] = child
        return True

    def resume(self, name: str) -> None:
        """SIGCONT, if the suspended process is still alive."""
        child = self.stopped.pop(name, None)
        if child is not None and child.is_alive:
            child.popen.send_signal(signal.SIGCONT)

    def note_deaths(self) -> None:
        """Notes each script that ended by itself as a finding, and starts it again."""
        for name, child in list(self.scripts.running.items()):
            if not child.is_alive:
                self.findings.append(f"{name} ended by itself with {child.exit_code}: {child.last_lines(6)}")
                del self.scripts.running[name]
                if name.partition("-")[0] in SCRIPTS:
                    self.start(name)

    def proxy(self, who: str, whom: str) -> Proxy:
        return self.proxies.opened[f"{who}-{whom}"]

    def _redis_url(self, script: str) -> str:
        url, own = self.scripts.stores.redis_url_of(script), self.valkey.port
        return url.replace(f":{own}/", f":{self.proxy(script, 'redis').port}/")

    def _mongo_url(self, script: str) -> str:
        name = f"{script}-mongo"
        port = self.proxies.opened[name].port if name in self.proxies.opened else self.mongo.port
        return f"mongodb://127.0.0.1:{port}"

    # -- the exchange -----------------------------------------------------------------------------------------

    def exchange_fault(self, **wanted: object) -> None:
        url = f"http://127.0.0.1:{self.exchange.port}/simulator/fault"
        requests.post(url, json=wanted, timeout=10).raise_for_status()

    @property
    def journal(self) -> Path:
        return self.directory / "journal"

    @property
    def record(self) -> Path:
        return self.directory / "sent"

    # -- the end ----------------------------------------------------------------------------------------------

    def make_well(self) -> None:
        """Ends every fault, and starts all that should run."""
        for proxy in self.proxies.opened.values():
            proxy.heal()
        for name in list(self.stopped):
            self.resume(name)
        for server in (self.valkey, self.mongo):
            if server.process is not None:
                with suppress(ProcessLookupError):
                    server.process.popen.send_signal(signal.SIGCONT)
            if not server.is_alive:
                server.start()
        with suppress(redis.RedisError):
            self.scripts.stores.client.config_set("maxmemory", "0")
        self.note_deaths()
        for name in SCRIPTS:
            self.start(name)
        # The health reports of dead processes must not be read as those of their successors.
        self.scripts.stores.client.delete("health:connector", f"health:{CANDLE_WORKER}", f"health:{SIGNAL_WORKER}")

    def play_on(self) -> None:
        """Plays until `fewest_closed` candles have closed: on a slow machine the faults end before that."""
        closed = [Keys().closed(shard) for shard in range(self.plan.shards)]
        self.scripts.until(
            lambda: sum(map(self.scripts.length, closed)) >= self.plan.fewest_closed, "enough has closed", 600
        )

    def drain(self) -> None:
        """Stops all in order, once everything is sent, processed and stored. AssertionError: not in time."""
        self.scripts.until_ready(CANDLE_WORKER, SIGNAL_WORKER)
        self.scripts.until(self._connector_is_through, "the connector has sent everything", 120)
        self.scripts.drain()
        for name in sorted(self.scripts.running):
            self.scripts.stop(name)

    def _connector_is_through(self) -> bool:
        report = self.scripts.health("connector")
        return report.get("state") == "up" and int(report.get("backlog_bytes", "1")) < 1 << 16


@contextmanager
def stage(directory: Path, plan: Plan, seed: int) -> Iterator[Stage]:
    """A stage on which everything runs; the clock reaches START_CLOCK `ready_seconds` later. Ended on leaving."""
    directory.mkdir(parents=True, exist_ok=True)
    compile_candle_kernels()  # or each script would, at its first start
    compile_indicator_kernels()
    with ExitStack() as stack:
        if plan.journal_on_tmpfs:
            _mount_tmpfs(stack, directory / "journal")
        valkey = stack.enter_context(valkey_server(directory))
        mongo = stack.enter_context(mongo_server(directory))
        client = redis.Redis.from_url(valkey.url, socket_timeout=10)
        stack.callback(client.close)
        stores = Stores(valkey.url, mongo.url, client, {}, valkey.user_urls())
        proxies = stack.enter_context(Proxies())
        settings = {
            "TIMEFRAMES": plan.timeframes,
            "CONNECTIONS": str(plan.shards),
            "WARMUP": "false",
            "SNAPSHOT_SECONDS": "0.7",
            "WATCHDOG_SECONDS": "1.5",
            **dict(plan.settings),
        }
        scripts = Scripts(directory, stores, plain_environment(directory, stores, **settings), plan.shards)
        stack.callback(scripts.end)
        clock = Clock(START_CLOCK, plan.speed, time.time() + plan.ready_seconds)
        exchange = start_exchange(scripts, clock, plan.instruments, seed, "usual", directory / "sent")
        made = Stage(directory, plan, seed, valkey, mongo, proxies, scripts, clock, exchange)
        stack.callback(_resume_all, made)
        _open_proxies(made)
        for name in (CANDLE_WORKER, SIGNAL_WORKER, CONNECTOR):
            made.start(name)
        yield made


def _open_proxies(made: Stage) -> None:
    broker = made.proxies.open("connect-broker", made.exchange.port)
    made.scripts.environment |= {
        "KITE_API_URL": f"http://127.0.0.1:{broker.port}",
        "KITE_WS_URL": f"ws://127.0.0.1:{broker.port}",
    }
    for script in SCRIPTS:
        made.proxies.open(f"{script}-redis", made.valkey.port)
    for script in (CANDLE_WORKER, SIGNAL_WORKER):
        made.proxies.open(f"{script}-mongo", made.mongo.port, lambda proxy: MongoErrors(proxy, made.seed))


def _resume_all(made: Stage) -> None:
    for name in list(made.stopped):
        made.resume(name)
    for server in (made.valkey, made.mongo):
        if server.is_alive and server.process is not None:
            server.process.popen.send_signal(signal.SIGCONT)


def can_mount_tmpfs(directory: Path) -> bool:
    """Whether this process may mount: root, and not forbidden by the container."""
    directory.mkdir(parents=True, exist_ok=True)
    tried = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(directory)], capture_output=True, check=False
    )
    if tried.returncode == 0:
        subprocess.run(["umount", "-l", str(directory)], capture_output=True, check=False)
    return tried.returncode == 0


def _mount_tmpfs(stack: ExitStack, directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    size = f"size={TMPFS_MEGABYTES}m"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(directory)], check=True, capture_output=True)
    stack.callback(subprocess.run, ["umount", "-l", str(directory)], capture_output=True, check=False)
