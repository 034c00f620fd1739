"""What one script, transaction or command touches lies in one slot: a server in cluster mode takes all of it.

One node with all slots refuses keys of different slots (CROSSSLOT) as a cluster of many does. Candlewick does not
support cluster mode yet. What cannot lie in one slot is named at the end, so that it is not forgotten then.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import orjson
import pytest
import redis

from commands.replay.backlog import stream_backlogs
from commands.shared.embedded.server import running
from tests.contract.test_redis_refuses import OtherValkey, wait_until
from tests.contract.test_unawaited_writes import worked_engine
from utils.candles.engine_output import RejectedPacket
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind, Topic, subscribed_mark
from utils.keys import Keys
from utils.market.instruments import Instrument, SessionClass
from utils.runtime.lifecycle import StopRequest
from utils.stores.archive import StreamArchiver
from utils.stores.candle_store import CandleStore
from utils.stores.guarded_writes import GuardedWrites
from utils.stores.health import HealthReport, read_health
from utils.stores.leases import Lease, Workers
from utils.stores.left_shards import LeftShards
from utils.stores.old_layout import old_keys_sentence
from utils.stores.publishing import Message, Outbox
from utils.stores.redis_connection import open_redis, pack
from utils.stores.signal_store import SignalStore
from utils.stores.tick_stream import TickStream

pytestmark = pytest.mark.own_valkey
KEYS, SHARDS = Keys(), (0, 1, 2)
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
MARK = Entry(EntryId(1_795_146_300_000, 0), Kind.MARK, subscribed_mark("full", [INFY]))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    server = OtherValkey(tmp_path_factory.mktemp("cluster"), "--cluster-enabled", "yes")
    with running(server), closing(open_redis(server.url)) as client:
        client.cluster("ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: takes_keys(client))
        yield client


def takes_keys(client: redis.Redis) -> bool:
    """Not before the cluster has found itself complete."""
    try:
        return client.exists("a") == 0
    except redis.exceptions.ClusterDownError:
        return False


@pytest.mark.parametrize("shard", SHARDS)
def test_the_connector_stays_in_the_slot_of_a_shard(client: redis.Redis, shard: int) -> None:
    stream = TickStream(client, KEYS)
    for topic in (Topic.TICKS, Topic.BROKER):
        stream.add(shard, [MARK], ZERO_ID, topic)
        assert stream.last_id(shard, topic) == MARK.id
        stream.trim_older(shard, 0, topic)
        stream.trim_to_bytes(shard, 10, topic)
    assert client.hget(KEYS.ticks_subscribed(shard), "mark") == MARK.payload
    stream.store_instruments([INFY])


@pytest.mark.parametrize("shard", SHARDS)
def test_the_candle_worker_stays_in_the_slot_of_a_shard(client: redis.Redis, shard: int) -> None:
    _, closed = worked_engine()
    store = CandleStore(client, KEYS, 10_000, 1_000)
    assert store.load_state(shard) is None
    store.read_ticks({shard: ZERO_ID}, 1, 10)
    store.publish_closed(shard, closed)
    rejected = RejectedPacket(MARK.id, 0, "token", 1, "", b"x")
    assert store.publish_rejected(shard, [rejected]) == 1
    store.save_state(shard, b"a snapshot")
    store.end_source(shard, str(MARK.id))
    store.remove_live(["NSE:A", "NSE:B"], ["1m", "5m"])
    store.remove_timeframes(["NSE:A", "NSE:B"], ["1m", "5m"])
    assert store.load_state(shard) == b"a snapshot"
    assert client.xlen(KEYS.closed(shard)) == sum(map(len, closed))


@pytest.mark.parametrize("shard", SHARDS)
def test_the_signal_worker_stays_in_the_slot_of_a_shard(client: redis.Redis, shard: int) -> None:
    store = SignalStore(client, KEYS, len(SHARDS), 1_000)
    assert Outbox(client, KEYS, KEYS.signals(shard), shard, 10).publish([Message("5-1", b"{}", "signals.1m.X")]) == 1
    store.load_snapshot(shard)
    store.read_closed({shard: ZERO_ID}, 10, 1)
    store.closed_after({shard: ZERO_ID}, 10)
    store.closed_until({shard: store.last_id(shard)}, 10)
    store.save_snapshot(shard, b"a snapshot")
    store.remove_values(["NSE:A", "NSE:B"], ["1m", "5m"])


@pytest.mark.parametrize("shard", SHARDS)
def test_an_archiver_stays_in_the_slot_of_a_shard(client: redis.Redis, shard: int) -> None:
    stop = StopRequest()
    client.xadd(KEYS.signals(shard), {"json": orjson.dumps({"_id": "a"})})
    client.xadd(KEYS.signals(shard), {"json": b"no document"})
    archiver = StreamArchiver(
        client, KEYS.signals(shard), "signals", lambda written: [], KEYS.archive_rejected(shard), 10
    )
    thread = threading.Thread(target=archiver.run, args=(stop,))
    thread.start()
    while archiver.health.backlog != 0 and not archiver.health.error:
        stop.wait(0.01)
    stop.request()
    thread.join()
    assert (archiver.health.error, archiver.health.rejected > 0) == ("", True)


def test_what_is_of_no_shard_has_one_key_each(client: redis.Redis) -> None:
    assert HealthReport(client, KEYS, "candle_worker", 15).write({"a": "b"})
    assert read_health(client, KEYS) == {"candle_worker": {"a": "b"}}
    assert Workers(client, KEYS, "candle_worker", "one", 3.0).sign_in() == ["one"]
    assert Lease(client, KEYS, "candle_worker", 0, "one", 3.0).renew()
    assert LeftShards(client, KEYS, 1).fields(0.0)["left_shards"].startswith("1:0:")
    assert old_keys_sentence(client, KEYS) == ""
    assert len(stream_backlogs(client, [*map(KEYS.closed, SHARDS), *map(KEYS.signals, SHARDS)])) == 2 * len(SHARDS)


def test_what_a_cluster_would_refuse(client: redis.Redis) -> None:
    """A hash is named by its instrument alone, and one wait is for all shards: these need another form there."""
    written = GuardedWrites(client, KEYS.written("candle_worker", 0))
    assert written.write(pack("HSET", KEYS.candle("NSE:A", "1m"), "close", "1"), 1, MARK.id)
    with pytest.raises(redis.exceptions.ClusterCrossSlotError):
        written.settle()
    with pytest.raises(redis.exceptions.ClusterCrossSlotError):
        CandleStore(client, KEYS, 10, 10).read_ticks(dict.fromkeys(SHARDS, ZERO_ID), 1, 10)
