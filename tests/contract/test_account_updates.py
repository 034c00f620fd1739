"""What the broker publishes about the account goes, once, where `reader` cannot read it; candles do not notice."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from redis.exceptions import NoPermissionError

from tests.shared.connector_process import ROOT, ConnectorProcess, running_connector, wait_until
from tests.shared.fake_broker import FakeBroker, stock
from tests.shared.servers import ValkeyServer
from utils.connector.account_updates import REMEMBERED, AccountUpdates, is_of_account
from utils.connector.recorder import TickRecorder
from utils.journal.entries import Topic
from utils.journal.files import journal_path
from utils.journal.keeper import JournalKeeper
from utils.journal.writer import read_journal
from utils.keys import Keys
from utils.market.ist import ist_date
from utils.stores.redis_connection import open_redis

ORDER = '{"type":"order","id":"","data":{"order_id":"1234","status":"COMPLETE","average_price":412.5}}'
OTHER_ORDER = ORDER.replace("1234", "5678")
UNKNOWN = '{"type":"holdings","data":{"quantity":10}}'
TOKENS = {"AAA": 256_001, "BBB": 256_257}
NINE_IST_MS = 1_795_145_400_000  # 2026-11-20 09:00 IST
DAY_MS = 86_400_000


def updates(client: Any, shard: int = 0) -> list[tuple[bytes, str]]:
    """(kind, text) of the account's stream."""
    return [
        next((kind, text.decode()) for kind, text in fields.items())
        for _, fields in client.xrange(Keys().broker(shard))
    ]


def everything_else_in(client: Any) -> str:
    """All that is written under other names."""
    reads = {b"stream": client.xrange, b"hash": client.hgetall, b"set": client.smembers}
    return "".join(str(reads[client.type(name)](name)) for name in client.keys("[^b]*"))


def is_subscribed(broker: FakeBroker, connections: int) -> bool:
    return len(broker.connections) >= connections and all(connection.modes() for connection in broker.connections)


@pytest.mark.parametrize("connections", [1, 2])
def test_an_order_update_is_recorded_once(tmp_path: Path, valkey: ValkeyServer, connections: int) -> None:
    with (
        FakeBroker([stock(token, name) for name, token in TOKENS.items()]) as broker,
        running_connector(tmp_path / "c", broker, valkey, CONNECTIONS=str(connections)) as connector,
    ):
        wait_until(lambda: is_subscribed(broker, connections), "subscribed")
        broker.send(ORDER, '{"type":"message","data":"a notice"}', UNKNOWN, OTHER_ORDER, struct.pack(">H", 7))
        for shard in range(connections):
            wait_until(lambda shard=shard: b"\0\7" in connector.frames(shard), "the last frame")  # type: ignore[misc]
        wait_until(lambda: connector.redis.xlen("broker:{a}") >= 3, "the account's updates")
        assert connector.stop() == 0
        expected = [ORDER, UNKNOWN, OTHER_ORDER]
        assert updates(connector.redis) == [(b"t", text) for text in expected]
        assert recorded(connector) == expected
        for shard in range(connections):
            shown = [frame for frame in connector.frames(shard) if frame != b"\0"]
            assert shown == ['{"type":"message","data":"a notice"}', b"\0\7"], "its own texts, and no account's"
            assert len(connector.frames(shard)) >= 5, "a heartbeat in the place of each"
        assert "order" not in everything_else_in(connector.redis)


def recorded(connector: ConnectorProcess) -> list[str]:
    directory = connector.directory / "journal"
    paths = sorted(directory.glob("*/broker-0.journal"))
    return [entry.payload.decode() for path in paths for entry in read_journal(path)]


