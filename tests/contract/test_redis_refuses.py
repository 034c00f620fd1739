"""A Redis that is there and refuses: each process names what is wrong and what to do, and doctor does, too."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import redis

from commands.shared.embedded.server import running
from tests.shared.console_here import manage_here
from tests.shared.env_file import write_env_file
from tests.shared.servers import ValkeyServer, free_port
from utils.journal.entries import Entry, EntryId, Kind, subscribed_mark
from utils.journal.writer import JournalWriter
from utils.keys import Keys
from utils.market.instruments import Instrument, SessionClass
from utils.runtime.lifecycle import EXIT_BAD_SETTINGS, EXIT_REFUSED
from utils.stores.publishing import Message, Outbox
from utils.stores.redis_connection import open_redis

pytestmark = pytest.mark.own_valkey
REPO = Path(__file__).parents[2]
DEADLINE_SECONDS = 120.0
WORKERS = ("candle_worker", "signal_worker")
KEYS = Keys()
ENVIRONMENT = {"PATH": os.environ["PATH"]}


class OtherValkey(ValkeyServer):
    """With options of its own behind those of deploy/redis/start.sh."""

    def __init__(self, directory: Path, *options: str) -> None:
        super().__init__(directory)
        self._options = options

    def _command(self) -> list[str]:
        return [*super()._command(), *self._options]


@contextmanager
def valkey_with(directory: Path, *options: str) -> Iterator[OtherValkey]:
    with running(OtherValkey(directory / "redis", *options)) as server:
        yield server


class Script:
    """One process, its exit code and what it printed."""

    def __init__(self, directory: Path, name: str, redis_url: str) -> None:
        self.log = directory / f"{name}.err"
        values = {
            "REDIS_URL": redis_url, "MONGO_URL": f"mongodb://127.0.0.1:{free_port()}", "INSTRUMENTS": "NSE:INFY",
            "LOG_DIR": str(directory / "logs"), "JOURNAL_DIR": str(directory / "journal"), "LEASE_SECONDS": "1",
            "KITE_API_URL": f"http://127.0.0.1:{free_port()}", "KITE_WS_URL": f"ws://127.0.0.1:{free_port()}",
            "ACCESS_TOKEN_FILE": str(directory / "token"), "API_KEY": "a-key",
        }  # fmt: skip
        write_env_file(directory, values)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(REPO / f"{name}.py")],
                cwd=directory,
                env=ENVIRONMENT,
                stderr=log,
            )

    @property
    def logged(self) -> str:
        return self.log.read_text()

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_SECONDS)

    def until_logged(self, words: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while words not in self.logged:
            assert self.process.poll() is None and time.monotonic() < deadline, self.logged
            time.sleep(0.05)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@contextmanager
def script(directory: Path, name: str, redis_url: str) -> Iterator[Script]:
    started = Script(directory, name, redis_url)
    try:
        yield started
    finally:
        started.process.kill()
        started.process.wait()


def doctor(directory: Path, *options: str) -> tuple[int, str]:
    done = manage_here(["doctor", *options], directory, ENVIRONMENT)
    return done.returncode, done.stdout


def ends_with(directory: Path, name: str, url: str, code: int, words: Sequence[str]) -> None:
    with script(directory, name, url) as started:
        assert started.exit_code() == code, started.logged
        assert "Traceback" not in started.logged and "does not answer" not in started.logged
        for word in words:
            assert word in started.logged


@pytest.mark.parametrize("name", WORKERS)
def test_cluster_mode_ends_a_worker_with_one_sentence(tmp_path: Path, name: str) -> None:
    with valkey_with(tmp_path, "--cluster-enabled", "yes") as server:
        with closing(open_redis(server.url)) as client:
            client.cluster("ADDSLOTSRANGE", 0, 16383)
        ends_with(tmp_path, name, server.url_of(name), EXIT_BAD_SETTINGS, ["cluster mode", "REDIS_URL"])
        code, logged = doctor(tmp_path, "--process", name)
    assert code == 1 and "PROBLEM  " in logged and "Redis runs in cluster mode" in logged


def test_cluster_mode_does_not_stop_the_connector_and_is_named(tmp_path: Path) -> None:
    with (
        valkey_with(tmp_path, "--cluster-enabled", "yes") as server,
        script(tmp_path, "connect", server.url_of("connector")) as connector,
    ):
        connector.until_logged("cluster mode")
        assert "The journal keeps everything" in connector.logged and "Redis is away" not in connector.logged


@pytest.mark.parametrize("name", WORKERS)
def test_a_wrong_password_ends_a_worker_with_one_sentence(tmp_path: Path, name: str) -> None:
    with valkey_with(tmp_path) as server:
        url = server.url_of(name).replace(server.password_of(name), "another")
        ends_with(tmp_path, name, url, EXIT_BAD_SETTINGS, ["refuses the user or the password of REDIS_URL"])
        code, logged = doctor(tmp_path)
    assert code == 1 and logged.count("\n") == 1 and "the password of REDIS_URL" in logged


def test_a_wrong_password_is_named_by_the_connector_which_continues(tmp_path: Path) -> None:
    with valkey_with(tmp_path) as server:
        url = server.url_of("connector").replace(server.password_of("connector"), "another")
        with script(tmp_path, "connect", url) as connector:
            connector.until_logged("the password of REDIS_URL")
            assert connector.process.poll() is None
            code, logged = doctor(tmp_path, "--process", "connector")
    assert code == 1 and "the password of REDIS_URL" in logged


@pytest.mark.parametrize("name", WORKERS)
def test_a_missing_right_ends_a_worker_and_names_it(tmp_path: Path, name: str) -> None:
    with valkey_with(tmp_path) as server:
        with closing(open_redis(server.url)) as client:
            client.acl_setuser(name, enabled=True, commands=["-get"])
        words = ["denies the user of REDIS_URL", "'get'", "deploy/redis/start.sh"]
        ends_with(tmp_path, name, server.url_of(name), EXIT_REFUSED, words)
        code, logged = doctor(tmp_path, "--process", name)
    assert code == 1 and f"PROBLEM  {name}: Redis denies the user of REDIS_URL" in logged


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("candle_worker", "state:{a}"),
        ("candle_worker", "state-counts:{a}"),
        ("candle_worker", "lease:candle_worker:{a}"),
        ("signal_worker", "signal-state:{a}"),
        ("signal_worker", "workers:signal_worker"),
    ],
)
def test_a_key_of_another_type_ends_a_worker_and_is_named(tmp_path: Path, name: str, key: str) -> None:
    with valkey_with(tmp_path) as server:
        with closing(open_redis(server.url)) as client:
            client.rpush(key, "of somebody else")
        ends_with(tmp_path, name, server.url_of(name), EXIT_REFUSED, ["another type", key])
        code, logged = doctor(tmp_path, "--process", name)
    assert code == 1 and key in logged


OF_WORKER = (
    *("published:{a}", "written:{}:{a}", "lease:{}:{a}", "lease:{}:{a}:last", "workers:{}"),
    *("health-processes", "instruments", "archive.rejected:{a}"),
)
OF_CANDLES = (
    "ticks:{a}",
    "ticks-subscribed:{a}",
    "closed:{a}",
    "state:{a}",
    "state-counts:{a}",
    "ticks.rejected:{a}",
)
OF_SIGNALS = ("closed:{a}", "signals:{a}", "signal-state:{a}")
OF_CONNECTOR = ("ticks:{a}", "ticks-subscribed:{a}", "broker:{a}", "instruments", "health:connector")


@pytest.mark.parametrize(
    ("process", "names"),
    [
        ("candle_worker", OF_WORKER + OF_CANDLES),
        ("signal_worker", OF_WORKER + OF_SIGNALS),
        ("connector", OF_CONNECTOR),
    ],
)
def test_doctor_names_each_key_of_another_type_without_any_report(
    tmp_path: Path, process: str, names: tuple[str, ...]
) -> None:
    """As each container's own user; the worker ended long ago, and its report with it."""
    with valkey_with(tmp_path) as server, closing(open_redis(server.url)) as client:
        write_env_file(tmp_path, {"REDIS_URL": server.url_of(process), "INSTRUMENTS": "NSE:INFY", "API_KEY": "a-key"})
        keys = [name.replace("{}", process) for name in names]
        for key in keys:
            client.rpush(key, "of somebody else")
        code, logged = doctor(tmp_path, "--process", process)
        assert code == 1
        for key in keys:
            assert f"PROBLEM  {process}: the key {key} holds a list, where a " in logged, logged
        assert logged.count("holds a list") == len(keys)
        client.delete(*keys)
        assert "holds a" not in doctor(tmp_path, "--process", process)[1]


