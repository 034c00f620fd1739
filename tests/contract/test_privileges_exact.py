"""Each user of Redis may do what its process needs, and no more: one right less breaks this, one more is named.

The needs are recorded, on the real server, while a session with every kind of fault is played. What a session cannot
show in seconds stands in RARE, and is done there by the code that does it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis
import structlog

from commands.shared.embedded.redis import START, ValkeyServer
from tests.e2e.harness import CANDLE_WORKER, SIGNAL_WORKER, WORKERS, Scripts, Stores, pipeline
from tests.reference.random_feed import WHO, random_feed
from tests.shared.closed_candles import SYMBOLS, past_and_day, publish_closed
from tests.shared.connector_process import running_connector, wait_until
from tests.shared.env_file import write_env_file
from tests.shared.fake_broker import FakeBroker, stock
from tests.shared.redis_needs import Judge, Needs, Recording, users_made
from tests.shared.servers import mongo_server, valkey_server
from tests.shared.signal_worker_process import instrument
from utils.connector.session_snapshot import SessionSnapshot
from utils.journal.entries import Entry, EntryId, Kind
from utils.keys import Keys
from utils.market.ist import ist_midnight_ms
from utils.market.sessions import SessionCalendar
from utils.stores.candle_store import CandleStore
from utils.stores.leases import Lease
from utils.stores.left_shards import LeftShards
from utils.stores.redis_connection import open_redis
from utils.stores.tick_reader import TickReader
from utils.stores.tick_stream import TickStream

REPO = START.parents[2]
ROLES = ("connector", "candle_worker", "signal_worker")
ALL_USERS = (*ROLES, "reader", "demo")
RIGHT = re.compile(r"(?<=[ \"])[+%&~][^\s\"]+")
SETTINGS = {
    "TIMEFRAMES": "1s,5s,1m,5m",
    "INSTRUMENTS": ",".join({*(who.reference.symbol for who in WHO), *SYMBOLS}),
    "CONNECTIONS": "2",
    "WARMUP": "false",
    "ZSCORE_WINDOW": "30",
    "SNAPSHOT_SECONDS": "0.3",
    "LEASE_SECONDS": "0.5",
}
_, DAY = past_and_day()  # candles with signals in them
UNUSED_SHARD = 2
JUNK: tuple[dict[Any, Any], ...] = (
    {"json": b"no document"},
    {"json": b'{"_id": "one", "k": "twin"}'},
    {"json": b'{"_id": "other", "k": "twin"}'},  # MongoDB refuses it: its `k` is taken
)
RecordedNeeds = dict[str, Needs]


def trim_a_large_stream(client: redis.Redis) -> None:
    """STREAM_MAX_MB, reached."""
    stream = TickStream(client, Keys())
    frames = [Entry(EntryId(n, 0), Kind.FRAME, bytes(1_000)) for n in range(1, 300)]
    stream.add(UNUSED_SHARD, frames, EntryId(0, 0))
    assert stream.trim_to_bytes(UNUSED_SHARD, 100_000)


def read_behind_a_dropped_mark(client: redis.Redis) -> None:
    """What the worker did not read was dropped, and with it the names of the instruments."""
    reader = TickReader(client, Keys())
    reader.begin(UNUSED_SHARD)
    assert reader.read({UNUSED_SHARD: EntryId(1, 0)}, 0, 10)


def remove_an_expired_contract(client: redis.Redis) -> None:
    """An instrument left the subscription a day ago."""
    CandleStore(client, Keys(), 10_000, 1_000).remove_live(["NSE:EXPIRED"], ["1m"])


def look_at_a_left_shard(client: redis.Redis) -> None:
    """CONNECTIONS was lowered."""
    assert LeftShards(client, Keys(), UNUSED_SHARD).fields(0.0)["left_shards"].startswith(f"{UNUSED_SHARD}:")


def own_a_shard_first(client: redis.Redis) -> None:
    """Of a Redis that knows no script yet."""
    assert Lease(client, Keys(), SIGNAL_WORKER, UNUSED_SHARD, "first", 0.1).renew()


def store_everything_after_the_session(client: redis.Redis) -> None:
    """Once a day."""
    at_ms = ist_midnight_ms(date(2026, 11, 20)) + 16 * 3_600_000
    calendar, log = SessionCalendar.load(), structlog.get_logger("test")
    assert SessionSnapshot(client, calendar, lambda: [instrument(SYMBOLS[0])], lambda: at_ms, log).look()


RARE: tuple[tuple[str, Callable[[redis.Redis], None]], ...] = (
    ("connector", trim_a_large_stream),
    ("connector", store_everything_after_the_session),
    ("candle_worker", read_behind_a_dropped_mark),
    ("candle_worker", remove_an_expired_contract),
    ("candle_worker", look_at_a_left_shard),
    ("signal_worker", own_a_shard_first),
)


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path_factory.mktemp("needs")) as server:
        yield server


@pytest.fixture(scope="module")
def judge(valkey: ValkeyServer) -> Iterator[Judge]:
    with closing(open_redis(valkey.url)) as administrator:
        yield Judge(administrator)


@pytest.fixture(scope="module")
def needs(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> RecordedNeeds:
    directory = tmp_path_factory.mktemp("session")
    with Recording(valkey) as recording, closing(open_redis(valkey.url)) as administrator:
        play_the_connector(directory / "connector", recording)
        administrator.flushall()
        play_the_workers(directory, recording, valkey, administrator)
        for user, act in RARE:
            administrator.script_flush()
            with closing(open_redis(recording.url_of(user))) as client:
                act(client)
        for user in ROLES:
            ask_the_doctor(directory / f"doctor-{user}", recording.url_of(user))
        with closing(open_redis(recording.url_of("reader"))) as client:
            read_what_the_readme_names(client)
    recorded = recording.needs()
    # The demo and the replay run all three processes as one user, each under its prefix.
    of_all = reduce(or_, (recorded[user] for user in ROLES))
    recorded["connector"] |= Needs(commands={"bgsave"})  # done above; MONITOR shows no administrative command
    return {**recorded, "demo": of_all.under("demo:") | of_all.under("replay:")}


def play_the_connector(directory: Path, recording: Recording) -> None:
    with (
        FakeBroker([stock(256_001, "AAA"), stock(256_257, "BBB")]) as broker,
        running_connector(directory, broker, recording) as connector,
    ):
        wait_until(lambda: bool(broker.connections and broker.connections[0].modes()), "it is subscribed")
        broker.send(b"\0\0 a frame", '{"type":"message"}', '{"type":"order","data":{}}')
        wait_until(lambda: len(connector.frames()) >= 3, "the frames are in the stream")
        wait_until(lambda: connector.redis.xlen("broker:{a}") == 1, "the order update is in the other one")
        assert connector.stop() == 0


def play_the_workers(directory: Path, recording: Recording, valkey: ValkeyServer, administrator: redis.Redis) -> None:
    """Two of each: the first dies, the second takes over and leaves in order."""
    users = {user: recording.url_of(user) for user in ROLES}
    with mongo_server(directory) as mongo:
        where = Stores(valkey.url, mongo.url, administrator, {}, users)
        with pipeline(directory, where, SETTINGS, shards=2) as scripts:
            send_a_faulty_session(administrator)
            for name in WORKERS:
                scripts.start(name)
            scripts.until_ready(*WORKERS)
            publish_closed(administrator, Keys(), [candle._replace(shard=1) for candle in DAY])
            scripts.until(lambda: administrator.xlen("signals:{b}") > 0, "a signal")
            for name in WORKERS:
                scripts.start(f"{name}-2", [f"{name}.py"])
                scripts.until(lambda name=name: len(parts(administrator, name)) == 2, f"two of {name}")  # type: ignore[misc]
                scripts.until(lambda name=name: administrator.exists(state_of(name)) > 0, "a snapshot")  # type: ignore[misc]
                scripts.kill(name)
            spoil_the_outboxes(scripts, administrator)
            for name in WORKERS:
                scripts.stop(f"{name}-2")


def state_of(worker: str) -> str:
    return {CANDLE_WORKER: "state:{a}", SIGNAL_WORKER: "signal-state:{a}"}[worker]


def parts(administrator: redis.Redis, worker: str) -> list[bytes]:
    names: Any = administrator.keys(f"health-part:{worker}:*")
    return list(names)


def send_a_faulty_session(administrator: redis.Redis) -> None:
    named: dict[Any, Any] = {who.reference.symbol: orjson.dumps(dict(who.mark)) for who in WHO}
    named |= {symbol: orjson.dumps(instrument(symbol).as_dict()) for symbol in SYMBOLS}
    administrator.hset("instruments", mapping=named)
    pipe = administrator.pipeline(transaction=False)
    for entry in random_feed(1, "09:13:00", 900):
        pipe.xadd("ticks:{a}", {entry.kind: entry.payload}, id=f"{entry.ms}-{entry.counter}")
    pipe.execute()


def spoil_the_outboxes(scripts: Scripts, administrator: redis.Redis) -> None:
    """Once all is read: what MongoDB does not take goes to archive.rejected:*."""
    scripts.drain()
    rejected = "archive.rejected:{a}"
    before = administrator.xlen(rejected)
    for stream in ("closed:{a}", "signals:{a}"):
        for fields in JUNK:
            administrator.xadd(stream, fields)
    scripts.until(lambda: administrator.xlen(rejected) == before + 4, "both archivers put two aside each")


def ask_the_doctor(directory: Path, url: str) -> None:
    """The health check of the container: it reads every report, and the streams behind the workers."""
    write_env_file(directory, {"REDIS_URL": url})
    done = subprocess.run(
        [sys.executable, str(REPO / "manage.py"), "doctor"],
        cwd=directory, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1) and "Redis does not answer" not in done.stdout, done.stdout + done.stderr


def read_what_the_readme_names(client: redis.Redis) -> None:
    keys = Keys()
    for name in (keys.tick("NSE:A"), keys.candle("NSE:A", "5m"), keys.indicators("NSE:A", "5m"), keys.instruments()):
        client.hgetall(name)
    client.smembers(keys.health_processes())
    for process in ("connector", *WORKERS):
        client.hgetall(keys.health(process))
    for stream in (keys.closed(0), keys.ticks(0), keys.signals(0), keys.rejected(0), keys.archive_rejected(0)):
        client.xread({stream: "0"})
        if client.exists(stream):
            client.xinfo_stream(stream)
    listening: Any
    with client.pubsub() as listening:  # type: ignore[no-untyped-call]
        listening.subscribe(keys.closed_channel("NSE:A", "5m"))
        listening.psubscribe("signals.*")
        listening.unsubscribe()
        listening.punsubscribe()
        for _ in range(4):  # the answer to each: what was not processed is not recorded either
            listening.get_message(timeout=10)


@pytest.mark.parametrize("user", ALL_USERS)
def test_a_role_has_the_rights_that_it_needs(judge: Judge, needs: RecordedNeeds, tmp_path: Path, user: str) -> None:
    unmet = judge.unmet(users_made(tmp_path)[user], needs[user])
    assert not unmet, f"deploy/redis/start.sh refuses {user} what it needs: {', '.join(unmet)}"


@pytest.mark.parametrize("user", ALL_USERS)
def test_a_role_has_no_other_rights(judge: Judge, needs: RecordedNeeds, tmp_path: Path, user: str) -> None:
    spare = judge.spare(users_made(tmp_path)[user], needs[user])
    assert not spare, f"deploy/redis/start.sh gives {user} more than it needs: {', '.join(spare)}"


# A pattern of PSUBSCRIBE has to stand among the rights as it is, and a reader chooses it freely.
WIDE = {user: {"+@connection"} for user in ("connector", *WORKERS)}
WIDE |= {"reader": {"+@read", "+@connection", "&*"}, "demo": {"+@all"}}


@pytest.mark.parametrize("user", ALL_USERS)
def test_a_role_has_no_right_to_whatever_comes(judge: Judge, tmp_path: Path, user: str) -> None:
    wide = judge.wide(users_made(tmp_path)[user], WIDE[user])
    assert not wide, f"deploy/redis/start.sh gives {user} rights that name no family of keys: {', '.join(wide)}"


@pytest.mark.parametrize("right", ["+@all", "+@write", "~*", "%W~*", "%RW~cand*", "&*", "&can*", "%R~c*:x"])
def test_a_wide_right_is_named(right: str) -> None:
    assert Judge.wide(["%RW~closed:*", "+script|load", right, "-@dangerous"], {"+@connection"}) == [right]


@pytest.mark.long
def test_any_right_less_is_noticed(judge: Judge, needs: RecordedNeeds, tmp_path: Path) -> None:
    """Each right that stands in the file, struck out in turn."""
    script = START.read_text()
    of_roles = script.index("\n", script.index("user default"))
    rights = [
        right
        for part in ((script.index("ours="), script.index("cat >")), (of_roles, len(script)))
        for right in RIGHT.finditer(script, *part)
    ]
    assert len(rights) > 80
    unnoticed = []
    for right in rights:
        without = users_made(tmp_path, script[: right.start()] + script[right.end() :])
        if not any(judge.unmet(without[user], needs[user]) for user in ALL_USERS):
            unnoticed.append(right[0])
    assert not unnoticed
