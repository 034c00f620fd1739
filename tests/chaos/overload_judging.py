"""Judges the output of an overload run against the journal and against the announced losses.

The closed streams must equal, entry for entry, what the engine publishes for the journal without the entries whose
loss was announced, with the outage in their place. A loss that was not announced is a difference, and so is a wrong
number. `complete: false` of the touched candles is checked separately, from times alone.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import Any

import orjson

from data_handler import rules_of
from tests.chaos.completeness import Gap, wrong_completeness
from tests.shared.engine_candles import engine_candles
from utils.candles.engine import CandleEngine
from utils.journal.entries import Entry, EntryId, Kind
from utils.journal.writer import journal_days, journal_path, read_journal
from utils.keys import Keys
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings
from utils.stores.publishing import message_id

Document = dict[str, Any]
AT_ONCE = 256
LAST_COUNTER = (1 << 32) - 1
MOST_SHOWN = 3
DROPPED = "entries were dropped from the stream before they were read"
FORCED_OUT = "the stream reached STREAM_MAX_MB"
NOT_STORED = "entries were dropped from the stream before they were stored"


@dataclass(frozen=True, slots=True)
class Announcement:
    """One loss in the candle worker's log: `entries` of a shard that came after `after`."""

    shard: int
    after: EntryId
    entries: int
    lost_ms: int


@dataclass(frozen=True, slots=True)
class Loss:
    """An announcement mapped to the journal: the entries at [first, end) were lost."""

    first: int
    end: int
    from_ms: int
    to_ms: int


def log_lines(path: Path) -> list[Document]:
    """A process's JSON lines, those of rotated files first; empty when it never wrote any."""
    paths = [*sorted(path.parent.glob(f"{path.name}.*"), reverse=True), path]
    return [orjson.loads(line) for file in paths if file.exists() for line in file.open("rb")]


def announcements(lines: Iterable[Mapping[str, Any]]) -> list[Announcement]:
    """The losses in a candle worker's log."""
    return [
        Announcement(line["shard"], EntryId.parse(line["after"]), line["entries"], line["lost_ms"])
        for line in lines
        if str(line["event"]).startswith(DROPPED)
    ]


def since_start(lines: Sequence[Document]) -> Sequence[Document]:
    """The lines since the last start of the process, from which its health report counts."""
    starts = [index for index, line in enumerate(lines) if line["event"] == "starts"]
    return lines[starts[-1] :] if starts else lines


def logged_sum(lines: Iterable[Mapping[str, Any]], beginning: str, name: str) -> int:
    """The sum of a field over all lines of an event."""
    return sum(int(line[name]) for line in lines if str(line["event"]).startswith(beginning))


def losses(ids: Sequence[EntryId], announced: Iterable[Announcement], findings: list[str]) -> list[Loss]:
    """The announced losses by index in a journal's ids; one that does not fit the journal is a finding."""
    found = []
    for outage in sorted(announced, key=lambda loss: loss.after):
        first = _index_after(ids, outage.after)
        end = first + outage.entries
        if first == 0 or end >= len(ids) or ids[end].ms - outage.after.ms != outage.lost_ms:
            findings.append(
                f"the announced loss of {outage.entries} entries after {outage.after} does not fit the journal"
            )
            continue
        found.append(Loss(first, end, outage.after.ms, ids[end].ms))
    return found


def _index_after(ids: Sequence[EntryId], after: EntryId) -> int:
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if ids[middle] <= after else (low, middle)
    return low if low and ids[low - 1] == after else 0


def with_outages(entries: Iterable[Entry], lost: Sequence[Loss], subscribed: bytes) -> Iterator[Entry]:
    """The journal as a worker saw it: in the place of each loss, the last subscription again."""
    starts, gone = {outage.end for outage in lost}, [range(outage.first, outage.end) for outage in lost]
    at = 0
    for index, entry in enumerate(entries):
        while at < len(gone) and index >= gone[at].stop:
            at += 1
        if at < len(gone) and index in gone[at]:
            continue
        if index in starts:
            ms, counter = entry.id
            yield Entry(EntryId(ms, counter - 1) if counter else EntryId(ms - 1, LAST_COUNTER), Kind.MARK, subscribed)
        yield entry


