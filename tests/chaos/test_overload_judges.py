"""The overload judges themselves: each finds what it is there to find, above all a loss that was not announced."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest

from tests.chaos.overload_bounds import (
    Sample,
    Scenario,
    caught_up_seconds,
    lag_findings,
    loss_findings,
    memory_findings,
    order_findings,
)
from tests.chaos.overload_feed import Offer, Tape
from tests.chaos.overload_judging import (
    Announcement,
    Document,
    announcement_findings,
    announcements,
    completeness_findings,
    expected_messages,
    judge_shard,
    losses,
    since_start,
    stored_findings,
    with_outages,
)
from utils.journal.entries import Entry, EntryId, Kind, down_mark, subscribed_mark, up_mark
from utils.journal.writer import JournalWriter
from utils.runtime.settings import Settings

OFFER = Offer(instruments=4, shards=1, seed=3, begin="10:00:00", parts=((600.0, 1.0),), per_frame=4)
SETTINGS = Settings(_env_file=None, timeframes="1m")  # type: ignore[arg-type, call-arg]
FIRST, COUNT = 200, 150
SUBSCRIBED = subscribed_mark("full", OFFER.members()[0])


def feed() -> list[Entry]:
    tape, begin = Tape(OFFER), OFFER.begin_ms
    found = [Entry(EntryId(begin - 1_000, 0), Kind.MARK, up_mark())]
    found.append(Entry(EntryId(begin - 1_000, 1), Kind.MARK, SUBSCRIBED))
    for second in range(600):
        ((_, frame),) = tape.round(begin // 1000 + second)
        found.append(Entry(EntryId(begin + 1000 * second, 0), Kind.FRAME, frame))
    return [*found, Entry(EntryId(begin + 600_000, 0), Kind.MARK, down_mark("over"))]


FEED = feed()
ANNOUNCED = Announcement(0, FEED[FIRST - 1].id, COUNT, FEED[FIRST + COUNT].id.ms - FEED[FIRST - 1].id.ms)


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("journal")
    writer = JournalWriter(directory, 0)
    for entry in FEED:
        writer.append(entry)
    writer.close()
    return directory


def published_with(announced: list[Announcement]) -> dict[str, Document]:
    lost = losses([entry.id for entry in FEED], announced, [])
    return expected_messages(with_outages(FEED, lost, SUBSCRIBED), SETTINGS)


def findings(
    journal: Path, announced: list[Announcement], published: dict[str, Document], killed_ms: int = 0
) -> list[str]:
    found: list[str] = []
    judge_shard(journal, 0, SETTINGS, announced, published, found, killed_ms)
    return found


def test_an_announced_loss_is_no_finding(journal: Path) -> None:
    assert findings(journal, [], published_with([])) == []
    assert findings(journal, [ANNOUNCED], published_with([ANNOUNCED])) == []
    assert len(published_with([ANNOUNCED])) < len(published_with([]))


def test_a_loss_that_was_not_announced_is_found(journal: Path) -> None:
    assert findings(journal, [], published_with([ANNOUNCED]))


def test_a_loss_that_was_none_is_found(journal: Path) -> None:
    assert findings(journal, [ANNOUNCED], published_with([]))


@pytest.mark.parametrize(
    "wrong", [{"entries": COUNT - 1}, {"lost_ms": ANNOUNCED.lost_ms + 1}, {"after": EntryId(5, 5)}]
)
def test_figures_that_are_not_true_are_found(journal: Path, wrong: dict[str, object]) -> None:
    announced = replace(ANNOUNCED, **wrong)  # type: ignore[arg-type]
    assert any("does not fit" in line for line in findings(journal, [announced], published_with([ANNOUNCED])))


def test_missing_doubled_changed_and_unordered_candles_are_found(journal: Path) -> None:
    published = published_with([])
    key, row = next(iter(published.items()))
    without = {other: document for other, document in published.items() if other != key}
    assert findings(journal, [], without)
    assert findings(journal, [], published | {"9999999999999-1": row})
    assert findings(journal, [], published | {key: row | {"close": -1.0}})
    assert findings(journal, [], {**without, key: row})


def test_a_touched_candle_that_is_marked_complete_is_found() -> None:
    ids = [entry.id for entry in FEED]
    (lost,) = losses(ids, [ANNOUNCED], [])
    final = {document["_id"]: document for document in published_with([ANNOUNCED]).values()}
    assert completeness_findings(final.values(), [lost], ids) == []
    touched = next(
        document for document in final.values() if not document["complete"] and document["end_t"] < lost.to_ms
    )
    assert completeness_findings([touched | {"complete": True}], [lost], ids)
    assert completeness_findings([touched], [], ids)


def test_what_a_killed_worker_published_of_entries_that_were_then_dropped_is_accepted(journal: Path) -> None:
    """The worker's snapshot is older than FIRST, and the worker ran for two minutes more before it died."""
    undisturbed, successor = published_with([]), published_with([ANNOUNCED])
    seen = FEED[FIRST + 120].id.ms
    early = {
        key: document for key, document in undisturbed.items() if ANNOUNCED.after.ms < EntryId.parse(key).ms <= seen
    }
    merged = dict(sorted((successor | early).items(), key=lambda pair: EntryId.parse(pair[0])))
    assert len(early) == 8
    assert findings(journal, [ANNOUNCED], merged, seen) == []
    assert findings(journal, [ANNOUNCED], merged), "nobody was killed"
    holed = {key: candle for key, candle in merged.items() if key != next(iter(early))}
    assert findings(journal, [ANNOUNCED], holed, seen)


