"""The compose file really run: images built, every service healthy, hardened as stated, stopped in time.

It takes minutes and an engine, so it runs only when asked for: `make compose-test`. The live services are played
by a simulated exchange in a container of its own; nothing else differs from what a server runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pymongo
import pytest
import redis

from tests.shared.compose_file import LIVE_PROCESSES, REPLAY, REPO, STORES
from tests.shared.composed import (
    MID_SESSION,
    PASSWORD,
    PROJECT,
    SHARDS,
    SPEED,
    STAND_IN_MARK,
    Composed,
    engine_command,
    overlay,
)
from tests.shared.network_namespace import HERE, network_namespace, why_not
from tests.shared.pages import Example, example_text
from tests.shared.servers import free_port
from utils.keys import Keys
from utils.market.clock import MarketClock

pytestmark = [pytest.mark.timeout(900), pytest.mark.in_order]

DEADLINE_SECONDS = 90.0
SHORT_DEMO = ["python", "manage.py", "demo", "--until", "09:25", "--speed", "120", "--instruments", "12", "--no-view"]


@pytest.fixture(scope="module")
def composed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    docker = engine_command()
    if isinstance(docker, str):
        pytest.skip(docker)
    directory = tmp_path_factory.mktemp("compose")
    # As the README has it, the example's settings are enough; the file itself must not be the developer's own.
    shutil.copy(REPO / "docker-compose.yml", directory)
    for folder in ("deploy", "local", "strategies"):
        shutil.copytree(REPO / folder, directory / folder)
    shutil.copy(REPO / ".env.example", directory / ".env")
    environment = {
        name: os.environ[name] for name in ("PATH", "HOME", "DOCKER_HOST", "DOCKER_CONFIG") if name in os.environ
    }
    environment |= {"REDIS_PASSWORD": PASSWORD, "MONGO_PASSWORD": PASSWORD}
    environment |= {"REDIS_PORT": str(free_port()), "MONGO_PORT": str(free_port())}
    stack = Composed(docker, [directory / "docker-compose.yml", directory / "overlay.yml"], environment)
    stack.run("build", "--quiet", "--target", "live", "--tag", "candlewick", str(REPO))
    stack.run("build", "--quiet", "--target", "demo", "--tag", "candlewick-demo", str(REPO))
    found = stack.run("run", "--rm", "--entrypoint", "cat", "mongo:8", STAND_IN_MARK, check=False)
    clock = MarketClock(MID_SESSION, SPEED, time.time_ns() // 1_000_000)
    (directory / "overlay.yml").write_text(json.dumps(overlay(found.returncode == 0, clock)))
    try:
        yield stack
    finally:
        stack.compose("--profile", "demo", "--profile", "replay", "down", "--volumes", "--timeout", "5", check=False)


def live_keys(client: redis.Redis) -> set[str]:
    """Those that stay: health reports, leases and the list of workers run out by themselves."""
    names = [key for key in map(str, client.scan_iter()) if not key.startswith(("demo:", "health:", "workers:"))]
    return {key for key in names if client.ttl(key) == -1}


def redis_of(composed: Composed) -> redis.Redis:
    return redis.Redis(port=int(composed.environment["REDIS_PORT"]), password=PASSWORD, decode_responses=True)


def test_everything_comes_up_healthy(composed: Composed) -> None:
    composed.compose("up", "--detach", "--no-build", "exchange")
    composed.compose("up", "--detach", "--no-build", "--wait", "--wait-timeout", "180", *STORES, *LIVE_PROCESSES)
    states = {name: composed.inspect(name)["State"] for name in (*STORES, *LIVE_PROCESSES)}
    assert {name: state["Health"]["Status"] for name, state in states.items()} == dict.fromkeys(states, "healthy")


def test_this_machine_reads_candles_from_both_databases(composed: Composed) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(port=int(composed.environment["MONGO_PORT"]))
    with redis_of(composed) as client, mongo:
        while mongo["candlewick"]["candles"].find_one({"symbol": "NSE:INFY", "timeframe": "5s"}) is None:
            assert time.monotonic() < deadline, composed.compose("logs", "--tail", "20").stdout
            time.sleep(0.5)
        live: Any = client.hgetall("candle:NSE:INFY:5s")
    assert float(live["low"]) <= float(live["close"]) <= float(live["high"])


def test_the_readmes_search_finds_names_of_contracts(composed: Composed) -> None:
    """November's, which are those that the exchange lists with so few instruments."""
    found = composed.shell(example_text(Example.DUMP).replace("26DEC", "26NOV"))
    assert re.match(r"NIFTY26NOV\w+,2026-11-\d\d,NFO\n", found), found