@dataclass(slots=True)
class ShardVerdict:
    """Figures of one shard.

    `published`: revisions that were due; `kept`: those still in the stream.
    `early`: revisions that a killed worker published from entries that its successor never saw.
    `final`: the last published revision of each candle.
    """

    entries: int
    lost: list[Loss]
    published: int
    kept: int
    early: int
    final: dict[str, Document]


def judge_shard(
    journal: Path, shard: int, settings: Settings, announced: Sequence[Announcement],
    published: Mapping[str, Document], findings: list[str], killed_ms: int = 0,
) -> ShardVerdict:  # fmt: skip
    """`published`: the closed stream, id to document, in order. `killed_ms`: when a worker was killed.

    Findings are sentences, appended to `findings`.
    """
    ids = [entry.id for entry in _entries(journal, shard)]
    lost = losses(ids, (outage for outage in announced if outage.shard == shard), findings)
    subscribed = _subscription(journal, shard)
    expected = expected_messages(with_outages(_entries(journal, shard), lost, subscribed), settings)
    findings += completeness_findings(
        {document["_id"]: document for document in expected.values()}.values(), lost, ids
    )
    early: dict[str, Document] = {}
    for index, outage in enumerate(lost):
        read = takewhile(lambda entry: entry.id.ms <= killed_ms, _entries(journal, shard))
        undisturbed = messages(with_outages(read, lost[:index], subscribed), settings)
        of_killed = published_before_the_end(undisturbed, published, ids[outage.first - 1], ids[outage.end])
        expected, early = merged(expected, of_killed), early | of_killed
    kept = dict(islice(expected.items(), max(0, len(expected) - len(published)), None))
    if len(published) < len(expected) and len(published) < settings.closed_max_entries:
        findings.append(f"{Keys().closed(shard)} has {len(published)} entries, {len(expected)} were expected")
    findings += [f"{Keys().closed(shard)}: {line}" for line in differences(kept, published)]
    findings += [f"{Keys().closed(shard)} has {key} twice" for key in _twice(published, early)[:MOST_SHOWN]]
    final = {document["_id"]: document for document in expected.values()}
    return ShardVerdict(len(ids), lost, len(expected), len(published), len(early), final)


def published_before_the_end(
    undisturbed: Iterable[tuple[str, Document]], published: Mapping[str, Document], after: EntryId, until: EntryId
) -> dict[str, Document]:
    """What a killed worker published after its last snapshot, from entries that were then dropped or that followed.

    That is a prefix of what an undisturbed worker publishes. The successor resumes from the snapshot and cannot know
    of it.
    """
    first, last = message_id(after.ms, after.counter + 1, 0), message_id(until.ms, until.counter, 0)
    found: dict[str, Document] = {}
    for key, document in undisturbed:
        if EntryId.parse(key) < EntryId.parse(first):
            continue
        if key not in published or (EntryId.parse(key) >= EntryId.parse(last) and published[key] != document):
            break
        found[key] = document
    return found


def merged(successor: Mapping[str, Document], of_killed: Mapping[str, Document]) -> dict[str, Document]:
    """What two workers publish together: the outbox refuses what is not newer than all that the killed one published.

    That includes the successor's outage, where its id is older.
    """
    if not of_killed:
        return dict(successor)
    of_them = [EntryId.parse(key) for key in of_killed]
    accepted = {
        key: document for key, document in successor.items() if not min(of_them) <= EntryId.parse(key) <= max(of_them)
    }
    return dict(sorted([*accepted.items(), *of_killed.items()], key=lambda pair: EntryId.parse(pair[0])))


def _twice(published: Mapping[str, Document], early: Mapping[str, Document]) -> list[str]:
    known = {(document["_id"], document["rev"]) for document in early.values()}
    times = Counter((message["_id"], message["rev"]) for message in published.values())
    return [f"{key} rev {rev}" for (key, rev), n in times.items() if n > 1 + ((key, rev) in known)]


def _entries(journal: Path, shard: int) -> Iterator[Entry]:
    for day in journal_days(journal):
        path = journal_path(journal, day, shard)
        if path is not None:
            yield from read_journal(path)


