"""Keys that the layout before the update left in Redis: each process names them as its own user of Redis."""

from __future__ import annotations

import shlex
from contextlib import closing

import pytest
import redis

from tests.shared.servers import ValkeyServer
from utils.keys import CANDLES_COLLECTION, Keys
from utils.stores.old_layout import old_keys_sentence
from utils.stores.redis_connection import open_redis

KEYS = Keys()
COMMON = ["said", "signals", "state-counts", "ticks.rejected", "archive.rejected"]


def of_shard(shard: int) -> list[str]:
    names = ["ticks", "ticks-subscribed", "broker", "closed", "state", "signal-state"]
    leases = [f"lease:{role}:{shard}:last" for role in ("candle_worker", "signal_worker")]
    return [f"{name}:{shard}" for name in names] + leases


def command_in(sentence: str) -> list[str]:
    return shlex.split(sentence.partition("redis-cli ")[2].removesuffix("."))


@pytest.mark.parametrize("user", ["default", "connector", "candle_worker", "signal_worker"])
@pytest.mark.parametrize("shards", [[0], [0, 2]])
def test_every_user_names_them_with_the_command_that_deletes_them(
    valkey: ValkeyServer, client: redis.Redis, user: str, shards: list[int]
) -> None:
    for shard in shards:
        client.xadd(f"ticks:{shard}", {"f": b"\0"})
        client.xadd(KEYS.ticks(shard), {"f": b"\0"})
    with closing(open_redis(valkey.url_of(user))) as own:
        sentence = old_keys_sentence(own, KEYS)
    assert command_in(sentence) == ["DEL", *COMMON, *(name for shard in shards for name in of_shard(shard))]
    assert "not in MongoDB" not in sentence


def test_what_mongodb_has_not_got_is_named(valkey: ValkeyServer, client: redis.Redis) -> None:
    for number in range(1_200):
        client.xadd("closed:1", {"json": "{}"}, id=f"{5 + number}-0")
    client.xgroup_create("closed:1", CANDLES_COLLECTION, id="204-0", entries_read=200)
    client.acl_log_reset()
    for user in ("connector", "candle_worker"):
        with closing(open_redis(valkey.url_of(user))) as own:
            assert "But 1,000 candles there are not in MongoDB" in old_keys_sentence(own, KEYS)
    assert client.acl_log() == [], "no user asked what it may not"


def test_those_of_another_prefix_and_of_this_layout_are_none(client: redis.Redis) -> None:
    client.xadd("ticks:0", {"f": b"\0"})
    client.xadd("mine:ticks:{a}", {"f": b"\0"})
    client.hset("mine:published:{a}", "mine:closed:{a}", "5-0")
    assert old_keys_sentence(client, Keys("mine:")) == ""
    client.xadd("mine:closed:0", {"json": "{}"})
    assert command_in(old_keys_sentence(client, Keys("mine:")))[1:3] == ["mine:said", "mine:signals"]
