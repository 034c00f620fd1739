"""The shard lease against a real Valkey."""

from __future__ import annotations

import time

import redis

from utils.keys import Keys
from utils.stores.lease import Lease
from utils.stores.shard_leases import Change, ShardLeases

KEYS = Keys("test:")


def lease(client: redis.Redis, owner: str, seconds: float = 30.0, shard: int = 0) -> Lease:
    return Lease(client, KEYS, "signal", shard, owner, seconds)


def test_one_holds_and_the_other_stands_by_until_it_is_released(client: redis.Redis) -> None:
    first, second = lease(client, "one"), lease(client, "two")
    assert first.hold()
    assert first.hold()
    assert not second.hold()
    assert lease(client, "two", shard=1).hold()
    second.release()
    assert lease(client, "one").hold()
    first.release()
    assert second.hold()
    assert not first.hold()


def test_a_dead_holder_is_followed(client: redis.Redis) -> None:
    assert lease(client, "one", 0.3).hold()
    second, deadline = lease(client, "two", 0.3), time.monotonic() + 60
    while not second.hold():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_renewed_and_its_loss_is_seen(client: redis.Redis) -> None:
    first = lease(client, "one", 0.6)
    deadline = time.monotonic() + 1.5
    while time.monotonic() < deadline:
        assert first.hold()
        time.sleep(0.05)
    client.set(KEYS.lease("signal", 0), "two")
    while first.hold():
        assert time.monotonic() < deadline + 60
        time.sleep(0.02)


def test_how_long_it_is_surely_ours_is_known_without_asking(client: redis.Redis) -> None:
    first, second = lease(client, "one"), lease(client, "two")
    assert not first.covers(time.monotonic())
    before = time.monotonic()
    assert first.hold()
    after = time.monotonic()
    client.delete(KEYS.lease("signal", 0))  # whatever Redis says meanwhile
    assert second.hold()
    assert first.covers(before + 29.9)
    assert not first.covers(after + 30.0)
    first.release()
    assert not first.covers(after)


def test_one_that_another_has_covers_nothing(client: redis.Redis) -> None:
    assert lease(client, "one").hold()
    second = lease(client, "two")
    assert not second.hold()
    assert not second.covers(time.monotonic())


def follow(leases: ShardLeases, held: dict[int, object]) -> list[tuple[int, Change]]:
    """All changes, each of them done."""
    seen = []
    for shard, change in leases.changes(held):
        seen.append((shard, change))
        if change is Change.OURS:
            held[shard] = object()
        else:
            held.pop(shard, None)
        if change is Change.SPARE:
            leases.release(shard)
    return seen


def test_what_was_lost_in_a_standstill_is_not_spare(client: redis.Redis) -> None:
    """To leave a spare shard in order is to save it: not over what another has saved meanwhile."""
    leases, held = ShardLeases(client, KEYS, "signal", 2, 0.05), dict[int, object]()
    assert follow(leases, held) == [(0, Change.OURS), (1, Change.OURS)]
    time.sleep(0.1)  # longer than a lease lasts: nothing is renewed without being asked
    client.zadd(KEYS.workers("signal"), {"another": 10**15})
    for shard in (0, 1):
        client.set(KEYS.lease("signal", shard), "another")
        client.set(KEYS.last_owner("signal", shard), "another")
    assert follow(leases, held) == [(0, Change.LOST), (1, Change.LOST)]


def test_what_another_had_meanwhile_is_begun_anew_before_it_is_spare(client: redis.Redis) -> None:
    leases, held = ShardLeases(client, KEYS, "signal", 2, 0.05), dict[int, object]()
    follow(leases, held)
    time.sleep(0.1)
    client.zadd(KEYS.workers("signal"), {"another": 10**15})
    for shard in (0, 1):
        client.delete(KEYS.lease("signal", shard))
        client.set(KEYS.last_owner("signal", shard), "another")
    assert follow(leases, held) == [(0, Change.OURS), (1, Change.OURS)]
    assert follow(leases, held) == [(0, Change.SPARE)]
    assert list(held) == [1]
