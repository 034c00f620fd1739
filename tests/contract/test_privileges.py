"""Least privilege: what each user of Redis may and may not, who may do what in MongoDB, and what a container gets.

Redis: a real Valkey with the users that deploy/redis/start.sh makes. MongoDB: the stand-in knows no users, so what
deploy/mongo/users.js asks for is looked at, by running it in Node with a database that only takes notes.
"""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError
from ruamel.yaml import YAML

from tests.shared.compose_file import DEMO, LIVE_PROCESSES, REPO, STORES, filled_in, services
from tests.shared.guarded_valkey import GuardedValkey, guarded_valkey, password_names, passwords
from utils.keys import Keys
from utils.stores.redis_connection import open_redis

ROLES = ("candle_worker", "signal_worker")
USERS = ("connector", "candle_worker", "signal_worker", "reader", "demo")
WRITERS = {
    "ticks:{a}": {"connector"},
    "ticks-subscribed:{a}": {"connector"},
    "broker:{a}": {"connector"},
    "instruments": {"connector"},
    "candle:NSE:A:1m": {"candle_worker"},
    "tick:NSE:A": {"candle_worker"},
    "closed:{a}": {"candle_worker"},
    "state:{a}": {"candle_worker"},
    "state-counts:{a}": {"candle_worker"},
    "lease:candle_worker:{a}": {"candle_worker"},
    "written:candle_worker:{a}": {"candle_worker"},
    "workers:candle_worker": {"candle_worker"},
    "health-part:candle_worker:a:1": {"candle_worker"},
    "indicators:NSE:A:1m": {"signal_worker"},
    "signals:{a}": {"signal_worker"},
    "signal-state:{a}": {"signal_worker"},
    "lease:signal_worker:{a}": {"signal_worker"},
    "written:signal_worker:{a}": {"signal_worker"},
    "workers:signal_worker": {"signal_worker"},
    "health-part:signal_worker:a:1": {"signal_worker"},
    "health:connector": {"connector"},
    "health:candle_worker": {"candle_worker"},
    "health:signal_worker": {"signal_worker"},
    "published:{a}": {"candle_worker", "signal_worker"},
    "ticks.rejected:{a}": {"candle_worker"},
    "archive.rejected:{a}": {"candle_worker", "signal_worker"},
    "demo:candle:NSE:A:1m": {"demo"},
    "replay:candle:NSE:A:1m": {"demo"},
    "anything": set(),
}
CHANNELS = {"candles.closed.1m.NSE:A": {"candle_worker"}, "signals.1m.NSE:A": {"signal_worker"}, "other": set()}
DANGEROUS = (
    "FLUSHALL",
    "FLUSHDB",
    "KEYS *",
    "CONFIG GET *",
    "CONFIG SET dir /tmp",
    "ACL LIST",
    "ACL SETUSER x on",
    "MONITOR",
    "SHUTDOWN NOSAVE",
    "CLIENT LIST",
    "CLIENT KILL TYPE normal",
    "CLIENT PAUSE 1",
    "SLAVEOF 127.0.0.1 1",
    "MODULE LIST",
    "SAVE",
    "BGREWRITEAOF",
    "FUNCTION LIST",
    "SCRIPT FLUSH",
)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedValkey]:
    with guarded_valkey(tmp_path_factory.mktemp("guarded")) as server:
        yield server


def is_refused(client: Any, *command: str) -> bool:
    """Whether the user may not; any other error is an answer of the command itself."""
    try:
        client.execute_command(*command)
    except NoPermissionError:
        return True
    except redis.ResponseError:
        return False
    return False


@pytest.mark.parametrize("user", USERS)
def test_each_key_has_only_its_writers(valkey: GuardedValkey, user: str) -> None:
    with valkey.client("default") as administrator, valkey.client(user) as client:
        for key, writers in WRITERS.items():
            may = [not is_refused(client, *command, key, *values) for command, values in WRITES]
            assert any(may) == (user in writers), key
            administrator.flushall()


def every_name() -> Iterator[str]:
    """What each method of Keys gives, for each of the workers where it asks for one."""
    arguments = {"shard": 0, "symbol": "NSE:A", "timeframe": "1m", "owner": "a:1"}
    methods = [
        getattr(Keys(), name)
        for name, method_name in vars(Keys).items()
        if inspect.isfunction(method_name) and name[0] != "_"
    ]
    for method in methods:
        wanted = list(inspect.signature(method).parameters)
        for role in ROLES:
            yield str(method(*({**arguments, "role": role, "process": role}[name] for name in wanted)))