@pytest.mark.own_valkey
def test_a_kill_and_a_redis_that_lost_all_lose_no_update(tmp_path: Path, valkey: ValkeyServer) -> None:
    with (
        FakeBroker([stock(token, name) for name, token in TOKENS.items()]) as broker,
        running_connector(tmp_path / "c", broker, valkey) as connector,
    ):
        wait_until(lambda: is_subscribed(broker, 1), "subscribed")
        broker.send(ORDER)
        wait_until(lambda: len(updates(connector.redis)) == 1, "the first")
        connector.kill()
        connector.redis.flushall()
        connector.start()
        wait_until(lambda: len(broker.connections) == 2 and bool(broker.connections[1].modes()), "subscribed again")
        broker.send(OTHER_ORDER)
        wait_until(lambda: len(updates(connector.redis)) == 2, "both")
        assert connector.stop() == 0
        assert "not everything was sent" not in connector.logged
        assert [text for _, text in updates(connector.redis)] == [ORDER, OTHER_ORDER] == recorded(connector)


def run_doctor(connector: ConnectorProcess) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "doctor", "--process", "connector"],
        cwd=connector.directory, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout


def allow(administrator: Any, patterns: list[str]) -> None:
    """Keys of the connector, and no others."""
    administrator.execute_command("ACL", "SETUSER", "connector", "resetkeys", *patterns)


@pytest.mark.own_valkey
@pytest.mark.parametrize("refusal", ["no right", "another type", "only reading"])
def test_what_redis_refuses_of_them_stops_no_ticks(tmp_path: Path, valkey: ValkeyServer, refusal: str) -> None:
    """They wait in their journal, which is logged once, and come when Redis takes them."""
    with (
        closing(open_redis(valkey.url)) as administrator,
        FakeBroker([stock(token, name) for name, token in TOKENS.items()]) as broker,
    ):
        rights: Any = administrator.acl_getuser("connector")
        if refusal == "another type":
            administrator.rpush("broker:{a}", "of somebody else")
        else:
            others = [key for key in rights["keys"] if "broker" not in key]
            readable = ["%R~broker:*"] if refusal == "only reading" else []
            allow(administrator, [*others, *readable])
        with running_connector(tmp_path / "c", broker, valkey) as connector:
            wait_until(lambda: is_subscribed(broker, 1), "subscribed")
            broker.send(ORDER)
            for number in range(20):
                broker.send(bytes([0, number]))
            wait_until(lambda: b"\0\x13" in connector.frames(), "the ticks")
            wait_until(lambda: "broker:{a}" in connector.health().get("redis_fault", ""), "the report names it")
            code, logged = run_doctor(connector)
            assert code == 1 and "Until then broker:{a} waits, and all else continues." in logged, logged
            if refusal == "another type":
                administrator.delete("broker:{a}")
            else:
                allow(administrator, rights["keys"])
            wait_until(lambda: [text for _, text in updates(administrator)] == [ORDER], "the update")
            wait_until(lambda: connector.health().get("redis_fault") == "", "all is well")
            assert connector.logged.count("then broker:{a} waits") == 1


def test_a_journal_of_them_that_cannot_be_read_stops_no_ticks(tmp_path: Path, valkey: ValkeyServer) -> None:
    with (
        FakeBroker([stock(token, name) for name, token in TOKENS.items()]) as broker,
        running_connector(tmp_path / "c", broker, valkey) as connector,
    ):
        wait_until(lambda: is_subscribed(broker, 1), "subscribed")
        broker.send(ORDER)
        wait_until(lambda: len(updates(connector.redis)) == 1, "the first")
        assert connector.stop() == 0
        now_ms = time.time_ns() // 1_000_000
        foreign = connector.directory / "journal" / ist_date(now_ms - DAY_MS).isoformat() / "broker-0.journal"
        foreign.parent.mkdir()
        foreign.write_bytes(b"this is no journal at all")
        connector.redis.delete("broker:{a}")
        connector.redis.xadd("broker:{a}", {"t": "of the day before"}, id=f"{now_ms - 2 * DAY_MS}-0")
        connector.start()
        wait_until(lambda: len(broker.connections) == 2 and bool(broker.connections[1].modes()), "subscribed again")
        broker.send(b"\0\7")
        wait_until(lambda: b"\0\7" in connector.frames(), "the ticks")
        unread = "The account's journal cannot be read (broker-0.journal"
        wait_until(lambda: unread in connector.health().get("redis_fault", ""), "the report names it")
        code, logged = run_doctor(connector)
        assert code == 1 and unread in logged, logged


