"""Readers that ask and never read: Redis drops them, by the limits of redis.conf, and the others continue."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from tests.shared.servers import valkey_server
from utils.keys import Keys
from utils.stores.publishing import Message, Outbox, message_id
from utils.stores.redis_connection import open_redis

DEADLINE_SECONDS = 60.0
JSON = b'{"candle":"' + b"x" * 2_000 + b'"}'  # some three times a real one


@pytest.fixture
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        client = open_redis(server.url)
        yield client
        client.close()


def deaf_reader(client: redis.Redis, words: bytes) -> socket.socket:
    """A connection that sends something and reads nothing of the answer."""
    url = client.connection_pool.connection_kwargs
    deaf = socket.socket()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(("127.0.0.1", int(url["port"])))
    login = f"AUTH {url['username']} {url['password']}\r\nCLIENT SETNAME deaf\r\n"
    deaf.sendall(login.encode() + words)
    return deaf


def is_connected(client: redis.Redis) -> bool:
    listed: Any = client.client_list()
    return any(instrument["name"] == "deaf" for instrument in listed)


def until(condition: Callable[[], bool], act: Callable[[], None]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s"
        act()


def test_a_subscriber_that_never_reads_is_dropped_and_nothing_is_unpublished(client: redis.Redis) -> None:
    outbox = Outbox(client, Keys(), "closed:{a}", 0, 100_000)
    sent = 0

    def publish_some() -> None:
        nonlocal sent
        part = [Message(message_id(1_000 + sent + n, 0, 0), JSON, "candles.closed.1m.X") for n in range(500)]
        sent += outbox.publish(part)

    with deaf_reader(client, b"PSUBSCRIBE candles.*\r\n"):
        until(lambda: int(client.pubsub_numpat()) == 1, lambda: time.sleep(0.01))
        until(lambda: int(client.pubsub_numpat()) == 0, publish_some)
        assert not is_connected(client)
    publish_some()
    assert client.xlen("closed:{a}") == sent > 100


def test_a_client_that_asks_for_everything_and_never_reads_is_let_go(client: redis.Redis) -> None:
    for n in range(500):
        client.xadd("closed:{a}", {"json": JSON * 10}, id=f"{1_000 + n}-0")
    asked = b"XRANGE closed:{a} - +\r\n" * 40  # 400 MB of answers
    with deaf_reader(client, asked):
        until(lambda: not is_connected(client) and client.xlen("closed:{a}") == 500, lambda: time.sleep(0.01))
    assert int(client.info("memory")["used_memory"]) < 100_000_000
    assert client.xadd("closed:{a}", {"json": JSON}, id="9000-0") == b"9000-0"