def _subscription(journal: Path, shard: int) -> bytes:
    marks = (entry.payload for entry in islice(_entries(journal, shard), 10) if entry.kind is Kind.MARK)
    return next(payload for payload in marks if json.loads(payload)["mark"] == "subscribed")


def expected_messages(entries: Iterable[Entry], settings: Settings) -> dict[str, Document]:
    """What the engine publishes when it is fed directly, by the ids that the outbox gives."""
    return dict(messages(entries, settings))


def messages(entries: Iterable[Entry], settings: Settings) -> Iterator[tuple[str, Document]]:
    """The items of `expected_messages`, lazily and in order."""
    engine = CandleEngine(settings.timeframes, rules_of(settings), settings.zscore_window, SessionCalendar.load())
    iterator = iter(entries)
    while batch := list(islice(iterator, AT_ONCE)):
        for engine_candle in engine_candles(engine.process(batch)):
            yield (
                message_id(engine_candle.source.ms, engine_candle.source.counter, engine_candle.number),
                engine_candle.candle.as_document(),
            )


def differences(expected: Mapping[str, Document], published: Mapping[str, Document]) -> list[str]:
    """The first MOST_SHOWN differences, and their count."""
    lines = [f"{key} is missing" for key in expected if key not in published]
    lines += [f"{key} is too much" for key in published if key not in expected]
    for key, want in expected.items():
        have = published.get(key, want)
        names = [name for name in want if have.get(name) != want[name]]
        lines += [f"{key} has another {', '.join(names)}"] if names else []
    if not lines and list(expected) != list(published):
        lines = ["another order"]
    return [*lines[:MOST_SHOWN], f"{len(lines)} differences in all"] if lines else []


def completeness_findings(final: Iterable[Document], lost: Sequence[Loss], ids: Sequence[EntryId]) -> list[str]:
    """Candles whose `complete` does not match the losses and the beginning and end of the feed."""
    gaps = [Gap(-1, ids[1].ms), *(Gap(outage.from_ms, outage.to_ms) for outage in lost), Gap(ids[-2].ms, 1 << 62)]
    wrong = wrong_completeness(final, gaps)
    return [*wrong[:MOST_SHOWN], f"{len(wrong)} candles with a wrong `complete`"] if wrong else []


def stored_findings(final: Mapping[str, Document], stored: Mapping[str, Document], logged_lost: int) -> list[str]:
    """MongoDB has the last revision of every candle, except for as many as the archive logged as lost."""
    other = [key for key, document in final.items() if key in stored and stored[key] != document]
    missing = sum(key not in stored for key in final)
    findings = [f"MongoDB has another {key}" for key in other[:MOST_SHOWN]] if not logged_lost else []
    if missing > logged_lost:
        findings.append(f"MongoDB misses {missing} candles, and the archive logged {logged_lost} as lost")
    too_much = [key for key in stored if key not in final]
    return [*findings, *(f"MongoDB has {key}, which was never published" for key in too_much[:MOST_SHOWN])]


def announcement_findings(
    announced: Sequence[Announcement], health: Mapping[str, str], forced_out: int, forced_logged: int
) -> list[str]:
    """Health report and log of the candle worker agree, and the connector logged all that its sender forced out."""
    entries, lost_ms = sum(value.entries for value in announced), sum(outage.lost_ms for outage in announced)
    findings = []
    if (int(health.get("lost_entries", -1)), int(health.get("lost_ms", -1))) != (entries, lost_ms):
        findings.append(
            f"the log has {entries} lost entries in {lost_ms} ms, "
            f"the health report {health.get('lost_entries')} in {health.get('lost_ms')} ms"
        )
    if forced_logged != forced_out:
        findings.append(f"{forced_out} entries were forced out of the streams, and the log has {forced_logged}")
    return findings


__all__ = [
    "FORCED_OUT",
    "NOT_STORED",
    "Announcement",
    "announcement_findings",
    "announcements",
    "judge_shard",
    "log_lines",
    "logged_sum",
    "since_start",
    "stored_findings",
]
