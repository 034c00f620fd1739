"""The outbox in a real Valkey: published twice is there once, in order, for stream readers and subscribers alike."""

from __future__ import annotations

import doctest
import random
import time
from pathlib import Path
from typing import Any

import pytest
import redis

import utils.stores.publishing
from tests.shared.servers import valkey_server
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.stores.publishing import Message, Outbox, OutboxMovedError, message_id
from utils.stores.redis_connection import open_redis
from utils.stores.redis_failure import StreamAheadError

KEYS = Keys("t:")
START_MS = 1_795_146_300_000
CHANNEL = "t:candles.closed.1m.NSE:INFY"


def own(client: redis.Redis, shard: int = 0, max_entries: int = 100_000) -> Outbox:
    return Outbox(client, KEYS, KEYS.closed(shard), shard, max_entries)


def of_signals(client: redis.Redis) -> Outbox:
    return Outbox(client, KEYS, KEYS.signals(0), 0, 100_000)


def message(ms: int, counter: int = 0, number: int = 0, channel: str = "") -> Message:
    text = f'{{"from":"{ms}-{counter}-{number}"}}'
    return Message(message_id(START_MS + ms, counter, number), text.encode(), channel)


def published(client: redis.Redis, stream: str) -> list[tuple[str, bytes]]:
    entries: Any = client.xrange(stream)
    assert all(list(fields) == [b"json"] for _, fields in entries)
    return [(entry_id.decode(), fields[b"json"]) for entry_id, fields in entries]


def test_examples_of_the_docstrings() -> None:
    assert doctest.testmod(utils.stores.publishing).failed == 0


def test_each_message_is_an_entry_under_its_own_id(client: redis.Redis) -> None:
    messages = [message(0), message(0, 0, 1), message(0, 1, 0), message(5)]
    assert own(client).publish(messages) == 4
    assert published(client, "t:closed:{a}") == [
        ("1795146300000-0", b'{"from":"0-0-0"}'),
        ("1795146300000-1", b'{"from":"0-0-1"}'),
        ("1795146300000-1048576", b'{"from":"0-1-0"}'),
        ("1795146300005-0", b'{"from":"5-0-0"}'),
    ]


def test_published_twice_is_there_once(client: redis.Redis) -> None:
    messages = [message(number) for number in range(10)]
    outbox = own(client)
    assert outbox.publish(messages) == 10
    assert outbox.publish(messages) == 0
    assert own(client).publish(messages[5:]) == 0  # another worker on the shard
    assert len(published(client, "t:closed:{a}")) == 10


