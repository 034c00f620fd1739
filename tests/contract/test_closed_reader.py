"""The closed streams as the signal worker reads them, and values that it sends without waiting, on a real Valkey."""

from __future__ import annotations

import threading

import pytest
import redis

from tests.shared.closed_candles import ClosedCandle, past_and_day, publish_closed
from utils.indicators import INDICATOR_NAMES
from utils.indicators.values import IndicatorValues, LatestValues
from utils.journal.entries import ZERO_ID, EntryId
from utils.keys import Keys
from utils.stores.redis_connection import open_redis
from utils.stores.signal_store import ClosedReader, SignalStore

KEYS = Keys("t:")


@pytest.fixture(scope="module")
def day() -> list[ClosedCandle]:
    return past_and_day()[1][:400]


def test_each_shard_is_read_on_from_its_position(client: redis.Redis, day: list[ClosedCandle]) -> None:
    publish_closed(client, KEYS, day)
    reader, positions = ClosedReader(client, KEYS), {0: ZERO_ID, 1: ZERO_ID, 2: ZERO_ID}
    seen: dict[int, list[ClosedCandle]] = {0: [], 1: []}
    while found := reader.read(positions, 7):
        for shard, read in found.items():
            assert not read.is_cut_off
            assert len(read.entries) <= 7
            positions[shard] = read.entries[-1].id
            seen[shard] += [
                ClosedCandle(shard, str(entry.id), entry.candle) for entry in read.entries if entry.candle
            ]
    for shard, entries in seen.items():
        assert entries == [entry for entry in day if entry.shard == shard]


def test_it_waits_for_the_first_entry(client: redis.Redis, redis_url: str, day: list[ClosedCandle]) -> None:
    reader = ClosedReader(client, KEYS)
    assert reader.read({0: ZERO_ID}, 10, block_ms=1) == {}
    later = threading.Thread(target=lambda: publish_closed(open_redis(redis_url), KEYS, day[:1]))
    later.start()
    shard = day[0].shard
    assert [str(entry.id) for entry in reader.read({shard: ZERO_ID}, 10, block_ms=4_000)[shard].entries] == [
        day[0].entry_id
    ]
    later.join()


def test_a_stream_that_was_cut_behind_the_position_logs_it(client: redis.Redis) -> None:
    for index in range(1, 11):
        client.xadd(KEYS.closed(0), {"json": "{}"}, id=f"{index}-0")
    reader = ClosedReader(client, KEYS)
    client.xtrim(KEYS.closed(0), minid="5-0", approximate=False)
    assert reader.read({0: EntryId(3, 0)}, 1)[0].is_cut_off
    assert not reader.read({0: EntryId(5, 0)}, 1)[0].is_cut_off
    assert not reader.read({0: EntryId(9, 0)}, 1)[0].is_cut_off


@pytest.mark.parametrize(
    "fields",
    [{"a": "json"}, {"json": "{}"}, {"json": "no"}, {"other": "x", "json": "[]"}, {"json": "null", "b": "c"}],
)
def test_what_is_no_candle_is_an_entry_without_one(client: redis.Redis, fields: dict[str, str]) -> None:
    client.xadd(KEYS.closed(0), fields, id="1-0")  # type: ignore[arg-type]  # its dict is invariant
    ((entry,),) = (read.entries for read in ClosedReader(client, KEYS).read({0: ZERO_ID}, 5).values())
    assert (entry.id, entry.candle) == (EntryId(1, 0), None)


def test_a_take_over_leaves_the_values_of_other_shards_under_way(client: redis.Redis, redis_url: str) -> None:
    store = SignalStore(open_redis(redis_url), KEYS, 2, 1_000)
    store.write_values(0, [], EntryId(1, 0))
    values = IndicatorValues(*(1.5 for _ in INDICATOR_NAMES))
    latest = [LatestValues(f"NSE:S{index}", "1m", 60_000, values) for index in range(100)]
    client.client_pause(300, all=False)  # so long nothing of it is done
    store.write_values(0, latest, EntryId(1, 0))
    store.load_snapshot(1)
    store.save_snapshot(0, b"behind the values")
    assert all(client.hget(KEYS.indicators(latest_values.symbol, "1m"), "t") == b"60000" for latest_values in latest)