def test_every_name_of_ours_has_a_user_who_may_write_it(valkey: GuardedValkey) -> None:
    channels = {Keys().closed_channel("NSE:A", "1m"), Keys().signals_channel("NSE:A", "1m")}
    with ExitStack() as open_ones:
        clients = [open_ones.enter_context(valkey.client(user)) for user in ("connector", *ROLES)]
        for name in set(every_name()) - channels:
            writes = [is_refused(client, *command, name, *values) for client in clients for command, values in WRITES]
            assert not all(writes), f"deploy/redis/start.sh lets nobody write {name}"
        open_ones.enter_context(valkey.client("default")).flushall()


WRITES = (
    (("HSET",), ("field", "1")),
    (("XADD",), ("1-1", "field", "1")),
    (("SET",), ("1",)),
    (("DEL",), ()),
    (("EXPIRE",), ("9",)),
    (("XTRIM",), ("MAXLEN", "0")),
    (("RENAME", "unknown"), ()),
    (("EVAL", "return redis.call('DEL', KEYS[1])", "1"), ()),
)


@pytest.mark.parametrize("user", USERS)
def test_each_channel_has_only_its_speakers(valkey: GuardedValkey, user: str) -> None:
    with valkey.client(user) as client:
        for channel, speakers in CHANNELS.items():
            assert is_refused(client, "PUBLISH", channel, "x") == (user not in speakers)
            script = ("EVAL", "return redis.call('PUBLISH', ARGV[1], 'x')", "0", channel)
            assert is_refused_in_a_script(client, *script) == (user not in speakers)


def is_refused_in_a_script(client: Any, *command: str) -> bool:
    try:
        client.execute_command(*command)
    except redis.ResponseError as error:
        assert "permission" in str(error) or "ACL" in str(error), error
        return True
    return False


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("command", DANGEROUS)
def test_nobody_but_the_administrator_harms_the_server(valkey: GuardedValkey, user: str, command: str) -> None:
    with valkey.client(user) as client:
        assert is_refused(client, *command.split())


def test_a_reader_reads_what_the_readme_names(valkey: GuardedValkey) -> None:
    with valkey.client("default") as administrator, valkey.client("reader") as client:
        administrator.hset("candle:NSE:A:5m", "close", "1")
        administrator.xadd("closed:{a}", {"json": "{}"}, id="1-1")
        assert client.hgetall("candle:NSE:A:5m") == {"close": "1"}
        found: Any = client.xread({"closed:{a}": "0"})
        assert found[0][1] == [("1-1", {"json": "{}"})]
        subscriber = client.pubsub()
        subscriber.psubscribe("candles.closed.5m.*", "signals.*")
        wait_for_message(subscriber, "psubscribe")
        administrator.publish("candles.closed.5m.NSE:A", "now")
        assert wait_for_message(subscriber, "pmessage")["data"] == "now"
        assert is_refused(client, "GET", "state:{a}")
        assert is_refused(client, "HGETALL", "published:{a}")
        subscriber.close()


def wait_for_message(subscriber: Any, kind: str) -> dict[str, Any]:
    for _ in range(600):
        message: dict[str, Any] | None = subscriber.get_message(timeout=0.1)
        if message is not None and message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} within 60 s")


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "redis://:wrong@127.0.0.1:{port}"])
def test_without_a_password_nothing_is_answered(valkey: GuardedValkey, url: str) -> None:
    client = redis.Redis.from_url(url.format(port=valkey.port), protocol=2, socket_timeout=5)
    with client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_passwords_of_redis_are_all_different_users(valkey: GuardedValkey) -> None:
    for user in USERS:
        for other in USERS:
            # Our own way to open it, which does not try again for seconds.
            with open_redis(f"redis://{user}:{valkey.password_of(other)}@127.0.0.1:{valkey.port}/0") as client:
                if user == other:
                    client.ping()
                else:
                    with pytest.raises(redis.AuthenticationError):
                        client.ping()


def test_a_prefix_moves_what_a_role_may(tmp_path: Path) -> None:
    with guarded_valkey(tmp_path, prefix="paper:") as valkey, valkey.client("connector") as client:
        assert not is_refused(client, "HSET", "paper:instruments", "a", "1")
        assert is_refused(client, "HSET", "instruments", "a", "1")