def test_redis_wants_its_password(composed: Composed) -> None:
    with (
        redis.Redis(port=int(composed.environment["REDIS_PORT"])) as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


@pytest.mark.parametrize("service", [*STORES, *LIVE_PROCESSES])
def test_every_container_is_hardened(composed: Composed, service: str) -> None:
    about = composed.inspect(service)
    assert about["HostConfig"]["ReadonlyRootfs"] is True
    assert about["HostConfig"]["CapDrop"] == ["ALL"]
    assert about["HostConfig"]["Memory"] > 0
    assert about["Config"]["User"].partition(":")[0] not in {"", "0", "root"}
    addresses = [port["HostIp"] for ports in about["NetworkSettings"]["Ports"].values() for port in ports or []]
    assert set(addresses) <= {"127.0.0.1"}


def addresses_of(composed: Composed, service: str) -> dict[str, str]:
    """By network, as the compose file names it."""
    networks = composed.inspect(service)["NetworkSettings"]["Networks"]
    return {name.removeprefix(f"{PROJECT}_"): network["IPAddress"] for name, network in networks.items()}


def reaches(composed: Composed, container: list[str], address: str, port: int) -> bool:
    asked = composed.run(*container, "python", "-c", _REACH, address, str(port), check=False)
    assert asked.returncode in (0, 3), asked.stderr
    return asked.returncode == 0


@pytest.mark.parametrize(("service", "port"), [("redis", 6379), ("mongo", 27017)])
def test_the_databases_are_reached_over_their_network_and_loopback_only(
    composed: Composed, service: str, port: int
) -> None:
    stranger = ["run", "--rm", "--network", "bridge", "--entrypoint", "", "candlewick"]
    neighbour = ["exec", composed.container("connector")]
    for network, address in addresses_of(composed, service).items():
        assert not reaches(composed, stranger, address, port)
        assert reaches(composed, neighbour, address, port) == (network == "stores")
    published = int(composed.environment[f"{service.upper()}_PORT"])
    socket.create_connection(("127.0.0.1", published), 5).close()
    if why_not():
        return
    with network_namespace() as elsewhere, socket.create_server((HERE, 0)) as control:
        assert elsewhere.reaches(control.getsockname()[1])
        assert not elsewhere.reaches(published)


def test_the_candle_worker_and_the_databases_reach_nothing_outside(composed: Composed) -> None:
    exchange = addresses_of(composed, "exchange")["internet"]
    assert reaches(composed, ["exec", composed.container("connector")], exchange, 8000)
    assert not reaches(composed, ["exec", composed.container("candle-worker")], exchange, 8000)


def test_candles_close_after_rejected_packets_and_a_refused_document(composed: Composed) -> None:
    """Rejected, revised and refused: each is written by its user, and nothing stands still afterwards."""
    with redis_of(composed) as client:
        until(
            lambda: any(client.xlen(Keys().rejected(shard)) for shard in range(SHARDS)),
            DEADLINE_SECONDS,
            "a packet is rejected",
        )
        until(
            lambda: any(candle["rev"] for candle in closed_candles(client)), DEADLINE_SECONDS, "a candle is revised"
        )
        # The second one's `k` is taken: MongoDB refuses it for its unique index.
        twins: list[Any] = [
            client.xadd("signals:{a}", {"json": json.dumps({"_id": name, "k": "twin"})}) for name in "ab"
        ]
        until(lambda: client.xlen("archive.rejected:{a}") > 0, DEADLINE_SECONDS, "the document is put aside")
        client.xdel("signals:{a}", *twins)
        before = [client.xlen(Keys().closed(shard)) for shard in range(SHARDS)]
        for shard, count in enumerate(before):
            closes = partial(_is_longer, client, Keys().closed(shard), count)
            until(closes, DEADLINE_SECONDS, f"candles of shard {shard} close afterwards")


def _is_longer(client: redis.Redis, stream: str, count: int) -> bool:
    return int(client.xlen(stream)) > count


def closed_candles(client: redis.Redis) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for shard in range(SHARDS):
        entries: Any = client.xrange(Keys().closed(shard))
        found += [json.loads(fields["json"]) for _, fields in entries]
    return found


def test_nobody_wanted_more_than_its_user_may(composed: Composed) -> None:
    with redis_of(composed) as client:
        assert [(refusal["username"], refusal["object"]) for refusal in client.acl_log()] == []


def test_no_kernel_is_compiled_after_the_image_is_made(composed: Composed) -> None:
    for service in ("candle-worker", "signal-worker"):
        count = "find /opt/kernels -type f | wc -l; find /tmp/kernels -type f | wc -l"
        made, now = composed.compose("exec", "--no-TTY", service, "sh", "-c", count).stdout.split()
        assert int(made) == int(now) > 0


def test_a_process_that_dies_comes_back(composed: Composed) -> None:
    before = composed.inspect("candle-worker")
    # The first process is the container's init: the worker is its only child.
    assert composed.exit_code("candle-worker", "python", "-c", _KILL_WORKER) == 0
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        now = composed.inspect("candle-worker")
        if now["RestartCount"] > before["RestartCount"] and now["State"]["Health"]["Status"] == "healthy":
            break
        assert time.monotonic() < deadline, now["State"]
        time.sleep(0.5)


def test_a_silent_exchange_makes_the_connector_unhealthy(composed: Composed) -> None:
    composed.compose("pause", "exchange")
    deadline = time.monotonic() + DEADLINE_SECONDS
    check = ("python", "manage.py", "doctor", "--process", "connector")
    while composed.exit_code("connector", *check) != 1:
        assert time.monotonic() < deadline
        time.sleep(0.5)
    composed.compose("unpause", "exchange")
    while composed.exit_code("connector", *check) != 0:
        assert time.monotonic() < deadline
        time.sleep(0.5)


def holders_of(client: redis.Redis, role: str) -> list[str]:
    """The container that holds each shard; '' for one that is free. A worker is `container-1f2e3d4c:pid`."""
    return [str(client.get(Keys().lease(role, shard)) or "").rpartition("-")[0] for shard in range(SHARDS)]


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_more_workers_share_the_work_and_take_over(composed: Composed) -> None:
    """Each of three holds a shard; when one dies, the others hold all within 5 s."""
    scale = ("--scale", "candle-worker=3", "--scale", "signal-worker=3")
    composed.compose("up", "--detach", "--no-build", "--no-recreate", *scale, *STORES, *LIVE_PROCESSES)
    with redis_of(composed) as client:
        for role in ("candle_worker", "signal_worker"):
            until(lambda role=role: len(set(holders_of(client, role)) - {""}) == SHARDS, DEADLINE_SECONDS, role)  # type: ignore[misc]
            victim = holders_of(client, role)[0]
            composed.run("kill", "--signal", "KILL", victim)
            until(lambda role=role, dead=victim: {dead, ""}.isdisjoint(holders_of(client, role)), 5.0, role)  # type: ignore[misc]
        keys, shards = Keys(), range(SHARDS)
        for stream in (*map(keys.closed, shards), *map(keys.signals, shards)):
            printed: Any = client.xrange(stream)
            documents = [json.loads(fields["json"]) for _, fields in printed]
            ids = [(document["_id"], document.get("rev")) for document in documents]
            assert len(ids) == len(set(ids)), stream
            assert ids or stream.startswith("signals:")
    wait = ("--wait", "--wait-timeout", "180")
    composed.compose("up", "--detach", "--no-build", *wait, *STORES, *LIVE_PROCESSES)


def test_everything_stops_when_asked(composed: Composed) -> None:
    composed.compose("stop", *LIVE_PROCESSES)
    assert {name: composed.inspect(name)["State"]["ExitCode"] for name in LIVE_PROCESSES} == dict.fromkeys(
        LIVE_PROCESSES, 0
    )


def test_the_demo_plays_beside_live_data_and_leaves_it_alone(composed: Composed) -> None:
    with redis_of(composed) as client:
        live = live_keys(client)
        length = client.xlen("closed:{a}")
        printed = composed.compose("--profile", "demo", "run", "--no-TTY", "--rm", "demo", *SHORT_DEMO).stdout
        assert "every process ended as asked" in printed
        assert (live_keys(client), client.xlen("closed:{a}")) == (live, length)


def test_the_recorded_day_is_replayed_beside_live_data_and_leaves_it_alone(composed: Composed) -> None:
    replay = ("python", "manage.py", "replay", "2026-11-20")
    with redis_of(composed) as client:
        live = {key for key in live_keys(client) if not key.startswith("replay:")}
        printed = composed.compose("--profile", "replay", "run", "--no-TTY", "--rm", REPLAY, *replay).stdout
        assert re.search(r"live +[1-9][0-9,]* of the [1-9][0-9,]* candles", printed), printed
        assert {key for key in live_keys(client) if not key.startswith("replay:")} == live
        assert client.exists("replay:closed:{a}") == 1


def test_a_backup_is_restored_as_the_readme_does_it(composed: Composed) -> None:
    """All volumes gone: MongoDB has what it had, and Redis gets the day again from the journal."""
    composed.shell(example_text(Example.BACK_UP))
    stored, published = stored_candles(composed), first_closed(composed)
    assert stored
    composed.compose("down", "--volumes", "--timeout", "30")
    (composed.files[0].parent / ".env").unlink()
    composed.shell(example_text(Example.RESTORE))
    assert stored <= stored_candles(composed)
    until(lambda: first_closed(composed) == published, DEADLINE_SECONDS, "the day is in Redis again")


def stored_candles(composed: Composed) -> set[str]:
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(port=int(composed.environment["MONGO_PORT"]))
    with mongo:
        return {str(found["_id"]) for found in mongo["candlewick"]["candles"].find({}, {"_id": 1})}


def first_closed(composed: Composed) -> object:
    with redis_of(composed) as client:
        found: Any = client.xrange("closed:{a}", count=1)
        return found


_REACH = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3).close()
except OSError:
    sys.exit(3)
"""
_KILL_WORKER = """
import os, signal
from pathlib import Path
for path in Path("/proc").glob("[0-9]*/cmdline"):
    if b"candle_worker.py" in path.read_bytes() and int(path.parent.name) not in (1, os.getpid()):
        os.kill(int(path.parent.name), signal.SIGKILL)
"""
