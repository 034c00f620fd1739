"""When the feed was down, from hand-made days: what began an outage, what ended it, and where the day cuts it."""

from __future__ import annotations

import json

import pytest

from utils.coverage.outages import Outage, outages_of_day
from utils.journal.entries import Entry, EntryId, Kind

DAY_MS = 1_795_113_000_000  # 2026-11-20, 00:00 IST
END_MS = DAY_MS + 86_400_000
AT_MS = DAY_MS + 10 * 3_600_000

EngineOutput = tuple[float, str]  # seconds after ten o'clock, and a frame or a mark


def entry(seconds: float, what: str) -> Entry:
    kinds = {"frame": Kind.FRAME, "heartbeat": Kind.FRAME, "text": Kind.TEXT}
    name, _, reason = what.partition(": ")
    payload = json.dumps({"mark": name, "reason": reason} if reason else {"mark": name, "instruments": []}).encode()
    is_mark = name not in kinds and what != "nonsense"
    kind = kinds.get(name, Kind.MARK)
    return Entry(EntryId(AT_MS + round(seconds * 1000), 0), kind, payload if is_mark else b"\x00")


def outages(*entries: EngineOutput, is_over: bool = False) -> list[tuple[float, float | None, str]]:
    """(began, ended, reason), in seconds after ten."""
    found = outages_of_day(2, [entry(*record) for record in entries], END_MS, is_over)
    assert all(outage.shard == 2 for outage in found)
    return [
        (_seconds(outage.began_ms), outage.ended_ms and _seconds(outage.ended_ms), outage.reason) for outage in found
    ]


def _seconds(at_ms: int) -> float:
    return (at_ms - AT_MS) / 1000


START = ((0, "down: connector started"), (1, "up"), (1.5, "heartbeat"), (2, "subscribed"))
AT_START = (0, 2, "connector started")
OVER = (END_MS - AT_MS) / 1000


@pytest.mark.parametrize("received", ["frame", "heartbeat", "text"])
def test_it_begins_with_what_was_received_last_and_ends_with_the_subscription(received: str) -> None:
    day = (*START, (10, received), (11, "clock"), (15, "down: no frame for 5 s"), (16, "clock"), (17, "up"))
    assert outages(*day, (17.5, "frame"), (18, "subscribed")) == [AT_START, (10, 18, "no frame for 5 s")]


def test_a_subscription_is_received_too() -> None:
    assert outages(*START, (4, "down: closed"), (6, "subscribed"))[1:] == [(2, 6, "closed")]


@pytest.mark.parametrize("mark", ["up", "subscribed"])
def test_a_connection_that_begins_anew_without_a_word_is_one_too(mark: str) -> None:
    rest = [(12, "subscribed")] if mark == "up" else []
    assert outages(*START, (10, "frame"), (11, mark), *rest)[1:] == [(10, 12 if rest else 11, mark)]


def test_one_that_lasts_has_no_end_until_the_day_is_over() -> None:
    day = (*START, (10, "frame"), (15, "down: closed"), (16, "down: refused"), (17, "clock"))
    assert outages(*day)[1:] == [(10, None, "closed")]
    assert outages(*day, is_over=True)[1:] == [(10, OVER, "closed")]


def test_a_day_that_begins_in_silence_begins_with_an_outage() -> None:
    assert outages((0, "clock"), (1, "clock"), (2, "up"), (3, "subscribed")) == [(0, 3, "since before the day")]


def test_a_day_that_begins_with_frames_does_not() -> None:
    assert outages((0, "frame"), (1, "frame")) == []
    assert outages((0, "frame"), (1, "down: closed"), (2, "subscribed")) == [(0, 2, "closed")]


def test_a_journal_that_stops_before_the_day_does() -> None:
    """A connector that was killed and not started again that day."""
    assert outages(*START, (10, "frame")) == [AT_START]
    assert outages(*START, (10, "frame"), is_over=True) == [AT_START, (10, OVER, "the journal ends")]
    assert outages(*START, (OVER - 1, "heartbeat"), is_over=True) == [AT_START]
    assert outages(is_over=True) == []


def test_a_mark_that_is_none_changes_nothing() -> None:
    assert outages(*START, (10, "frame"), (11, "nonsense"), (12, "frame")) == [AT_START]


def test_the_same_outage_has_the_same_name_while_it_lasts_and_after() -> None:
    lasting = Outage(0, AT_MS + 5_000, AT_MS, None, "closed").as_document()
    ended = Outage(0, AT_MS + 5_000, AT_MS, AT_MS + 61_500, "closed").as_document()
    assert lasting["_id"] == lasting["k"] == ended["_id"] == "0|001795149005000"
    assert (lasting["ended"], lasting["end_t"]) == (None, None)
    assert (ended["began"], ended["ended"]) == ("2026-11-20T10:00:00+05:30", "2026-11-20T10:01:01.500+05:30")
    assert (ended["t"], ended["end_t"], ended["reason"]) == (AT_MS, AT_MS + 61_500, "closed")
