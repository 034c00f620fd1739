"""rediss:// against a plain server, and redis:// against one with TLS: no outage, but a sentence with the remedy."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from tests.contract.test_redis_refuses import doctor, ends_with, script, valkey_with
from tests.contract.test_tls import Authority
from tests.shared.servers import ValkeyServer, free_port
from utils.runtime.lifecycle import EXIT_BAD_SETTINGS
from utils.stores.redis_connection import RedisError, open_redis
from utils.stores.redis_failure import failure_of
from utils.stores.redis_server import read_info

pytestmark = pytest.mark.own_valkey
PLAIN = "The server at REDIS_URL speaks no TLS: let it begin with redis:// (not rediss://)."
SECURE = "The server at REDIS_URL speaks TLS only: let it begin with rediss:// (not redis://)."


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[ValkeyServer]:
    with valkey_with(tmp_path) as server:
        yield server


@pytest.fixture
def secure_port(tmp_path: Path) -> Iterator[int]:
    """As a Redis with TLS: it ends a connection that begins with anything but a handshake."""
    context = Authority(tmp_path, "an-authority").server("127.0.0.1")
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listening.accept()
                    with suppress(OSError), connection, context.wrap_socket(connection, server_side=True):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def sentence_of(url: str) -> str:
    with closing(open_redis(url)) as client, pytest.raises(RedisError) as caught:
        read_info(client)
    return failure_of(caught.value).sentence


@pytest.mark.parametrize("user", ["default", "candle_worker"])
def test_a_plain_server_is_named(plain: ValkeyServer, user: str) -> None:
    assert sentence_of(plain.url_of(user).replace("redis://", "rediss://")) == PLAIN


@pytest.mark.parametrize("password", ["", ":a-password@"])
def test_a_server_with_tls_is_named(secure_port: int, password: str) -> None:
    assert sentence_of(f"redis://{password}127.0.0.1:{secure_port}/0") == SECURE


@contextmanager
def silent_server() -> Iterator[int]:
    """Takes connections, and never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield listening.getsockname()[1]


@pytest.mark.parametrize("scheme", ["redis", "rediss"])
def test_who_does_not_answer_or_is_not_there_is_an_outage(scheme: str) -> None:
    with silent_server() as port:
        assert sentence_of(f"{scheme}://127.0.0.1:{port}/0").startswith("Redis does not answer")
    assert sentence_of(f"{scheme}://127.0.0.1:{free_port()}/0").startswith("Redis does not answer")


@pytest.mark.parametrize("name", ["candle_worker", "signal_worker"])
@pytest.mark.parametrize("case", ["plain", "secure"])
def test_a_worker_ends_with_it_and_doctor_names_it(
    tmp_path: Path, plain: ValkeyServer, secure_port: int, name: str, case: str
) -> None:
    url = plain.url_of(name).replace("redis://", "rediss://")
    expected = PLAIN
    if case == "secure":
        url, expected = f"redis://127.0.0.1:{secure_port}/0", SECURE
    ends_with(tmp_path, name, url, EXIT_BAD_SETTINGS, [expected])
    assert doctor(tmp_path, "--process", name) == (1, f"PROBLEM  {expected}\n")


def test_the_connector_logs_it_and_continues(tmp_path: Path, secure_port: int) -> None:
    with script(tmp_path, "connect", f"redis://127.0.0.1:{secure_port}/0") as connector:
        connector.until_logged(SECURE)
        connector.until_logged("The journal keeps everything")
        assert connector.process.poll() is None