def test_a_reader_cannot_read_them(valkey: ValkeyServer) -> None:
    with closing(open_redis(valkey.url)) as administrator, closing(open_redis(valkey.url_of("reader"))) as reader:
        administrator.xadd("broker:{a}", {"t": ORDER})
        reads: tuple[Callable[[], object], ...] = (
            lambda: reader.xread({"broker:{a}": "0"}),
            lambda: reader.xrange("broker:{a}"),
            lambda: reader.xinfo_stream("broker:{a}"),
            lambda: reader.dump("broker:{a}"),
        )
        for read in reads:
            with pytest.raises(NoPermissionError):
                read()


def recorder(directory: Path, now_ms: Callable[[], int], topic: Topic) -> TickRecorder:
    return TickRecorder(directory, 0, now_ms, lambda: None, structlog.get_logger("test"), topic=topic)


def test_every_socket_has_it_and_it_counts_once(tmp_path: Path) -> None:
    account = recorder(tmp_path, lambda: NINE_IST_MS, Topic.BROKER)
    found = AccountUpdates(account)
    for shard, payload in ((0, b"a"), (1, b"b"), (1, b"a"), (2, b"a"), (2, b"b"), (0, b"b"), (0, b"a"), (2, b"a")):
        found.record(shard, payload)
    path = journal_path(tmp_path, ist_date(NINE_IST_MS), 0, Topic.BROKER)
    assert path is not None
    assert [entry.payload for entry in read_journal(path)] == [b"a", b"b", b"a"], "the same again is another update"


def test_what_is_remembered_of_updates_has_an_end(tmp_path: Path) -> None:
    found = AccountUpdates(recorder(tmp_path, lambda: NINE_IST_MS, Topic.BROKER))
    for number in range(3 * REMEMBERED):
        found.record(0, str(number).encode())
    assert len(found._received) == REMEMBERED


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (ORDER, True), (UNKNOWN, True), ('{"type":7}', True), ('{"type":null,"data":{}}', True),
        ('{"type":["order"]}', True), ('{"type":{"order":1}}', True),
        ('{"type":"error","data":"quota"}', False), ('{"type":"message"}', False),
        ("not json", False), ("[1, 2]", False), ("5", False), ("{}", False), ("", False), ("[" * 5_000, False),
    ],
)  # fmt: skip
def test_only_error_and_message_are_known_to_be_of_nobody(payload: str, expected: bool) -> None:
    assert is_of_account(payload.encode()) is expected


def test_days_without_an_update_are_compressed_and_dropped_all_the_same(tmp_path: Path) -> None:
    """The account's journal may rest for weeks; the ticks' files must not wait for it."""
    now_ms = NINE_IST_MS
    ticks, account = (recorder(tmp_path, lambda: now_ms, topic) for topic in (Topic.TICKS, Topic.BROKER))
    keeper = JournalKeeper(tmp_path, [ticks, account], 0, 2, lambda: now_ms, structlog.get_logger("test"))
    account.frame(ORDER.encode(), is_binary=False)
    for _ in range(3):
        ticks.frame(b"\0", is_binary=True)
        now_ms += DAY_MS
    ticks.frame(b"\0", is_binary=True)
    keeper._clean(keeper._first_unfinished_day())
    names = sorted(os.path.relpath(path, tmp_path) for path in tmp_path.glob("*/*"))
    days = [ist_date(NINE_IST_MS) + timedelta(days=n) for n in range(4)]
    assert names == [f"{days[1]}/ticks-0.journal.zst", f"{days[2]}/ticks-0.journal.zst", f"{days[3]}/ticks-0.journal"]
    account.frame(ORDER.encode(), is_binary=False)
    assert journal_path(tmp_path, days[3], 0, Topic.BROKER) is not None
