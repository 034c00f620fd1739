"""The short form of `make chaos`: one small round with a little of everything, and a proxy that keeps its word."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.proxy import Proxies
from tests.chaos.rounds import KINDS, SCHEDULES, kind_of, play
from tests.chaos.stage import Plan

SEED = 20_261_120


def test_a_short_round_holds(tmp_path: Path) -> None:
    plan = Plan(seconds=22.0, speed=60.0, instruments=10, timeframes="5s,1m,5m,1d", fewest_closed=600)
    played = play(SEED, tmp_path / "round", plan, "short")
    print(f"\n  seed {SEED}: {played.kills} kills, {played.faults}, {played.verdict}")
    assert played.differences == [], f"seed {SEED}: {played.differences}"
    killed = {name for name in played.faults if name.startswith("kill -9")}
    assert killed == {"kill -9 connect", "kill -9 candle_worker", "kill -9 signal_worker"}
    assert played.verdict.candles > 300 and played.verdict.incomplete > 0


def test_a_seed_alone_names_its_round() -> None:
    assert {kind_of(SEED + index) for index in range(len(KINDS))} == set(KINDS)
    assert set(SCHEDULES) > set(KINDS)


@contextmanager
def echo() -> Iterator[int]:
    """A server that answers every piece with itself."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_answer, args=(connection,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def _answer(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except OSError:
            return


def test_the_proxy_resets_delays_cuts_swallows_and_refuses() -> None:
    with echo() as port, Proxies() as proxies:
        proxy = proxies.open("one", port)

        def connect() -> socket.socket:
            made = socket.create_connection(("127.0.0.1", proxy.port), 60)
            made.sendall(b"hello")
            return made

        connection = connect()
        assert connection.recv(100) == b"hello"
        proxy.swallow()
        connection.sendall(b"lost")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(100)
        two = connect()
        assert two.recv(100) == b"hello"
        proxy.cut_after(4 + 2)  # four bytes up, and of those that come back two
        two.sendall(b"four")
        assert two.recv(100) == b"fo"
        with pytest.raises(ConnectionError):
            assert two.recv(100)
        three = connect()
        assert three.recv(100) == b"hello"
        proxy.reset()
        with pytest.raises(ConnectionError):
            three.recv(100)
        proxy.refuse()
        with pytest.raises(ConnectionError):
            connect().recv(100)
        proxy.heal()
        assert connect().recv(100) == b"hello"
