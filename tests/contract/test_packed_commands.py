"""Packed commands against a real Valkey: what redis-py would have written is there, and no error goes unseen."""

from __future__ import annotations

import random
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import redis

from utils.stores.redis_connection import SENT_AT_ONCE, OwnConnection, open_redis, pack, send_packed


def hashes(client: redis.Redis) -> dict[bytes, Any]:
    names: Any = client.keys("*")
    return {name: client.hgetall(name) for name in names}


def words(fields: dict[str, Any]) -> list[Any]:
    return [part for pair in fields.items() for part in pair]


def test_writes_what_redis_py_writes(client: redis.Redis) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    made = {
        f"h{n}": {
            f"f{k}": dice.choice([dice.random() * 1e6, dice.randrange(1 << 62), "é☃", b"\r\n\x00", ""])
            for k in range(9)
        }
        for n in range(2 * SENT_AT_ONCE + 3)
    }
    for name, fields in made.items():
        client.hset(name, mapping=fields)  # type: ignore[arg-type]
    expected = hashes(client)
    client.flushall()
    send_packed(
        client,
        [pack("HSET", name, *words(fields)) for name, fields in made.items()],
    )
    assert len(expected) == len(made)
    assert hashes(client) == expected


def test_order_is_kept_and_nothing_is_sent_for_nothing(client: redis.Redis) -> None:
    send_packed(client, [])
    send_packed(client, [pack("HSET", "h", "a", n, "b", n) for n in range(5_000)] + [pack("HDEL", "h", "a")])
    assert client.hgetall("h") == {b"b": b"4999"}


@pytest.mark.parametrize("wrong", [0, 1, 700, 2_999])
def test_an_error_reply_is_raised_after_all_were_read(client: redis.Redis, wrong: int) -> None:
    client.set("text", "no hash")
    commands = [pack("HSET", f"h{n}", "a", n) for n in range(3_000)]
    commands[wrong] = pack("HSET", "text", "a", 1)
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        send_packed(client, commands)
    assert client.ping() is True
    sent = 3_000 if wrong >= SENT_AT_ONCE else SENT_AT_ONCE
    assert len(client.keys("h*")) == sent - 1


def test_the_first_of_several_errors_is_raised(client: redis.Redis) -> None:
    client.set("text", "no hash")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        send_packed(client, [pack("HSET", "text", "a", 1), pack("HSET", "h"), pack("NOSUCH")])
    with pytest.raises(redis.ResponseError, match="wrong number"):
        send_packed(client, [pack("HSET", "h"), pack("HSET", "text", "a", 1)])


def test_a_killed_connection_is_an_error_and_the_client_goes_on(client: redis.Redis, redis_url: str) -> None:
    other, own = open_redis(redis_url), OwnConnection(client)
    own.ask([("CLIENT", "SETNAME", "victim")])
    own.settle()
    clients: Any = other.client_list()
    other.client_kill_filter(
        _id=next(redis_client["id"] for redis_client in clients if redis_client["name"] == "victim")
    )
    with pytest.raises(redis.ConnectionError):
        own.ask([("HSET", "h", "a", 1)])
        own.settle()
    assert client.ping() is True
    own.ask([("HSET", "h", "a", 2)])
    assert own.replies() == [1]
    other.close()


def test_a_new_connection_has_another_socket(client: redis.Redis) -> None:
    own = OwnConnection(client)
    first = own.socket
    own.ask([("PING",)])
    own.settle()
    assert own.socket is first
    own.forget()
    assert own.socket is not None
    assert own.socket is not first


def test_replies_come_in_the_order_of_what_was_asked(client: redis.Redis) -> None:
    own = OwnConnection(client)
    own.ask([("INCR", "n"), ("INCR", "n")])
    own.send(pack("INCR", "n") + pack("GET", "n"), 2)
    assert own.reply() == 1
    assert own.replies() == [2, 3, b"3"]
    assert own.replies() == []


def test_nobody_gets_the_replies_that_were_forgotten(client: redis.Redis) -> None:
    own = OwnConnection(client)
    own.ask([("SET", "k", "1"), ("GET", "k")])
    own.forget()
    own.ask([("PING",)])
    assert own.replies() == [b"PONG"]
    own.ask([("GET", "k")])
    own.give_back()
    assert client.ping() is True


def test_after_an_error_reply_the_others_are_read_by_settle(client: redis.Redis) -> None:
    client.set("text", "no hash")
    own = OwnConnection(client)
    socket_before = own.socket
    own.ask([("HSET", "text", "a", n) for n in range(3)] + [("SET", "k", "1")])
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        own.settle()
    own.ask([("GET", "k")])
    assert own.replies() == [b"1"]
    assert own.socket is socket_before


def serve_once(listener: socket.socket, answer: bytes) -> None:
    """A server that answers this to the first command, and hangs up."""
    link, _ = listener.accept()
    with link:
        link.recv(1 << 16)
        link.sendall(answer)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b":1\r\n:1\r", "closed by server"),
        (b":1\r\n-ERR no\r\n:", "closed by server"),
        (b":1\r\n?what\r\n:1\r\n", "Protocol error"),
    ],
)
def test_replies_that_break_off(answer: bytes, error: str, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve_once, args=(listener, answer))
        thread.start()
        client = redis.Redis(unix_socket_path=path, protocol=2, socket_timeout=5, driver_info=None)
        own = OwnConnection(client)
        own.send(b"".join(pack("HSET", "h", "a", n) for n in range(3)), 3)
        with pytest.raises(redis.RedisError, match=error):
            own.settle()
        assert own.replies() == [], "replies of the broken connection are still awaited"
        thread.join()
        client.close()
