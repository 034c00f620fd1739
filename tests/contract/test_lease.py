"""The shard lease against a real Valkey."""

from __future__ import annotations

import time

import pytest
import redis

from utils.keys import Keys
from utils.runtime.shard_worker import Change
from utils.stores.leases import Lease, ShardLeases

KEYS = Keys("test:")
LEASE_SECONDS = 30.0  # none runs out while a test is at work
SHORT_MS = 15_000


def lease(client: redis.Redis, owner: str, seconds: float = LEASE_SECONDS, shard: int = 0) -> Lease:
    return Lease(client, KEYS, "signal", shard, owner, seconds)


def test_one_holds_and_the_other_stands_by_until_it_is_released(client: redis.Redis) -> None:
    first, second = lease(client, "one"), lease(client, "two")
    assert first.renew()
    assert first.renew()
    assert not second.renew()
    assert lease(client, "two", shard=1).renew()
    second.release()
    assert lease(client, "one").renew()
    first.release()
    assert second.renew()
    assert not first.renew()


def test_a_dead_holder_is_followed(client: redis.Redis) -> None:
    assert lease(client, "one", 0.3).renew()
    second, deadline = lease(client, "two", 0.3), time.monotonic() + 60
    while not second.renew():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_is_renewed_and_its_loss_is_seen(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked when a third of its time has passed, and not before."""
    now_seconds = 1_000.0
    monkeypatch.setattr("time.monotonic", lambda: now_seconds)
    first, name = lease(client, "one"), KEYS.lease("signal", 0)
    assert first.renew()
    client.pexpire(name, SHORT_MS)
    now_seconds += 9.9
    assert first.renew()
    assert client.pttl(name) <= SHORT_MS, "it is not asked for each time"
    now_seconds += 0.2
    assert first.renew()
    assert client.pttl(name) > SHORT_MS, "a third of its time has passed: it was to be renewed"
    client.set(name, "two")
    now_seconds += 9.9
    assert first.renew(), "what it has is its own until it asks"
    now_seconds += 0.2
    assert not first.renew()


def test_how_long_it_is_surely_ours_is_known_without_asking(client: redis.Redis) -> None:
    first, second = lease(client, "one"), lease(client, "two")
    assert not first.covers(time.monotonic())
    before = time.monotonic()
    assert first.renew()
    after = time.monotonic()
    client.delete(KEYS.lease("signal", 0))  # whatever Redis answers meanwhile
    assert second.renew()
    assert first.covers(before + 29.9)
    assert not first.covers(after + 30.0)
    first.release()
    assert not first.covers(after)


def test_one_that_another_has_covers_nothing(client: redis.Redis) -> None:
    assert lease(client, "one").renew()
    second = lease(client, "two")
    assert not second.renew()
    assert not second.covers(time.monotonic())


def stand_still(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """So much real time passes for this process, in which it renews nothing."""
    woken_at = time.monotonic() + seconds
    monkeypatch.setattr("time.monotonic", lambda: woken_at)


def follow(leases: ShardLeases, held: dict[int, object]) -> list[tuple[int, Change]]:
    """All changes, each of them done."""
    seen = []
    for shard, change in leases.changes(held):
        seen.append((shard, change))
        if change is Change.ACQUIRED:
            held[shard] = object()
        else:
            held.pop(shard, None)
        if change is Change.SPARE:
            leases.release(shard)
    return seen


def test_what_was_lost_in_a_standstill_is_not_spare(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """To leave a spare shard in order is to save it: not over what another has saved meanwhile."""
    leases, held = ShardLeases(client, KEYS, "signal", 2, LEASE_SECONDS), dict[int, object]()
    assert follow(leases, held) == [(0, Change.ACQUIRED), (1, Change.ACQUIRED)]
    stand_still(monkeypatch, LEASE_SECONDS)
    client.zadd(KEYS.workers("signal"), {"another": 10**15})
    for shard in (0, 1):
        client.set(KEYS.lease("signal", shard), "another")
        client.set(KEYS.last_owner("signal", shard), "another")
    assert follow(leases, held) == [(0, Change.LOST), (1, Change.LOST)]


def test_what_another_had_meanwhile_is_begun_anew_before_it_is_spare(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    leases, held = ShardLeases(client, KEYS, "signal", 2, LEASE_SECONDS), dict[int, object]()
    follow(leases, held)
    stand_still(monkeypatch, LEASE_SECONDS)
    client.zadd(KEYS.workers("signal"), {"another": 10**15})
    for shard in (0, 1):
        client.delete(KEYS.lease("signal", shard))
        client.set(KEYS.last_owner("signal", shard), "another")
    assert follow(leases, held) == [(0, Change.ACQUIRED), (1, Change.ACQUIRED)]
    assert follow(leases, held) == [(0, Change.SPARE)]
    assert list(held) == [1]


def test_two_workers_of_one_host_name_and_process_id_are_two(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers on the host's network have one name, and their processes often one number."""
    monkeypatch.setattr("socket.gethostname", lambda: "server")
    monkeypatch.setattr("os.getpid", lambda: 7)
    first, second = (ShardLeases(client, KEYS, "signal", 2, LEASE_SECONDS) for _ in range(2))
    held_by_first = [shard for shard, change in first.changes({}) if change is Change.ACQUIRED]
    held_by_second = [shard for shard, change in second.changes({}) if change is Change.ACQUIRED]
    assert held_by_first == [0, 1] and held_by_second == []
    assert set(second.owners) == {first.owner, second.owner}