def test_after_a_crash_the_rest_is_published(client: redis.Redis) -> None:
    messages = [message(number // 3, number % 3) for number in range(30)]
    own(client).publish(messages[:17])
    assert own(client).publish(messages) == 13
    assert [text for _, text in published(client, "t:closed:{a}")] == [message.json for message in messages]


def test_what_is_older_than_the_last_one_is_refused(client: redis.Redis) -> None:
    outbox = own(client)
    outbox.publish([message(10, 2, 7)])
    assert outbox.publish([message(9, 9, 9), message(10, 1, 9), message(10, 2, 6), message(10, 2, 7)]) == 0
    assert outbox.publish([message(10, 2, 8)]) == 1


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ids_rise_as_numbers_whatever_their_length(client: redis.Redis, seed: int) -> None:
    """Lua has no 64-bit integers: the ids are compared as texts, and 9 comes before 10."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    sources = {
        (
            chance.choice((1, 9, 10, 99, START_MS, START_MS + 1)),
            chance.randrange(5_000_000),
            chance.randrange(1 << 20),
        )
        for _ in range(300)
    }
    ordered = sorted(sources)
    outbox = own(client)
    for source in ordered:
        assert outbox.publish([Message(message_id(*source), b"{}")]) == 1
    for source in chance.sample(ordered[:-1], 100):
        assert outbox.publish([Message(message_id(*source), b"{}")]) == 0
    ids = [EntryId.parse(entry_id) for entry_id, _ in published(client, "t:closed:{a}")]
    assert ids == sorted(set(ids))
    assert len(ids) == len(sources)


def test_more_than_fit_in_one_call(client: redis.Redis) -> None:
    messages = [message(number) for number in range(1_234)]
    assert own(client).publish(messages) == 1_234
    assert own(client).publish(messages, at_once=100) == 0
    assert [text for _, text in published(client, "t:closed:{a}")] == [message.json for message in messages]


def test_what_is_sent_is_published_in_order_before_anybody_waits(client: redis.Redis) -> None:
    outbox, messages = own(client), [message(number) for number in range(900)]
    for start in range(0, 900, 100):
        outbox.send(messages[start : start + 100])
    assert outbox.flush() == 900
    assert outbox.flush() == 0
    assert [text for _, text in published(client, "t:closed:{a}")] == [message.json for message in messages]


def test_after_a_call_that_failed_the_one_in_flight_is_refused(client: redis.Redis) -> None:
    client.xadd("t:closed:{a}", {"json": "{}"}, id=f"{START_MS + 5}-0")  # ids up to it cannot be added any more
    outbox = own(client)
    outbox.send([message(1), message(2)])
    outbox.send([message(10), message(11)])
    with pytest.raises(StreamAheadError, match="ids above those"):
        outbox.flush()
    assert client.xlen("t:closed:{a}") == 1
    client.delete("t:closed:{a}")
    assert outbox.publish([message(number) for number in (1, 2, 10, 11)]) == 4


def test_nothing_is_published_to_a_redis_that_forgot(client: redis.Redis) -> None:
    outbox = own(client)
    outbox.publish([message(1)])
    outbox.send([message(2)])
    assert outbox.flush() == 1
    client.delete("t:closed:{a}", KEYS.published(0))
    outbox.send([message(3)])
    outbox.send([message(4)])
    with pytest.raises(OutboxMovedError):
        outbox.check()
    assert client.exists("t:closed:{a}") == 0
    outbox.forget()
    assert outbox.publish([message(number) for number in range(1, 5)]) == 4


def test_nothing_to_publish(client: redis.Redis) -> None:
    assert own(client).publish([]) == 0
    assert client.keys("*") == []


def test_subscribers_get_what_is_new_and_only_that(client: redis.Redis, redis_url: str) -> None:
    subscriber: Any = open_redis(redis_url)
    listener = subscriber.pubsub()
    listener.psubscribe("t:candles.closed.1m.*")
    assert _next_message(listener)["type"] == "psubscribe"
    outbox = own(client)
    outbox.publish(
        [message(1, channel=CHANNEL), message(2, channel="t:other"), message(3, channel=CHANNEL), message(4)]
    )
    outbox.publish([message(1, channel=CHANNEL), message(3, channel=CHANNEL), message(5, channel=CHANNEL)])
    client.publish("t:candles.closed.1m.end", b"end")
    messages = [_next_message(listener) for _ in range(4)]
    assert [(message["channel"].decode(), message["data"]) for message in messages] == [
        (CHANNEL, b'{"from":"1-0-0"}'),
        (CHANNEL, b'{"from":"3-0-0"}'),
        (CHANNEL, b'{"from":"5-0-0"}'),
        ("t:candles.closed.1m.end", b"end"),
    ]
    subscriber.close()


def _next_message(listener: Any, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        message = listener.get_message(timeout=0.05)
        if message is not None:
            return message
    raise AssertionError(f"nothing came within {seconds} s")


def test_shards_remember_apart(client: redis.Redis) -> None:
    first, second = own(client, 0), own(client, 1)
    assert first.publish([message(100), message(200)]) == 2
    assert second.publish([message(50), message(150)]) == 2  # behind the other shard, yet new
    assert first.publish([message(100), message(200), message(300)]) == 1
    assert second.publish([message(50), message(150)]) == 0
    of_first = [(f"{START_MS + ms}-0", f'{{"from":"{ms}-0-0"}}'.encode()) for ms in (100, 200, 300)]
    of_second = [(f"{START_MS + ms}-0", f'{{"from":"{ms}-0-0"}}'.encode()) for ms in (50, 150)]
    assert (published(client, "t:closed:{a}"), published(client, "t:closed:{b}")) == (of_first, of_second)


def test_streams_of_one_shard_remember_apart(client: redis.Redis) -> None:
    assert own(client).publish([message(100)]) == 1
    assert of_signals(client).publish([message(50)]) == 1
    assert client.hgetall(KEYS.published(0)) == {
        b"t:closed:{a}": b"1795146300100-0",
        b"t:signals:{a}": b"1795146300050-0",
    }


def test_the_stream_is_bounded_and_what_fell_off_stays_published(client: redis.Redis) -> None:
    outbox = own(client, max_entries=1_000)
    messages = [message(number) for number in range(5_000)]
    assert outbox.publish(messages) == 5_000
    length = client.xlen("t:closed:{a}")
    assert 1_000 <= length <= 1_200  # ~ trims whole nodes of 100 entries
    assert published(client, "t:closed:{a}")[-1][1] == messages[-1].json
    assert outbox.publish(messages) == 0


def test_any_bytes_of_json_come_through(client: redis.Redis) -> None:
    text = '{"symbol":"NSE:M&M","name":"₹ \\" \\\\ \\u0000"}'.encode()
    assert own(client).publish([Message(message_id(START_MS, 0, 0), text)]) == 1
    assert published(client, "t:closed:{a}")[0][1] == text


def test_an_error_leaves_the_rest_and_publishing_all_again_completes_it(tmp_path: Path) -> None:
    messages = [message(number) for number in range(20)]
    with valkey_server(tmp_path) as server:
        client: Any = open_redis(server.url)
        outbox = own(client)
        assert outbox.publish(messages[:8]) == 8
        client.save()
        server.kill()
        with pytest.raises(redis.RedisError):
            outbox.publish(messages)
        server.start()
        assert outbox.publish(messages) == 12
        assert [text for _, text in published(client, "t:closed:{a}")] == [message.json for message in messages]
