"""What came out of an overload run, against the journal and against what was announced.

The closed streams must hold, entry for entry, what the engine says of the journal without the entries whose loss was
announced, with the outage in their place; so a loss that nobody told shows as a difference, and so does a number that
is not true. That the touched candles say `complete: false` is checked apart, by nothing but times.
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
from tests.chaos.completeness import Gap, wrongly_said
from utils.candles.engine import CandleEngine
from utils.journal.entries import Entry, EntryId, Kind
from utils.journal.writer import journal_days, journal_path, read_journal
from utils.keys import Keys
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings
from utils.stores.outbox import message_id

Document = dict[str, Any]
AT_ONCE = 256
LAST_COUNTER = (1 << 32) - 1
MOST_SHOWN = 3
DROPPED = "entries were dropped from the stream before they were read"
FORCED_OUT = "the stream reached STREAM_MAX_MB"
NOT_STORED = "entries were dropped from the stream before they were stored"


@dataclass(frozen=True, slots=True)
class Announcement:
    """One loss as the candle worker's log tells it: `entries` of a shard that came after `after`."""

    shard: int
    after: EntryId
    entries: int
    lost_ms: int


@dataclass(frozen=True, slots=True)
class Loss:
    """An announcement held against the journal: the entries at [first, end) are gone."""

    first: int
    end: int
    from_ms: int
    to_ms: int


def log_lines(path: Path) -> list[Document]:
    """A process's JSON lines, those of rotated files first; none when it never wrote any."""
    paths = [*sorted(path.parent.glob(f"{path.name}.*"), reverse=True), path]
    return [orjson.loads(line) for one in paths if one.exists() for line in one.open("rb")]


def announcements(lines: Iterable[Mapping[str, Any]]) -> list[Announcement]:
    """What a candle worker's log says was lost."""
    return [
        Announcement(one["shard"], EntryId.parse(one["after"]), one["entries"], one["lost_ms"])
        for one in lines
        if str(one["event"]).startswith(DROPPED)
    ]


def since_start(lines: Sequence[Document]) -> Sequence[Document]:
    """The lines of the process that was started last: its health report counts from there."""
    starts = [nth for nth, one in enumerate(lines) if one["event"] == "starts"]
    return lines[starts[-1] :] if starts else lines


def logged_sum(lines: Iterable[Mapping[str, Any]], beginning: str, name: str) -> int:
    """The sum of a field over all lines of an event."""
    return sum(int(one[name]) for one in lines if str(one["event"]).startswith(beginning))


def losses(ids: Sequence[EntryId], told: Iterable[Announcement], findings: list[str]) -> list[Loss]:
    """Where the announced losses lie among the ids of a journal; what does not fit is a finding."""
    found = []
    for one in sorted(told, key=lambda one: one.after):
        first = _index_after(ids, one.after)
        end = first + one.entries
        if first == 0 or end >= len(ids) or ids[end].ms - one.after.ms != one.lost_ms:
            findings.append(f"the announced loss of {one.entries} entries after {one.after} does not fit the journal")
            continue
        found.append(Loss(first, end, one.after.ms, ids[end].ms))
    return found


def _index_after(ids: Sequence[EntryId], after: EntryId) -> int:
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if ids[middle] <= after else (low, middle)
    return low if low and ids[low - 1] == after else 0


def with_outages(entries: Iterable[Entry], lost: Sequence[Loss], subscribed: bytes) -> Iterator[Entry]:
    """The journal as a worker saw it: the last subscription once more in the place of what is lost."""
    starts, gone = {one.end for one in lost}, [range(one.first, one.end) for one in lost]
    at = 0
    for nth, entry in enumerate(entries):
        while at < len(gone) and nth >= gone[at].stop:
            at += 1
        if at < len(gone) and nth in gone[at]:
            continue
        if nth in starts:
            ms, counter = entry.id
            yield Entry(EntryId(ms, counter - 1) if counter else EntryId(ms - 1, LAST_COUNTER), Kind.MARK, subscribed)
        yield entry


