"""connect.py against a broker, a Redis and a disk: what comes in is in the stream and in the journal, once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.shared.connector_process import ConnectorProcess, running_connector, wait_until
from tests.shared.fake_broker import FakeBroker, stock
from tests.shared.servers import ValkeyServer
from utils.market.clock import new_stepped_clock

AAA, BBB = 1000 * 256 + 1, 1001 * 256 + 1
ROWS = (stock(AAA, "AAA"), stock(BBB, "BBB"))
SEED = 20261120
NINE_IST_MS = 1_795_145_400_000  # 2026-11-20 09:00 IST


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with FakeBroker(ROWS) as broker:
        yield broker


@pytest.fixture
def connector(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> Iterator[ConnectorProcess]:
    # A watchdog that a machine too busy to send a heartbeat does not wake: only the silence of one test does.
    with running_connector(tmp_path / "connector", broker, valkey, WATCHDOG_SECONDS="60") as connector:
        wait_until_subscribed(broker, 1)
        yield connector


def wait_until_subscribed(broker: FakeBroker, connections: int) -> None:
    wait_until(
        lambda: len(broker.connections) >= connections and broker.connections[connections - 1].modes(),
        f"connection {connections} and its subscriptions",
    )


def some_frames(count: int, seed: int = SEED) -> list[bytes | str]:
    """Random bytes of all sizes, and now and then a text: the connector must not care."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    sizes = (2, 3, 188, 1000, 70_000)
    return [
        chance.randbytes(chance.choice(sizes)) if chance.random() < 0.9 else f'{{"type":"message","data":{number}}}'
        for number in range(count)
    ]


def wait_until_all_sent(connector: ConnectorProcess, broker: FakeBroker) -> None:
    """Stops the broker's heart, so that there is a last frame, and waits for it."""
    broker.is_frozen = True
    wait_until(lambda: len(connector.frames()) >= len(broker.sent), "the last frame in the stream")


def assert_everything_is_there_once(connector: ConnectorProcess, broker: FakeBroker) -> None:
    wait_until_all_sent(connector, broker)
    assert connector.stop() == 0
    entries = connector.entries()
    assert connector.frames() == broker.sent
    assert entries == connector.journal()
    ids = [tuple(map(int, id_.split("-"))) for id_, _, _ in entries]
    assert ids == sorted(set(ids))


def test_frames_arrive_bit_by_bit_and_in_order(connector: ConnectorProcess, broker: FakeBroker) -> None:
    broker.send(*some_frames(300))
    broker.send("[1, 2]", "5", "not json", '{"type":"error","data":"some error"}')
    assert_everything_is_there_once(connector, broker)
    assert len(broker.connections) == 1
    assert connector.mark_names() == ["down", "up", "subscribed", "down"]
    assert [mark["reason"] for mark in connector.marks() if mark["mark"] == "down"] == [
        "connector started",
        "connector stopped",
    ]


def test_each_instrument_is_subscribed_once_with_its_mode(connector: ConnectorProcess, broker: FakeBroker) -> None:
    broker.drop_all()
    wait_until_subscribed(broker, 2)
    wait_until(lambda: connector.mark_names().count("subscribed") == 2, "the mark of the second connection")
    for connection in broker.connections:
        assert connection.subscribed() == [AAA, BBB]
        assert connection.modes() == {AAA: "full", BBB: "full"}
    assert connector.mark_names() == ["down", "up", "subscribed", "down", "up", "subscribed"]
    subscribed = connector.marks()[-1]
    assert subscribed["mode"] == "full"
    assert [
        (instrument["token"], instrument["exchange"], instrument["tradingsymbol"])
        for instrument in subscribed["instruments"]
    ] == [
        (AAA, "NSE", "AAA"),
        (BBB, "NSE", "BBB"),
    ]


def test_instruments_and_health_are_in_redis(connector: ConnectorProcess, broker: FakeBroker) -> None:
    wait_until(lambda: connector.health().get("shard0_state") == "up", "a health report")
    broker.send(b"\x00\x00")
    wait_until(lambda: int(connector.health()["frames"]) > 0, "a frame in the health report")
    wait_until(lambda: connector.health()["backlog_bytes"] == "0", "no backlog")
    assert 0 < connector.redis.ttl("health:connector") <= 15
    instruments = connector.redis.hgetall("instruments")
    assert sorted(instruments) == [b"NSE:AAA", b"NSE:BBB"]