def test_a_stream_that_was_never_sent_to_is_not_behind_by_decades(tmp_path: Path) -> None:
    with valkey_with(tmp_path) as server, closing(open_redis(server.url)) as client:
        client.rpush("ticks:{a}", "of somebody else")
        with script(tmp_path, "connect", server.url_of("connector")):
            wait_until(lambda: client.hget("health:connector", "shard0_journal_last_id") not in (None, b"0-0"))
            code, logged = doctor(tmp_path, "--process", "connector")
    assert code == 1 and "the key ticks:{a} holds a list" in logged
    assert " h of frames wait" not in logged


def test_a_key_that_two_processes_use_is_named_once(tmp_path: Path) -> None:
    with valkey_with(tmp_path) as server, closing(open_redis(server.url)) as client:
        write_env_file(tmp_path, {"REDIS_URL": server.url, "INSTRUMENTS": "NSE:INFY", "API_KEY": "a-key"})
        client.set("closed:{a}", "of somebody else")
        code, logged = doctor(tmp_path)
        assert (
            code == 1 and logged.count("the key closed:{a} holds a string, where a stream of Candlewick belongs") == 1
        )


def test_a_stream_with_ids_above_ours_is_named(tmp_path: Path) -> None:
    with valkey_with(tmp_path) as server, closing(open_redis(server.url_of("candle_worker"))) as client:
        outbox = Outbox(client, KEYS, KEYS.closed(0), 0, 10)
        client.xadd("closed:{a}", {"a": "1"}, id="9-9")
        with pytest.raises(redis.RedisError, match=r"closed:\{a\} has ids above those that Candlewick writes"):
            outbox.publish([Message("5-1", b"{}")])


