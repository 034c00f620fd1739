"""How far the readers of a bounded stream are behind, in a real Valkey: a replay waits before one loses something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import redis

from commands.replay.backlog import ARCHIVE, SIGNALS, TALLY, ReplayBacklog
from utils.keys import Keys

KEYS = Keys("some:")
CLOSED_MAX, SIGNALS_MAX = 100, 40
GROUP = "candles"


@pytest.fixture
def backlog(client: redis.Redis) -> ReplayBacklog:
    return ReplayBacklog(client, KEYS, [0, 1], CLOSED_MAX, SIGNALS_MAX)


def _publish(client: redis.Redis, stream: str, first: int, count: int) -> None:
    for index in range(first, first + count):
        client.xadd(stream, {"json": "{}"}, id=f"{index}-0")


def _store(client: redis.Redis, stream: str, count: int, acknowledged: int) -> None:
    """As an archiver does it: takes so many, and acknowledges the first of them."""
    read: Any = client.xreadgroup(GROUP, "archiver", {stream: ">"}, count=count)
    ids = [name for name, _ in read[0][1]]
    if acknowledged:
        client.xack(stream, GROUP, *ids[:acknowledged])


def _signals_at(**positions: str) -> Mapping[str, Mapping[str, str]]:
    return {"signal_worker": positions}


def test_nothing_published_is_nothing_to_wait_for(backlog: ReplayBacklog) -> None:
    backlog.look({}, {})
    assert not backlog.is_too_long
    assert set(backlog.unread.values()) == {0}


def test_what_no_group_has_stored_is_waited_for(client: redis.Redis, backlog: ReplayBacklog) -> None:
    stream = KEYS.closed(1)
    client.xgroup_create(stream, GROUP, id="0", mkstream=True)
    _publish(client, stream, 1, 51)
    everyone_else = _signals_at(position_1="51-0"), {1: 51}
    backlog.look(*everyone_else)
    assert (backlog.is_too_long, backlog.slowest, backlog.unread[ARCHIVE]) == (True, ARCHIVE, 51)
    _store(client, stream, 10, 0)
    backlog.look(*everyone_else)
    assert (backlog.is_too_long, backlog.unread[ARCHIVE]) == (True, 51)  # taken is not stored yet
    _store(client, stream, 10, 10)
    backlog.look(*everyone_else)
    assert (backlog.is_too_long, backlog.unread[ARCHIVE]) == (False, 41)


def test_a_stream_that_nobody_stores_yet_is_waited_for(client: redis.Redis, backlog: ReplayBacklog) -> None:
    _publish(client, KEYS.closed(0), 1, 51)
    backlog.look(_signals_at(position_0="51-0"), {0: 51})
    assert (backlog.is_too_long, backlog.slowest) == (True, ARCHIVE)


def test_each_shard_counts_for_itself(client: redis.Redis, backlog: ReplayBacklog) -> None:
    for shard in (0, 1):
        client.xgroup_create(KEYS.closed(shard), GROUP, id="0", mkstream=True)
        _publish(client, KEYS.closed(shard), 1, 45)
    backlog.look(_signals_at(position_0="45-0", position_1="45-0"), {0: 45, 1: 45})
    assert (backlog.is_too_long, backlog.unread[ARCHIVE]) == (False, 90)


def test_the_signal_worker_is_waited_for(client: redis.Redis, backlog: ReplayBacklog) -> None:
    stream = KEYS.closed(0)
    client.xgroup_create(stream, GROUP, id="$", mkstream=True)
    for first in (1, 31, 61):  # three looks, with 30 entries between them; the signal worker has taken the first 10
        _publish(client, stream, first, 30)
        _store(client, stream, 30, 30)
        backlog.look(_signals_at(position_0="10-0"), {0: first + 29})
    assert (backlog.is_too_long, backlog.slowest) == (True, SIGNALS)
    assert backlog.unread[SIGNALS] >= 80  # never fewer than there are
    backlog.look(_signals_at(position_0="65-0"), {0: 90})
    assert not backlog.is_too_long
    assert 25 <= backlog.unread[SIGNALS] <= 30
    backlog.look(_signals_at(position_0="90-0"), {0: 90})
    assert backlog.unread[SIGNALS] == 0


def test_our_own_count_is_waited_for(client: redis.Redis, backlog: ReplayBacklog) -> None:
    stream = KEYS.closed(0)
    client.xgroup_create(stream, GROUP, id="$", mkstream=True)
    _publish(client, stream, 1, 60)
    _store(client, stream, 60, 60)
    backlog.look(_signals_at(position_0="60-0"), {0: 9})
    assert (backlog.is_too_long, backlog.slowest, backlog.unread[TALLY]) == (True, TALLY, 51)


def test_the_stream_of_signals_has_a_bound_of_its_own(client: redis.Redis, backlog: ReplayBacklog) -> None:
    client.xgroup_create(KEYS.signals(0), "signals", id="0", mkstream=True)
    _publish(client, KEYS.signals(0), 1, 21)
    backlog.look({}, {})
    assert (backlog.is_too_long, backlog.slowest) == (True, ARCHIVE)


def test_a_position_changes_whenever_a_reader_has_moved(client: redis.Redis, backlog: ReplayBacklog) -> None:
    stream = KEYS.closed(0)
    client.xgroup_create(stream, GROUP, id="0", mkstream=True)
    _publish(client, stream, 1, 60)
    seen = []
    for taken in (0, 0, 7):
        backlog.look({}, {0: taken})
        seen.append(backlog.position)
    _store(client, stream, 5, 5)
    backlog.look({}, {0: 7})
    seen.append(backlog.position)
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3