@pytest.mark.own_valkey
def test_redis_may_be_killed_and_come_back(
    connector: ConnectorProcess, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    frames = some_frames(300)
    broker.send(*frames[:100])
    wait_until(lambda: len(connector.frames()) >= 100, "the first frames")
    valkey.kill()
    broker.send(*frames[100:200])
    valkey.start()
    broker.send(*frames[200:])
    assert_everything_is_there_once(connector, broker)


@pytest.mark.own_valkey
def test_redis_may_lose_everything(
    connector: ConnectorProcess, broker: FakeBroker, valkey: ValkeyServer, tmp_path: Path
) -> None:
    frames = some_frames(200)
    broker.send(*frames[:100])
    wait_until(lambda: len(connector.frames()) >= 100, "the first frames")
    valkey.kill()
    for path in sorted((tmp_path / "redis").rglob("*.*"), reverse=True):
        if path.is_file():
            path.unlink()
    valkey.start()
    broker.send(*frames[100:])
    assert_everything_is_there_once(connector, broker)
    assert connector.redis.hlen("instruments") == 2


@pytest.mark.own_valkey
def test_redis_may_hang(connector: ConnectorProcess, broker: FakeBroker, valkey: ValkeyServer) -> None:
    assert valkey.process is not None
    frames = some_frames(200)
    broker.send(*frames[:50])
    wait_until(lambda: len(connector.frames()) >= 50, "the first frames")
    valkey.process.popen.send_signal(19)  # SIGSTOP
    broker.send(*frames[50:150])
    wait_until(lambda: "Redis is away" in connector.logged, "the time-out")
    valkey.process.popen.send_signal(18)  # SIGCONT
    broker.send(*frames[150:])
    assert_everything_is_there_once(connector, broker)


def test_a_killed_connector_goes_on_where_it_was(connector: ConnectorProcess, broker: FakeBroker) -> None:
    broker.send(*some_frames(100))
    wait_until(lambda: len(connector.frames()) >= 100, "the first frames")
    broker.is_frozen = True
    wait_until(lambda: len(connector.frames()) >= len(broker.sent), "all frames")
    connector.kill()
    before = connector.journal()
    wait_until(lambda: not broker.connections[0].is_open, "the broker to see it")
    broker.is_frozen = False
    connector.start()
    wait_until_subscribed(broker, 2)
    broker.send(*some_frames(100, SEED + 1))
    assert_everything_is_there_once(connector, broker)
    assert connector.journal()[: len(before)] == before
    assert connector.mark_names() == ["down", "up", "subscribed"] * 2 + ["down"]


def test_a_torn_journal_is_mended(connector: ConnectorProcess, broker: FakeBroker) -> None:
    broker.send(*some_frames(20))
    wait_until_all_sent(connector, broker)
    connector.kill()
    (path,) = (connector.directory / "journal").glob("*/ticks-0.journal")
    data = path.read_bytes()
    path.write_bytes(data + data[12:30])
    broker.is_frozen = False
    connector.start()
    wait_until_subscribed(broker, 2)
    assert_everything_is_there_once(connector, broker)
    assert path.read_bytes()[: len(data)] == data


def test_a_silent_socket_is_dropped(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, WATCHDOG_SECONDS="2") as connector:
        wait_until_subscribed(broker, 1)
        broker.is_frozen = True
        wait_until_subscribed(broker, 2)
        broker.is_frozen = False
        # From before the first answer to after the silence: a machine that stands still can only make it longer.
        assert broker.attempts[1] - broker.attempts[0] >= 2.0
        wait_until(lambda: connector.mark_names().count("subscribed") >= 2, "the marks")
        assert connector.mark_names()[:6] == ["down", "up", "subscribed"] * 2
        assert connector.marks()[3]["reason"] == "no frame for 2 s"
        wait_until(lambda: not broker.connections[0].is_open, "the end of the old socket")


def test_the_time_is_marked_while_nothing_comes(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    """Each second of a clock that is stepped by seconds, once."""
    broker.refuse_next.extend([503] * 10_000)
    clock = new_stepped_clock(tmp_path / "clock", NINE_IST_MS)

    def marked_seconds(connector: ConnectorProcess) -> list[int]:
        return [int(id_.split("-")[0]) // 1000 for id_, _, payload in connector.entries() if b"clock" in payload]

    with running_connector(tmp_path / "connector", broker, valkey, MARKET_CLOCK=str(clock)) as connector:
        # From here on its reason to be down stays the same, and no other mark has the second.
        wait_until(lambda: any("503" in mark.get("reason", "") for mark in connector.marks()), "the first refusal")
        for second in range(1, 9):
            clock.step_to(NINE_IST_MS + second * 1000)
            shown = NINE_IST_MS // 1000 + second
            wait_until(lambda shown=shown: marked_seconds(connector)[-1:] == [shown], "its clock mark")  # type: ignore[misc]
        seconds = marked_seconds(connector)
    assert [later - earlier for earlier, later in pairwise(seconds)] == [1] * (len(seconds) - 1)
    assert len(seconds) >= 8


def test_two_connections_are_two_shards(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, CONNECTIONS="2") as connector:
        wait_until_subscribed(broker, 2)
        broker.send(b"\x00\x01")
        wait_until(lambda: b"\x00\x01" in connector.frames(0) and b"\x00\x01" in connector.frames(1), "both frames")
        wait_until(lambda: connector.health().get("state") == "up", "both up in the health report")
        assert sorted(connection.subscribed() for connection in broker.connections) == [[AAA], [BBB]]
        symbols = [connector.marks(shard)[-1]["instruments"][0]["tradingsymbol"] for shard in (0, 1)]
        assert symbols == ["AAA", "BBB"]
        assert connector.stop() == 0
        assert [connector.entries(shard) for shard in (0, 1)] == [connector.journal(shard) for shard in (0, 1)]


def test_simulated_time_is_the_time_of_the_entries(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    clock = f"2026-11-20T09:00:00+05:30@60@{time.time()}"
    with running_connector(tmp_path / "connector", broker, valkey, MARKET_CLOCK=clock) as connector:
        wait_until_subscribed(broker, 1)
        broker.is_frozen = True
        before = len(connector.entries())
        wait_until(lambda: len(connector.entries()) > before + 20, "clock marks")
        times = [int(id_.split("-")[0]) // 1000 for id_, _, payload in connector.entries() if b"clock" in payload]
        assert connector.stop() == 0
    assert len(times) >= 20
    assert times == sorted(set(times)), "one a market second"
    assert connector.journal()