def test_a_killed_worker_may_have_published_more_than_was_then_dropped(journal: Path) -> None:
    """It ran for a minute beyond the loss: its successor's outage has older ids, and the outbox refuses that."""
    undisturbed, successor = published_with([]), published_with([ANNOUNCED])
    seen = FEED[FIRST + COUNT + 60].id.ms
    early = {
        key: document for key, document in undisturbed.items() if ANNOUNCED.after.ms < EntryId.parse(key).ms <= seen
    }
    later = {
        key: document for key, document in successor.items() if EntryId.parse(key) > max(map(EntryId.parse, early))
    }
    before = {
        key: document for key, document in successor.items() if EntryId.parse(key) < min(map(EntryId.parse, early))
    }
    refused = [document for key, document in successor.items() if key not in early | later | before]
    assert len(refused) > 3 and not any(document["complete"] for document in refused), "the outage's own"
    merged = before | early | later
    assert findings(journal, [ANNOUNCED], merged, seen) == []
    assert findings(journal, [ANNOUNCED], merged), "nobody was killed"
    assert findings(journal, [ANNOUNCED], before | later, seen), "one that published none of them hides no outage"
    assert findings(journal, [ANNOUNCED], {key: candle for key, candle in merged.items() if key != max(early)}, seen)


def test_health_and_logs_have_to_agree() -> None:
    health = {"lost_entries": str(COUNT), "lost_ms": str(ANNOUNCED.lost_ms)}
    assert announcement_findings([ANNOUNCED], health, 500, 500) == []
    assert announcement_findings([], health, 500, 500)
    assert announcement_findings([ANNOUNCED], health | {"lost_entries": "0"}, 500, 500)
    assert announcement_findings([ANNOUNCED], {}, 500, 500)
    assert announcement_findings([ANNOUNCED], health, 500, 0)


def test_announcements_are_read_from_the_log() -> None:
    line = {
        "event": "entries were dropped from the stream before they were read: their candles have complete=false",
        "shard": 0,
        "after": str(ANNOUNCED.after),
        "entries": COUNT,
        "lost_ms": ANNOUNCED.lost_ms,
    }
    lines: list[Document] = [{"event": "starts"}, line, {"event": "starts"}, {"event": "shard acquired"}]
    assert announcements(lines) == [ANNOUNCED]
    assert announcements(since_start(lines)) == []


def test_what_mongodb_misses_must_have_been_logged() -> None:
    final = {str(n): {"_id": str(n), "close": n} for n in range(5)}
    stored = dict(islice(final.items(), 3))
    assert stored_findings(final, final, 0) == []
    assert stored_findings(final, stored, 2) == []
    assert stored_findings(final, stored, 1)
    assert stored_findings(final, final | {"x": {"_id": "x"}}, 0)
    assert stored_findings(final, final | {"1": {"_id": "1", "close": 7}}, 0)


# -- bounds ----------------------------------------------------------------------------------------------------

SCENARIO = Scenario("x", 1, 1, ((1.0, 1.0),), settings=(("STREAM_MAX_MB", "64"),), lag_bound_ms=5_000.0)


def sample(at: float, lag_ms: float = 100.0, stream_mb: float = 10.0, position_ms: int = 0) -> Sample:
    return Sample(at, 0, lag_ms, 0.0, 0.0, (stream_mb,), 20.0, {}, position_ms)


def test_a_stream_beyond_its_limit_is_found() -> None:
    assert memory_findings(SCENARIO, [sample(0, stream_mb=100)]) == []
    assert memory_findings(SCENARIO, [sample(0), sample(1, stream_mb=113)])


def test_a_lag_that_is_large_or_grows_or_is_not_seen_is_found() -> None:
    steady = [sample(at, 900.0 + at % 3) for at in range(40)]
    assert lag_findings(SCENARIO, steady) == []
    assert lag_findings(SCENARIO, [*steady, sample(41, 6_000.0)])
    assert lag_findings(SCENARIO, [sample(at, max(0.0, 240.0 * (at - 20))) for at in range(40)])
    assert lag_findings(SCENARIO, [sample(at, -1.0) for at in range(40)])


def test_a_position_that_goes_back_is_found() -> None:
    assert order_findings([sample(0), sample(1, position_ms=5), sample(2, position_ms=9)]) == []
    assert order_findings([sample(1, position_ms=9), sample(2, position_ms=5)])


def test_losses_are_where_they_are_meant_to_be() -> None:
    assert loss_findings(SCENARIO, 0, 0) == []
    assert loss_findings(SCENARIO, 1, 0) and loss_findings(SCENARIO, 0, 1)
    assert loss_findings(replace(SCENARIO, loses=True), 0, 0)
    assert loss_findings(replace(SCENARIO, loses=None), 7, 0) == []
    assert loss_findings(replace(SCENARIO, loses_stored=True), 0, 0)


def test_catching_up_is_timed_from_the_return() -> None:
    samples = [sample(1.0), sample(5.0, 60_000.0), sample(8.0, 2_000.0)]
    assert caught_up_seconds(SCENARIO, samples, 4.0) == 4.0
    assert caught_up_seconds(SCENARIO, samples[:2], 4.0) == -1.0