@pytest.mark.parametrize("name", ["connect", *WORKERS])
def test_eviction_is_named_by_every_process_and_by_doctor(tmp_path: Path, name: str) -> None:
    user = {"connect": "connector"}.get(name, name)
    with (
        valkey_with(tmp_path, "--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru") as server,
        script(tmp_path, name, server.url_of(user)) as started,
    ):
        started.until_logged("allkeys-lru")
        code, logged = doctor(tmp_path, "--process", user)
    assert code == 1 and "PROBLEM  redis: Redis may evict" in logged and "noeviction" in logged


def test_a_worker_waits_for_memory_and_logs_it(tmp_path: Path) -> None:
    with (
        valkey_with(tmp_path, "--maxmemory", "1kb") as server,
        closing(open_redis(server.url)) as client,
        script(tmp_path, "candle_worker", server.url_of("candle_worker")) as worker,
    ):
        worker.until_logged("Redis is out of memory")
        code, logged = doctor(tmp_path, "--process", "candle_worker")
        assert code == 1 and "PROBLEM  redis: Redis has used" in logged and "REDIS_MAXMEMORY" in logged
        client.config_set("maxmemory", "0")
        worker.until_logged("shard acquired")


@pytest.mark.parametrize("name", WORKERS)
def test_a_replica_is_waited_for_as_after_a_failover(tmp_path: Path, name: str) -> None:
    with (
        valkey_with(tmp_path) as server,
        closing(open_redis(server.url)) as client,
        script(tmp_path, name, server.url_of(name)) as worker,
    ):
        wait_until(lambda: bool(client.exists(f"health:{name}")))
        client.replicaof("127.0.0.1", str(free_port()))
        worker.until_logged("read only replica")
        worker.until_logged("redis unavailable, retrying")
        code, logged = doctor(tmp_path, "--process", name)
        assert code == 1 and "REDIS_URL names a replica" in logged
        client.replicaof("NO", "ONE")
        client.delete(f"health:{name}")
        wait_until(lambda: bool(client.exists(f"health:{name}")))
        assert worker.process.poll() is None


@pytest.mark.parametrize("key", ["closed:{a}", "published:{a}"])
def test_an_outbox_names_the_keys_that_may_be_of_another_type(tmp_path: Path, key: str) -> None:
    with valkey_with(tmp_path) as server, closing(open_redis(server.url_of("candle_worker"))) as client:
        with closing(open_redis(server.url)) as administrator:
            administrator.rpush(key, "of somebody else")
        outbox = Outbox(client, KEYS, KEYS.closed(0), 0, 10)
        with pytest.raises(redis.RedisError, match=r"WRONGTYPE in one of the keys closed:\{a\} and published:\{a\}"):
            outbox.publish([Message("5-1", b"{}")])


def write_a_journal(directory: Path) -> None:
    infy = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
    writer = JournalWriter(directory / "journal", 0)
    writer.append(Entry(EntryId(1_795_146_300_000, 0), Kind.MARK, subscribed_mark("full", [infy])))
    writer.close()


@pytest.mark.parametrize("command", [["demo"], ["replay", "2026-11-20"]])
@pytest.mark.parametrize("kind", ["cluster", "password"])
def test_commands_name_what_redis_refuses_in_one_sentence(tmp_path: Path, command: list[str], kind: str) -> None:
    options = ["--cluster-enabled", "yes"] if kind == "cluster" else []
    with valkey_with(tmp_path, *options) as server:
        url = server.url if kind == "cluster" else server.url.replace(server.password_of("default"), "another")
        write_a_journal(tmp_path)
        values = {"REDIS_URL": url, "JOURNAL_DIR": str(tmp_path / "journal"), "LOG_DIR": str(tmp_path / "logs")}
        done = subprocess.run(
            [sys.executable, str(REPO / "manage.py"), *command],
            cwd=tmp_path, env={**ENVIRONMENT, **values}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    logged = done.stdout + done.stderr
    assert done.returncode == 1 and "Traceback" not in logged
    assert {"cluster": "runs in cluster mode", "password": "the password of REDIS_URL"}[kind] in logged


def test_a_server_that_does_not_show_how_it_is_set_up_is_worked_with(tmp_path: Path) -> None:
    with valkey_with(tmp_path) as server:
        with closing(open_redis(server.url)) as client:
            client.acl_setuser("candle_worker", enabled=True, commands=["-info"])
        with script(tmp_path, "candle_worker", server.url_of("candle_worker")) as worker:
            worker.until_logged("shard acquired")
            assert "cluster mode and eviction are not checked" in worker.logged
            _, logged = doctor(tmp_path, "--process", "candle_worker")
    assert "note     redis: Redis does not show this user" in logged
