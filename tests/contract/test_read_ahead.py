"""Reading ahead of the work: whatever happens to a reply that is under way, each entry comes once, and in order."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest
import redis

from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.keys import Keys
from utils.stores.candle_store import CandleStore
from utils.stores.redis_connection import RedisError, open_redis

START = 1_700_000_000_000
MOST = 8
SHARDS = (0, 1, 2)
DEADLINE_SECONDS = 30.0


@pytest.fixture
def store(redis_url: str) -> Iterator[CandleStore]:
    """With a client of its own, whose connections can be cut."""
    own = open_redis(redis_url)
    yield CandleStore(own, Keys(), 10_000, 1_000)
    own.close()


def entries(first: int, last: int) -> list[Entry]:
    return [Entry(EntryId(START + n, 0), Kind.FRAME, b"%d" % n) for n in range(first, last)]


def add(client: redis.Redis, shard: int, some: Sequence[Entry]) -> None:
    pipeline = client.pipeline(transaction=False)
    for entry in some:
        pipeline.xadd(Keys().ticks(shard), {b"f": entry.payload}, id=str(entry.id))
    pipeline.execute()


def transactions(client: redis.Redis) -> int:
    """How many reads were asked for: each is one transaction."""
    stats: Any = client.info("commandstats")
    return int(stats.get("cmdstat_exec", {"calls": 0})["calls"])


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:.0f} s: {what}"
        time.sleep(0.002)


def cut(client: redis.Redis) -> None:
    """Every connection but the one that asks for it is closed by the server."""
    client.client_kill_filter(_type="normal", skipme=True)


def first_batch(client: redis.Redis, store: CandleStore, shard: int = 0, count: int = 40) -> list[Entry]:
    """Of `count` entries, and the next one is under way when this returns."""
    add(client, shard, entries(0, count))
    before = transactions(client)
    ((of, found),) = store.read_ticks({shard: ZERO_ID}, 1, MOST)
    assert (of, found) == (shard, entries(0, MOST))
    until(lambda: transactions(client) == before + 2, "the next batch is asked for")
    return found


def rest(store: CandleStore, position: EntryId, shard: int = 0) -> list[Entry]:
    found: list[Entry] = []
    while batch := store.read_ticks({shard: position}, 1, MOST):
        found += dict(batch)[shard]
        position = found[-1].id
    return found


def test_the_next_batch_is_asked_for_before_this_one_is_given_out(client: redis.Redis, store: CandleStore) -> None:
    found = first_batch(client, store)
    assert store.is_behind
    assert rest(store, found[-1].id) == entries(MOST, 40)
    assert not store.is_behind


def test_a_reader_that_is_up_to_date_asks_once_for_each_wake(client: redis.Redis, store: CandleStore) -> None:
    add(client, 0, entries(0, 3))
    assert store.read_ticks({0: ZERO_ID}, 1, MOST) == [(0, entries(0, 3))]
    before = transactions(client)
    for n in range(3, 8):
        add(client, 0, entries(n, n + 1))
        assert store.read_ticks({0: EntryId(START + n - 1, 0)}, 1, MOST) == [(0, entries(n, n + 1))]
    assert transactions(client) == before + 5


def test_whoever_waits_is_woken_by_an_entry(client: redis.Redis, store: CandleStore) -> None:
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.extend(store.read_ticks({0: ZERO_ID, 1: ZERO_ID}, 900, MOST)))
    waiter.start()
    until(lambda: int(client.info("clients")["blocked_clients"]) == 1, "it waits")
    add(client, 1, entries(0, 1))
    waiter.join()
    assert found == [(1, entries(0, 1))]


def test_an_empty_reply_read_ahead_is_not_the_answer(client: redis.Redis, store: CandleStore) -> None:
    """It was asked for when there was nothing more, and there is now."""
    found = first_batch(client, store, count=MOST)
    add(client, 0, entries(MOST, MOST + 2))
    assert store.read_ticks({0: found[-1].id}, 1, MOST) == [(0, entries(MOST, MOST + 2))]


def test_a_connection_that_is_cut_under_way_loses_and_repeats_nothing(
    client: redis.Redis, store: CandleStore
) -> None:
    position = first_batch(client, store)[-1].id
    cut(client)
    found: list[Entry] = []
    try:
        found = rest(store, position)
    except RedisError:
        found = rest(store, position)
    assert found == entries(MOST, 40)


def test_recovery_throws_away_what_is_under_way(client: redis.Redis, store: CandleStore) -> None:
    """The stream was made anew meanwhile, and the position is the same: the reply is of a stream that is no more."""
    store.save_state(0, b"of the beginning")
    found = first_batch(client, store)
    store.save_state(0, b"of now")
    client.delete("ticks:{a}")
    again = [Entry(entry.id, entry.kind, b"anew") for entry in entries(0, 20)]
    add(client, 0, again)
    assert store.load_state(0) == b"of now"
    assert rest(store, found[-1].id) == again[MOST:]


def test_an_older_position_is_read_from_there(client: redis.Redis, store: CandleStore) -> None:
    first_batch(client, store)
    assert rest(store, EntryId(START + 2, 0)) == entries(3, 40)
    assert store.new_gaps() == []


def test_a_shard_that_was_given_up_publishes_nothing_more(client: redis.Redis, store: CandleStore) -> None:
    add(client, 1, entries(0, 40))
    add(client, 2, entries(0, 40))
    first = dict(store.read_ticks({1: ZERO_ID, 2: ZERO_ID}, 1, MOST))
    assert store.read_ticks({2: first[2][-1].id}, 1, MOST) == [(2, entries(MOST, 2 * MOST))]
    # Another worker took shard 1 further, and gives it back.
    client.set("state:{b}", b"of another")
    client.set("state-counts:{b}", f"{START + 29}-0 30")
    assert store.load_state(1) == b"of another"
    both: dict[int, list[Entry]] = {}
    positions = {1: EntryId(START + 29, 0), 2: EntryId(START + 2 * MOST - 1, 0)}
    while batch := store.read_ticks(positions, 1, MOST):
        for shard, found in batch:
            both.setdefault(shard, []).extend(found)
            positions[shard] = found[-1].id
    assert both == {1: entries(30, 40), 2: entries(2 * MOST, 40)}
    assert store.new_gaps() == []


def test_a_trim_between_two_batches_is_shown_once(client: redis.Redis, store: CandleStore) -> None:
    """The reply under way was made before it, and is good; what comes after it is gone."""
    position = first_batch(client, store)[-1].id
    client.xtrim("ticks:{a}", maxlen=10, approximate=False)
    found = rest(store, position)
    assert [entry for entry in found if entry.kind is Kind.FRAME] == [*entries(MOST, 2 * MOST), *entries(30, 40)]
    assert [(gap.after.ms - START, gap.until.ms - START, gap.entries) for gap in store.new_gaps()] == [(15, 30, 14)]


class AnyOrder:
    """Shards read in any order, against plain lists: what was added, how far each was read and saved."""

    def __init__(self, client: redis.Redis, store: CandleStore, seed: int) -> None:
        self._client, self._store, self._seed = client, store, seed
        self._dice = random.Random(seed)
        self._added = dict.fromkeys(SHARDS, 0)
        self._read: dict[int, list[bytes]] = {shard: [] for shard in SHARDS}
        self._saved = dict.fromkeys(SHARDS, 0)
        self._owned = set(SHARDS)

    def step(self) -> None:
        shard = self._dice.choice(SHARDS)
        match self._dice.choices(("add", "read", "save", "recover", "give up", "cut"), (4, 12, 2, 1, 1, 1))[0]:
            case "add":
                self._add(shard, self._dice.choice((1, 3, MOST, 30, 90)))
            case "read":
                self._read_owned()
            case "save" if shard in self._owned:
                self._save(shard)
            case "recover":
                self._recover(shard)
            case "give up":
                self._owned.discard(shard)
            case "cut":
                cut(self._client)

    def recover_all(self) -> None:
        for shard in SHARDS:
            self._recover(shard)

    def read_rest(self) -> None:
        while batch := self._store.read_ticks(self._positions(SHARDS), 1, MOST):
            for shard, found in batch:
                self._read[shard] += [entry.payload for entry in found]

    def check(self) -> None:
        """Each entry came once and in order, and none is missing."""
        expected = {shard: [b"%d" % n for n in range(self._added[shard])] for shard in SHARDS}
        assert self._read == expected, f"seed {self._seed}"
        assert self._store.new_gaps() == [], f"seed {self._seed}"

    def _add(self, shard: int, count: int) -> None:
        add(self._client, shard, entries(self._added[shard], self._added[shard] + count))
        self._added[shard] += count

    def _read_owned(self) -> None:
        for shard, found in self._store.read_ticks(self._positions(self._owned), 1, self._dice.choice((2, MOST))):
            assert shard in self._owned
            read = self._read[shard]
            read += [entry.payload for entry in found]
            assert read == [b"%d" % n for n in range(len(read))], f"seed {self._seed}, shard {shard}"

    def _save(self, shard: int) -> None:
        self._store.save_state(shard, b"%d" % len(self._read[shard]))
        self._saved[shard] = len(self._read[shard])

    def _recover(self, shard: int) -> None:
        self._store.load_state(shard)
        del self._read[shard][self._saved[shard] :]
        self._owned.add(shard)

    def _positions(self, shards: Iterable[int]) -> dict[int, EntryId]:
        return {shard: self._position(len(self._read[shard])) for shard in shards}

    def _position(self, count: int) -> EntryId:
        return EntryId(START + count - 1, 0) if count else ZERO_ID


@pytest.mark.parametrize("seed", range(6))
def test_any_order_of_events(client: redis.Redis, store: CandleStore, seed: int) -> None:
    order = AnyOrder(client, store, seed)
    for _ in range(500):
        try:
            order.step()
        except RedisError:  # as the worker does: everything anew
            order.recover_all()
    order.recover_all()
    order.read_rest()
    order.check()