def test_a_password_that_could_change_the_rules_is_refused(tmp_path: Path) -> None:
    given = {**passwords(), "REDIS_READER_PASSWORD": "x ~* +@all", "ACL_FILE": str(tmp_path / "users.acl")}
    done = subprocess.run(
        ["sh", str(REPO / "deploy/redis/start.sh")],
        env={"PATH": "/usr/bin:/bin", "REDIS_SERVER": "false", **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "correct it" in done.stderr
    assert "+@all" not in done.stderr
    assert not (tmp_path / "users.acl").exists()


def test_the_file_of_users_is_for_its_owner_only(valkey: GuardedValkey) -> None:
    assert (valkey.directory / "users.acl").stat().st_mode & 0o077 == 0


_NOTES = """
const made = []
globalThis.db = {getSiblingDB: name => ({createUser: user => made.push({...user, in: name})})}
require('vm').runInThisContext(require('fs').readFileSync(process.argv[1], 'utf8'))
console.log(JSON.stringify(made))
"""


def users_made(**environment: str) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here to run the script for MongoDB in")
    return subprocess.run(
        [node, "-e", _NOTES, str(REPO / "deploy/mongo/users.js")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_mongodb_gets_a_writer_a_reader_and_a_user_for_demos() -> None:
    names = ("MONGO_PASSWORD", "MONGO_READER_PASSWORD", "MONGO_DEMO_PASSWORD")
    own = {name: passwords()[name] for name in names}
    made = json.loads(users_made(MONGO_DB="own", **own).stdout)
    roles = {user["user"]: [(role["role"], role["db"]) for role in user["roles"]] for user in made}
    assert roles == {
        "candlewick": [("readWrite", "own"), ("readWrite", "own_replay")],
        "reader": [("read", "own")],
        "demo": [("readWrite", "candlewick_demo")],
    }
    assert [user["pwd"] for user in made] == [own[name] for name in names]
    assert {user["in"] for user in made} == {"admin"}


def test_a_user_of_mongodb_without_a_password_stops_the_start() -> None:
    done = users_made(MONGO_DB="own", MONGO_PASSWORD="x")
    assert done.returncode != 0
    assert "reader has no password" in done.stderr


OWN_PASSWORDS = {
    "connector": {"REDIS_CONNECTOR_PASSWORD"},
    "candle-worker": {"REDIS_CANDLE_WORKER_PASSWORD", "MONGO_PASSWORD"},
    "signal-worker": {"REDIS_SIGNAL_WORKER_PASSWORD", "MONGO_PASSWORD"},
    DEMO: {"REDIS_DEMO_PASSWORD", "MONGO_DEMO_PASSWORD"},
}


@pytest.mark.parametrize("name", [*LIVE_PROCESSES, DEMO])
def test_a_container_gets_its_own_passwords_and_no_other(name: str) -> None:
    service, known = services()[name], passwords()
    in_file = known if service.get("env_file") else {}
    own = {key: filled_in(str(value), known) for key, value in service["environment"].items()}
    values = "\n".join({**in_file, **own}.values())
    assert {known_name for known_name in password_names() if known[known_name] in values} == OWN_PASSWORDS[name]


def test_only_who_needs_the_broker_has_its_keys() -> None:
    environments = {name: services()[name]["environment"] for name in LIVE_PROCESSES}
    emptied = {
        name: {key for key, value in environment.items() if value == ""} for name, environment in environments.items()
    }
    assert {"API_KEY", "API_SECRET", "ACCESS_TOKEN"} <= emptied["candle-worker"]
    assert "API_SECRET" in emptied["signal-worker"]


def test_the_databases_are_on_an_internal_network() -> None:
    networks = compose_networks()
    assert networks["stores"]["internal"] is True
    assert {name for name, service in services().items() if "stores" in service["networks"]} == set(services())
    with_loopback = {name for name, service in services().items() if "loopback" in service["networks"]}
    assert with_loopback == set(STORES)
    assert networks["loopback"]["driver_opts"]["com.docker.network.bridge.enable_ip_masquerade"] == "false"
    assert {name for name, service in services().items() if "internet" in service["networks"]} == {
        "connector",
        "signal-worker",
    }


def compose_networks() -> dict[str, Any]:
    content: dict[str, dict[str, Any]] = YAML(typ="safe").load(REPO / "docker-compose.yml")
    return content["networks"]


def test_any_number_of_workers_may_run() -> None:
    for name in ("candle-worker", "signal-worker"):
        assert not {"container_name", "ports", "hostname"} & set(services()[name])
