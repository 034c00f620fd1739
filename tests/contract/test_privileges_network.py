"""From another network namespace none of what Candlewick starts can be reached: it listens on loopback only."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.simulator_process import simulator
from tests.shared.network_namespace import HERE, Namespace, network_namespace, why_not
from tests.shared.servers import mongo_server, valkey_server


@pytest.fixture
def elsewhere() -> Iterator[Namespace]:
    reason = why_not()
    if reason:
        pytest.skip(reason)
    with network_namespace() as namespace, socket.create_server((HERE, 0)) as control:
        assert namespace.reaches(control.getsockname()[1]), "what listens to all is reached: the wire works"
        yield namespace


def test_the_embedded_servers_and_the_exchange_are_for_this_machine_only(
    tmp_path: Path, elsewhere: Namespace
) -> None:
    with (
        valkey_server(tmp_path) as valkey,
        mongo_server(tmp_path) as mongo,
        simulator("--instruments", "5") as exchange,
    ):
        for port in (valkey.port, mongo.port, exchange.port):
            socket.create_connection(("127.0.0.1", port), 5).close()
            assert not elsewhere.reaches(port)
            assert not elsewhere.reaches(port, "127.0.0.1")
