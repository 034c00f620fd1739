"""The faults, each with its own end: of a process, a server, the network, the feed, the disk and the clock."""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path

import redis

from tests.chaos.proxy import Proxy
from tests.chaos.stage import SCRIPTS, TOKEN, Stage
from tests.chaos.timetable import Range, Timetable
from tests.e2e.harness import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER
from tests.e2e.simulated import Clock
from tests.shared.servers import EmbeddedServer
from utils.journal.records import RECORD_OVERHEAD
from utils.journal.writer import journal_days, journal_path, read_journal

HOUR_SECONDS = 3600
SECOND_CANDLE_WORKER = f"{CANDLE_WORKER}-2"
MORE_WORKERS = (SECOND_CANDLE_WORKER, f"{CANDLE_WORKER}-3", f"{SIGNAL_WORKER}-2")


class Chaos(Timetable):
    """Faults on one stage. Every random choice is drawn from `dice`, so a seed plays the same plan again."""

    def __init__(self, stage: Stage, seed: int) -> None:
        super().__init__(seed, stage.note_deaths)
        self.stage = stage
        self.counted: Counter[str] = Counter()
        self.torn_ids: set[str] = set()
        self._token = TOKEN
        self._tokens_made = count(1)
        self._is_disk_full = False
        self._downtimes: Range = (0.0, 0.6)

    # -- processes --------------------------------------------------------------------------------------------

    def kill_any(self) -> None:
        """kill -9 of a random process, and its restart."""
        self.kill_one(SCRIPTS)

    def kill_worker(self) -> None:
        self.kill_one(SCRIPTS[1:])

    def kill_one(self, names: Sequence[str]) -> None:
        first = self.dice.randrange(len(names))
        for name in (*names[first:], *names[:first]):
            if name == CONNECTOR and self._is_disk_full:
                continue  # a kill would lose what waits in memory for the disk, as documented
            if self.stage.kill(name):
                self.counted[f"kill -9 {name.partition('-')[0]}"] += 1
                self.after(self.between(*self._downtimes), partial(self.stage.start, name))
                return

    def stop_any(self) -> None:
        """SIGSTOP and SIGCONT of a random process, for shorter or longer than its lease."""
        self.stop_one(self.dice.choice(SCRIPTS), (0.2, 5.0))

    def stop_one(self, name: str, seconds: Range) -> None:
        if self.stage.suspend(name):
            self.counted[f"SIGSTOP {name.partition('-')[0]}"] += 1
            self.after(self.between(*seconds), lambda: self.stage.resume(name))

    # -- Redis ------------------------------------------------------------------------------------------------

    def redis_killed(self) -> None:
        """And restarted with nothing: the round has no snapshot of it, or has one from long ago."""
        self._kill_server("Redis killed", self.stage.valkey, (0.1, 2.5))

    def redis_torn(self) -> None:
        """Stored as it is now, and killed some time later: it lost its last writes, as a power cut would."""
        valkey = self.stage.valkey
        if not valkey.is_alive:
            return
        with suppress(redis.RedisError):
            self.stage.scripts.stores.client.save()
            self.counted["Redis lost its last writes"] += 1
        self.after(self.between(0.1, 3.0), lambda: self._kill_server("Redis killed", valkey, (0.1, 1.0)))

    def redis_hung(self) -> None:
        self._hang_server("Redis hung", self.stage.valkey, (0.5, 7.0))

    def redis_full(self) -> None:
        """Out of memory: every write that needs memory is refused."""
        with suppress(redis.RedisError):
            self.stage.scripts.stores.client.config_set("maxmemory", "1mb")
            self.counted["Redis out of memory"] += 1
        self.after(self.between(0.5, 5.0), self._redis_roomy)

    def _redis_roomy(self) -> None:
        try:
            self.stage.scripts.stores.client.config_set("maxmemory", "0")
        except redis.RedisError:  # away at the moment; a restart forgets the limit, a hung one is asked again
            self.after(0.5, self._redis_roomy)

    # -- MongoDB ----------------------------------------------------------------------------------------------

    def mongo_killed(self, seconds: Range = (0.5, 8.0)) -> None:
        self._kill_server("MongoDB killed", self.stage.mongo, seconds)

    def mongo_hung(self) -> None:
        self._hang_server("MongoDB hung", self.stage.mongo, (0.5, 5.0))

    def mongo_slow(self) -> None:
        self.counted["MongoDB slow"] += 1
        self._on_mongo(lambda proxy: proxy.delay(self.between(0.1, 1.0)), self.between(1.0, 6.0))

    def mongo_errors(self) -> None:
        self.counted["MongoDB answers errors"] += 1
        self._on_mongo(lambda proxy: proxy.answer_errors(), self.between(1.0, 6.0))

    def _on_mongo(self, act: Callable[[Proxy], None], seconds: float) -> None:
        for name, proxy in self.stage.proxies.opened.items():
            if name.endswith("-mongo"):
                act(proxy)
                self.after(seconds, proxy.heal)

    def _kill_server(self, what: str, server: EmbeddedServer, seconds: Range) -> None:
        if server.is_alive:
            server.kill()
            self.counted[what] += 1
            self.after(self.between(*seconds), lambda: _start_again(server))

    def _hang_server(self, what: str, server: EmbeddedServer, seconds: Range) -> None:
        process = server.process
        if process is not None and process.is_alive:
            process.popen.send_signal(signal.SIGSTOP)
            self.counted[what] += 1
            self.after(self.between(*seconds), lambda: process.popen.send_signal(signal.SIGCONT))

    # -- the network ------------------------------------------------------------------------------------------

    def network_any(self) -> None:
        """A random fault of a random connection between two processes."""
        proxy = self.dice.choice([opened_proxy for _, opened_proxy in sorted(self.stage.proxies.opened.items())])
        how = self.dice.choice(("reset", "delay", "cut", "swallow", "refuse"))
        self.counted[f"network: {how}"] += 1
        if how == "reset":
            proxy.reset()
        elif how == "cut":
            proxy.cut_after(self.dice.randrange(1, 5_000))
        elif how == "swallow":
            proxy.swallow()
        else:
            proxy.delay(self.between(0.05, 0.8)) if how == "delay" else proxy.refuse()
            self.after(self.between(0.5, 3.0), proxy.heal)

    # -- the feed ---------------------------------------------------------------------------------------------

    def feed_frozen(self) -> None:
        """The socket stays open without frames, for shorter or longer than the watchdog waits."""
        self.counted["feed frozen"] += 1
        self.stage.exchange_fault(name="stall", seconds=self.between(0.5, 4.0) * self.stage.plan.speed)

    def feed_flapping(self) -> None:
        self.counted["feed flapping"] += 1
        for index in range(self.dice.randrange(2, 5)):
            self.after(0.7 * index, lambda: self.stage.exchange_fault(name="drop"))

    def feed_403(self) -> None:
        """The token becomes invalid; a new one is written to its file some seconds later."""
        self.counted["feed 403"] += 1
        self.stage.exchange_fault(name="expire")
        self.after(self.between(0.5, 3.0), self._new_token)

    def _new_token(self) -> None:
        self._token = f"token-{next(self._tokens_made)}"
        self.stage.exchange_fault(name="accept", token=self._token)
        (self.stage.directory / "access_token").write_text(self._token)

    def feed_429(self) -> None:
        """Other clients occupy all connections that the broker allows, and the connector's own is cut."""
        port, others = self.stage.exchange.port, list[socket.socket]()
        request = f"GET /?api_key=plain_key&access_token={self._token} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
        request += (
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n\r\n"
        )

        def occupy() -> None:
            other = socket.create_connection(("127.0.0.1", port), 2)
            other.sendall(request.encode())
            others.append(other)

        self.counted["feed 429"] += 1

        def leave() -> None:
            for other in others:
                other.close()

        occupy()
        occupy()
        self.stage.proxy(CONNECTOR, "broker").reset()
        for attempt in range(1, 4):
            self.after(0.1 * attempt, occupy)
        self.after(self.between(1.0, 3.0), leave)

    # -- the disk and the clock -------------------------------------------------------------------------------

    def disk_full(self) -> None:
        """ENOSPC on a small file system; without the right to mount, a limit on the length of files."""
        if self._is_disk_full or CONNECTOR not in self.stage.scripts.running:
            return
        self._is_disk_full = True
        self.counted["disk full"] += 1
        seconds = self.between(1.0, 4.0)
        if self.stage.plan.journal_on_tmpfs:
            ballast = self.stage.journal / "ballast"
            _fill(ballast)
            self.after(seconds, lambda: self._disk_free(lambda: ballast.unlink(missing_ok=True)))
        else:
            pid, path = self.stage.scripts.running[CONNECTOR].pid, self._newest_journal()
            hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (path.stat().st_size if path else 0, hard))
            self.after(seconds, lambda: self._disk_free(lambda: _unlimit(pid, hard)))

    def _disk_free(self, how: Callable[[], None]) -> None:
        how()
        # Not at once: what waits in memory is written within a second.
        self.after(2.5, lambda: setattr(self, "_is_disk_full", False))

    def torn_journal(self) -> None:
        """kill -9, and the journal ends in the middle of a record when the connector comes back."""
        if self._is_disk_full or not self.stage.kill(CONNECTOR):
            return
        self.counted["kill -9 connect"] += 1
        self.counted["journal torn"] += 1
        path = self._newest_journal()
        if path is not None:
            last = list(read_journal(path))[-3:]
            lengths = [RECORD_OVERHEAD + len(entry.payload) for entry in last]
            cut = self.dice.randrange(1, sum(lengths) + 1) if lengths else 0
            os.truncate(path, path.stat().st_size - cut)
            while cut > 0:
                self.torn_ids.add(str(last.pop().id))
                cut -= lengths.pop()
        self.after(self.between(0.0, 1.0), lambda: self.stage.start(CONNECTOR))

    def clock_stepped(self, hours: float, seconds: float) -> None:
        """Sets the connector's clock wrong by so many hours, for so many seconds."""
        if self._is_disk_full:
            self.after(0.5, lambda: self.clock_stepped(hours, seconds))
            return
        self.counted[f"clock stepped {'forward' if hours > 0 else 'back'}"] += 1
        true = self.stage.clock
        off = Clock(true.start, true.speed, true.real_zero - hours * HOUR_SECONDS / true.speed)
        self.stage.own_settings[CONNECTOR] = {"MARKET_CLOCK": off.setting}
        self._restart_connector()
        self.after(seconds, self._right_clock)

    def _right_clock(self) -> None:
        if self._is_disk_full:
            self.after(0.5, self._right_clock)
            return
        self.stage.own_settings.pop(CONNECTOR, None)
        self._restart_connector()

    def _restart_connector(self) -> None:
        if self.stage.kill(CONNECTOR):
            self.counted["kill -9 connect"] += 1
        self.stage.start(CONNECTOR)

    def _newest_journal(self) -> Path | None:
        days = journal_days(self.stage.journal)
        return journal_path(self.stage.journal, days[-1], 0) if days else None

    # -- two on one shard -------------------------------------------------------------------------------------

    def lease_ignored(self) -> None:
        """The lease is deleted again and again: both workers process the shard."""
        self.counted["two workers on one shard"] += 1
        until = self.seconds + self.between(3.0, 8.0)

        def forget() -> None:
            with suppress(redis.RedisError):
                self.stage.scripts.stores.client.delete("lease:candle_worker:{a}")
            if self.seconds < until:
                self.after(0.05, forget)

        forget()

    def owner_hangs(self) -> None:
        """The lease's owner is stopped, another worker takes over, and the first one wakes up."""
        running = [name for name in self.stage.scripts.running if name.startswith(CANDLE_WORKER)]
        owner = self._owner()
        for name in running:
            if str(self.stage.scripts.running[name].pid) == owner:
                self.counted["hung with the lease"] += 1
                self.stop_one(name, (4.0, 7.0))

    def _owner(self) -> str:
        with suppress(redis.RedisError):
            content = self.stage.scripts.stores.client.get("lease:candle_worker:{a}")
            return content.decode().rpartition(":")[2] if isinstance(content, bytes) else ""
        return ""


def _start_again(server: EmbeddedServer) -> None:
    if not server.is_alive:
        server.start()


def _fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        for size in (1 << 20, 1 << 12, 1 << 6, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


def _unlimit(pid: int, hard: int) -> None:
    with suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard, hard))