@dataclass(slots=True)
class ShardVerdict:
    """Figures of one shard; `early` is how much a killed worker said of entries that its successor never saw, `final`
    each candle as it was last said."""

    entries: int
    lost: list[Loss]
    said: int
    kept: int
    early: int
    final: dict[str, Document]


def judge_shard(
    journal: Path, shard: int, settings: Settings, told: Sequence[Announcement], heard: Mapping[str, Document],
    findings: list[str], killed_ms: int = 0,
) -> ShardVerdict:  # fmt: skip
    """`heard` is the closed stream, id to document, in order; at `killed_ms` a worker was killed. Findings are
    sentences."""
    ids = [one.id for one in _entries(journal, shard)]
    lost = losses(ids, (one for one in told if one.shard == shard), findings)
    subscribed = _subscription(journal, shard)
    expected = expected_sayings(with_outages(_entries(journal, shard), lost, subscribed), settings)
    findings += completeness_findings({one["_id"]: one for one in expected.values()}.values(), lost, ids)
    early: dict[str, Document] = {}
    for nth, one in enumerate(lost):
        read = takewhile(lambda entry: entry.id.ms <= killed_ms, _entries(journal, shard))
        undisturbed = messages(with_outages(read, lost[:nth], subscribed), settings)
        of_killed = said_before_the_end(undisturbed, heard, ids[one.first - 1], ids[one.end])
        expected, early = merged(expected, of_killed), early | of_killed
    kept = dict(islice(expected.items(), max(0, len(expected) - len(heard)), None))
    if len(heard) < len(expected) and len(heard) < settings.closed_max_entries:
        findings.append(f"{Keys().closed(shard)} has {len(heard)} entries, {len(expected)} were to be said")
    findings += [f"{Keys().closed(shard)}: {line}" for line in differences(kept, heard)]
    findings += [f"{Keys().closed(shard)} says {key} twice" for key in _twice(heard, early)[:MOST_SHOWN]]
    final = {one["_id"]: one for one in expected.values()}
    return ShardVerdict(len(ids), lost, len(expected), len(heard), len(early), final)


def said_before_the_end(
    undisturbed: Iterable[tuple[str, Document]], heard: Mapping[str, Document], after: EntryId, until: EntryId
) -> dict[str, Document]:
    """What a killed worker had still said of entries after its last snapshot that were then dropped, or of some that
    came behind them: of what an undisturbed one says the first so many that were heard. Its successor, who goes on
    from the snapshot, can not know that."""
    first, last = message_id(after.ms, after.counter + 1, 0), message_id(until.ms, until.counter, 0)
    found: dict[str, Document] = {}
    for key, document in undisturbed:
        if EntryId.parse(key) < EntryId.parse(first):
            continue
        if key not in heard or (EntryId.parse(key) >= EntryId.parse(last) and heard[key] != document):
            break
        found[key] = document
    return found


def merged(successor: Mapping[str, Document], of_killed: Mapping[str, Document]) -> dict[str, Document]:
    """What is heard of two workers: the outbox refuses what is not newer than all that the killed one said, even the
    successor's outage, where that lies before it."""
    if not of_killed:
        return dict(successor)
    of_them = [EntryId.parse(key) for key in of_killed]
    told = {key: one for key, one in successor.items() if not min(of_them) <= EntryId.parse(key) <= max(of_them)}
    return dict(sorted([*told.items(), *of_killed.items()], key=lambda pair: EntryId.parse(pair[0])))


def _twice(heard: Mapping[str, Document], early: Mapping[str, Document]) -> list[str]:
    known = {(one["_id"], one["rev"]) for one in early.values()}
    times = Counter((one["_id"], one["rev"]) for one in heard.values())
    return [f"{key} rev {rev}" for (key, rev), n in times.items() if n > 1 + ((key, rev) in known)]


