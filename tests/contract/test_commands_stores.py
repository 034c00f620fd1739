"""What the commands do to a real Valkey: clear one prefix, feed a journal in bounded memory, see what is stored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from commands.shared.closed_tally import ClosedTally
from commands.shared.journal_feed import (
    ClosingBound,
    JournalFeed,
    JournalFile,
    ShardEntry,
    batches,
    journal_window_ms,
    merged_entries,
    shown_position,
)
from commands.shared.run_directory import clear_prefix
from commands.shared.waiting import all_archived, last_id, unarchived
from utils.journal.entries import ZERO_ID, Entry, EntryId, Kind
from utils.journal.writer import JournalWriter, journal_path
from utils.keys import Keys
from utils.market.candle import Candle, Source, TimedBy
from utils.market.ist import ist_date

AT_MS = 1_795_149_000_000  # 2026-11-20 10:00 IST
KEYS = Keys("some:")


def test_clearing_a_prefix_leaves_all_else(client: redis.Redis) -> None:
    for number in range(5_000):
        client.set(f"a*b:{number}", "x")
    for name in ("aXb:1", "a*c", "candle:NSE:INFY:1m", "A*b:1"):
        client.set(name, "kept")
    assert clear_prefix(client, "a*b:") == 5_000
    left: Any = client.keys("*")
    assert sorted(left) == [b"A*b:1", b"a*c", b"aXb:1", b"candle:NSE:INFY:1m"]
    assert clear_prefix(client, "a*b:") == 0


def test_live_data_has_no_prefix_and_is_never_cleared(client: redis.Redis) -> None:
    client.set("candle:NSE:INFY:1m", "kept")
    with pytest.raises(ValueError, match="empty prefix"):
        clear_prefix(client, "")
    assert client.exists("candle:NSE:INFY:1m")


def _entry(number: int, size: int = 10) -> Entry:
    return Entry(EntryId(AT_MS + number, number % 3), Kind.FRAME, bytes([number % 256]) * size)


_NEXT = [ShardEntry(0, _entry(0))]


def _bound(*shards: int, most: int = 1_000_000) -> ClosingBound:
    return ClosingBound(dict.fromkeys(shards, 10), [60_000, 300_000], most)


def test_the_feed_sends_entries_under_their_own_ids(client: redis.Redis) -> None:
    feed = JournalFeed(client, KEYS, _bound(0, 1))
    feed.send([ShardEntry(0, _entry(1)), ShardEntry(1, _entry(2)), ShardEntry(0, _entry(3))])
    first: Any = client.xrange("some:ticks:{a}")
    assert [(name, fields) for name, fields in first] == [
        (f"{AT_MS + 1}-1".encode(), {b"f": b"\x01" * 10}),
        (f"{AT_MS + 3}-0".encode(), {b"f": b"\x03" * 10}),
    ]
    assert client.xlen("some:ticks:{b}") == 1
    assert feed.last_sent == {0: EntryId(AT_MS + 3, 0), 1: EntryId(AT_MS + 2, 2)}
    assert feed.sent == 3


def test_the_feed_waits_for_a_worker_that_is_behind_and_forgets_what_it_took(client: redis.Redis) -> None:
    feed = JournalFeed(client, KEYS, _bound(0))
    feed.send([ShardEntry(0, _entry(index, size=1 << 20)) for index in range(124)])
    assert not feed.is_too_far_ahead(_NEXT)
    feed.send([ShardEntry(0, _entry(index, size=1 << 20)) for index in range(124, 134)])
    assert feed.is_too_far_ahead(_NEXT)  # more than 128 MB
    feed.forget_taken(0, EntryId(AT_MS + 39, 0))
    assert not feed.is_too_far_ahead(_NEXT)
    left: Any = client.xrange("some:ticks:{a}", count=1)
    assert left[0][0] == f"{AT_MS + 40}-1".encode()
    assert feed.ahead_entries == client.xlen("some:ticks:{a}") == 94
    feed.forget_taken(0, EntryId(AT_MS + 133, 1))
    assert client.xlen("some:ticks:{a}") == 0
    assert last_id(client, "some:ticks:{a}") == EntryId(AT_MS + 133, 1)  # so a worker that asks on is not led astray


def test_the_feed_bounds_many_small_entries_too(client: redis.Redis) -> None:
    feed = JournalFeed(client, KEYS, _bound(0))
    feed.send([ShardEntry(0, _entry(index, size=1)) for index in range(50_001)])
    assert feed.is_too_far_ahead(_NEXT)


def _frame_at(minute: float, packets: int) -> Entry:
    return Entry(EntryId(AT_MS + round(60_000 * minute), 0), Kind.FRAME, packets.to_bytes(2) + b"whatever")


def test_the_feed_waits_before_more_closes_than_the_closed_streams_hold(client: redis.Redis) -> None:
    """Few bytes may be much of the day: one frame a minute, each with a packet of every instrument."""
    feed = JournalFeed(client, KEYS, _bound(0, 1, most=400))
    minutes = [[ShardEntry(1, _frame_at(minute, 10))] for minute in range(50)]
    assert not feed.is_too_far_ahead([*minutes[0], *minutes[49]])  # of whatever is sent alone
    for early_minute in minutes[:20]:
        feed.send(early_minute)
    assert not feed.is_too_far_ahead(minutes[20])
    for late_minute in minutes[20:40]:
        feed.send(late_minute)
    assert feed.is_too_far_ahead(minutes[40])
    feed.forget_taken(1, minutes[30][0].entry.id)
    assert not feed.is_too_far_ahead(minutes[40])


def test_the_feed_does_not_wait_where_nothing_is_traded(client: redis.Redis) -> None:
    feed = JournalFeed(client, KEYS, _bound(0, most=400))
    heartbeats = [
        ShardEntry(0, Entry(EntryId(AT_MS + 1_000 * index, 0), Kind.FRAME, b"0")) for index in range(36_000)
    ]
    feed.send(heartbeats)
    assert not feed.is_too_far_ahead([ShardEntry(0, _frame_at(601, 100))])
    assert feed.is_too_far_ahead([ShardEntry(0, _frame_at(601, 400))])


def test_what_is_sent_together_is_short_in_number_and_in_time() -> None:
    seconds = [0, 1, 2, 61, 62, 63, 600, 601, *range(1_000, 1_051)]
    entries = [ShardEntry(index % 2, _frame_at(second / 60, 0)) for index, second in enumerate(seconds)]
    found = list(batches(iter(entries), 50_000))
    assert [len(batch) for batch in found] == [3, 3, 2, 51]
    assert [entry for batch in found for entry in batch] == entries
    assert [len(batch) for batch in batches([entries[0]] * 1_200, 50_000)] == [500, 500, 200]
    assert list(batches([], 50_000)) == []


def test_what_is_sent_closes_no_more_than_is_known_of_it() -> None:
    bound = ClosingBound({0: 3_000}, [60_000, 180_000, 86_400_000], most=1_000)
    assert bound.closed_by(0, 0, 1_000_000) == 3 * 3_000  # a boundary of all of them
    assert bound.closed_by(0, 120_000, 1_000_000) == (3 + 1 + 1) * 3_000
    assert bound.closed_by(0, 36_000_000, 7) == 3 * 3_000 + 2 * 7  # the day ends once
    assert bound.closed_by(0, 120_000, 4_000) == 3_000 + 4_000 + 2 * 3_000
    assert ClosingBound({0: 10, 1: 5}, [60_000], most=400).span_at_once_ms == 10 * 60_000


def test_what_the_live_view_shows_was_taken(client: redis.Redis) -> None:
    assert shown_position(client, KEYS, ["NSE:A", "NSE:B"]) == EntryId(0, 0)
    client.hset("some:tick:NSE:A", mapping={"t": AT_MS})
    client.hset("some:tick:NSE:B", mapping={"t": AT_MS + 7})
    assert shown_position(client, KEYS, ["NSE:A", "NSE:B", "NSE:C"]) == EntryId(AT_MS + 7, 0)
    assert shown_position(client, KEYS, ["NSE:A"]) == EntryId(AT_MS, 0)


def test_shards_are_merged_by_id(tmp_path: Path) -> None:
    files = []
    for shard, numbers in ((0, (1, 4, 9)), (1, (2, 3, 12))):
        writer = JournalWriter(tmp_path, shard)
        for index in numbers:
            writer.append(_entry(index))
        writer.close()
        path = journal_path(tmp_path, ist_date(AT_MS), shard)
        assert path is not None
        files.append(JournalFile(shard, path))
    merged = [(entry.shard, entry.entry.id.ms - AT_MS) for entry in merged_entries(files)]
    assert merged == [(0, 1), (1, 2), (1, 3), (0, 4), (0, 9), (1, 12)]
    assert journal_window_ms(files) == (AT_MS + 1, AT_MS + 12)


def test_what_is_not_stored_yet_is_seen(client: redis.Redis) -> None:
    stream = KEYS.closed(0)
    assert (last_id(client, stream), unarchived(client, stream)) == (ZERO_ID, 0)
    assert all_archived(client, KEYS, [0])
    client.xadd(stream, {"json": "{}"}, id="5-1")
    assert unarchived(client, stream) is None  # nobody stores it: nobody knows
    assert not all_archived(client, KEYS, [0])
    client.xgroup_create(stream, "archive", id="0")
    client.xadd(stream, {"json": "{}"}, id="7-0")
    assert (last_id(client, stream), unarchived(client, stream)) == (EntryId(7, 0), 2)
    client.xreadgroup("archive", "one", {stream: ">"}, count=1)
    assert unarchived(client, stream) == 2  # given, but not acknowledged
    client.xack(stream, "archive", "5-1")
    assert unarchived(client, stream) == 1
    client.xreadgroup("archive", "one", {stream: ">"})
    client.xack(stream, "archive", "7-0")
    assert all_archived(client, KEYS, [0])


def test_the_tally_reads_on_where_it_was(client: redis.Redis) -> None:
    candle = Candle(
        "NSE:INFY", "1m", 408065, AT_MS, AT_MS + 60_000, 1.0, 2.0, 0.5, 1.5, 10, None, 1.2, 3, True,
        Source.LIVE, 0, TimedBy.EXCHANGE,
    )  # fmt: skip
    tally = ClosedTally([0, 1])
    assert tally.read_on(client, KEYS) == 0
    document = candle.as_document()
    client.xadd(KEYS.closed(0), {"json": orjson.dumps(document)})
    client.xadd(KEYS.closed(1), {"json": orjson.dumps(document | {"symbol": "NSE:TCS"})})
    assert tally.read_on(client, KEYS) == 2
    client.xadd(KEYS.closed(0), {"json": orjson.dumps(document | {"rev": 1, "high": 3.0})})
    assert tally.read_on(client, KEYS) == 1
    assert tally.read_on(client, KEYS) == 0
    assert (tally.candles, tally.revisions, tally.twice) == ({"1m": 2}, {"1m": 1}, 0)
    assert list(tally.closes["NSE:INFY"]) == [1.5]