def _entries(journal: Path, shard: int) -> Iterator[Entry]:
    for day in journal_days(journal):
        path = journal_path(journal, day, shard)
        if path is not None:
            yield from read_journal(path)


def _subscription(journal: Path, shard: int) -> bytes:
    marks = (one.payload for one in islice(_entries(journal, shard), 10) if one.kind is Kind.MARK)
    return next(payload for payload in marks if json.loads(payload)["mark"] == "subscribed")


def expected_sayings(entries: Iterable[Entry], settings: Settings) -> dict[str, Document]:
    """What the engine, fed directly, has to say, under the ids that the outbox gives."""
    return dict(messages(entries, settings))


def messages(entries: Iterable[Entry], settings: Settings) -> Iterator[tuple[str, Document]]:
    """As `expected_sayings`, one after the other."""
    engine = CandleEngine(settings.timeframes, rules_of(settings), settings.zscore_window, SessionCalendar.load())
    iterator = iter(entries)
    while batch := list(islice(iterator, AT_ONCE)):
        for one in engine.take(batch).closed:
            yield message_id(one.source.ms, one.source.counter, one.nth), one.candle.as_document()


def differences(expected: Mapping[str, Document], heard: Mapping[str, Document]) -> list[str]:
    """The first few, and how many there are."""
    lines = [f"{key} is missing" for key in expected if key not in heard]
    lines += [f"{key} is too much" for key in heard if key not in expected]
    for key, want in expected.items():
        have = heard.get(key, want)
        names = [name for name in want if have.get(name) != want[name]]
        lines += [f"{key} has another {', '.join(names)}"] if names else []
    if not lines and list(expected) != list(heard):
        lines = ["another order"]
    return [*lines[:MOST_SHOWN], f"{len(lines)} differences in all"] if lines else []


def completeness_findings(final: Iterable[Document], lost: Sequence[Loss], ids: Sequence[EntryId]) -> list[str]:
    """Candles whose `complete` is not what the losses, the beginning and the end of the feed say."""
    gaps = [Gap(-1, ids[1].ms), *(Gap(one.from_ms, one.to_ms) for one in lost), Gap(ids[-2].ms, 1 << 62)]
    wrong = wrongly_said(final, gaps)
    return [*wrong[:MOST_SHOWN], f"{len(wrong)} candles with a wrong `complete`"] if wrong else []


def stored_findings(final: Mapping[str, Document], stored: Mapping[str, Document], told_lost: int) -> list[str]:
    """MongoDB has every candle as it was last said, but for as many as the archive said it lost."""
    other = [key for key, one in final.items() if key in stored and stored[key] != one]
    missing = sum(key not in stored for key in final)
    findings = [f"MongoDB has another {key}" for key in other[:MOST_SHOWN]] if not told_lost else []
    if missing > told_lost:
        findings.append(f"MongoDB lacks {missing} candles, and the archive told of {told_lost}")
    too_much = [key for key in stored if key not in final]
    return [*findings, *(f"MongoDB has {key}, which nobody said" for key in too_much[:MOST_SHOWN])]


def announcement_findings(
    told: Sequence[Announcement], health: Mapping[str, str], forced_out: int, forced_told: int
) -> list[str]:
    """Health report and log of the candle worker say the same, and no more is lost than the sender forced out."""
    entries, lost_ms = sum(one.entries for one in told), sum(one.lost_ms for one in told)
    findings = []
    if (int(health.get("lost_entries", -1)), int(health.get("lost_ms", -1))) != (entries, lost_ms):
        findings.append(
            f"the log tells of {entries} lost entries in {lost_ms} ms, "
            f"the health report of {health.get('lost_entries')} in {health.get('lost_ms')} ms"
        )
    if forced_told != forced_out:
        findings.append(f"{forced_out} entries were forced out of the streams, and the log tells of {forced_told}")
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
