"""Judges the output of a round, field by field, against what follows from the journal.

- Candles against one undisturbed run of the engine over the journal (the closed stream must have the same entries in
  the same order), and against the reference of tests/reference, which shares no code with the engine.
- Signals against an undisturbed signal engine over the closed stream.
- The journal against the frames that the exchange recorded.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from data_handler import rules_of
from strategies import load_strategies
from tests.chaos.completeness import gaps_of, trades_lost, unmarked, worst_lag_ms, wrong_completeness
from tests.chaos.stage import Stage
from tests.e2e.harness import Document
from tests.e2e.simulated import journal_entries
from tests.reference.candles import reference_candles
from tests.reference.comparison import compare
from tests.reference.inputs import Entry, ReferenceSettings
from tests.reference.recording import _records
from tests.shared.engine_candles import engine_candles
from utils.candles.engine import CandleEngine
from utils.journal.entries import HEARTBEAT, EntryId, Kind
from utils.journal.entries import Entry as EngineEntry
from utils.keys import Keys
from utils.market.candle import Candle
from utils.market.entry_limit import read_entry_limit
from utils.market.instruments import Instrument
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframes
from utils.runtime.settings import Settings
from utils.signals.engine import SignalEngine
from utils.stores.publishing import message_id

MOST_SHOWN = 5


@dataclass
class Verdict:
    """The figures of a round, and each difference as a sentence."""

    entries: int = 0
    frames_sent: int = 0
    frames_received: int = 0
    published: int = 0
    revisions: int = 0
    candles: int = 0
    incomplete: int = 0
    signals: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)

    def differ(self, what: str, lines: Iterable[str]) -> None:
        found = list(lines)
        if found:
            self.differences.append(f"{what}: {len(found)} differences: {'; '.join(found[:MOST_SHOWN])}")


def judge(stage: Stage, torn_ids: frozenset[str] = frozenset(), clock_was_wrong: bool = False) -> Verdict:
    """`torn_ids`: entries that were torn off the journal after they had been sent.

    With `clock_was_wrong` the receive times are not market times: only the reference judges `complete` then.
    """
    verdict = Verdict()
    closed: list[Document] = []
    for shard in range(stage.plan.shards):
        received = _received(stage, shard, torn_ids, verdict)
        closed += _judge_candles(stage, shard, received, verdict)
        _judge_reference(stage, received, shard, verdict)
        final = {entry["_id"]: entry for entry in stage.scripts.stream(Keys().closed(shard))}
        _judge_frames(stage, shard, received, list(final.values()), verdict)
        if not clock_was_wrong:
            verdict.differ(
                f"complete in shard {shard}",
                wrong_completeness(final.values(), gaps_of(received), worst_lag_ms(received)),
            )
    _judge_stored(stage, closed, verdict)
    _judge_signals(stage, verdict)
    return verdict


# -- the journal and the stream of ticks ---------------------------------------------


def _received(stage: Stage, shard: int, torn_ids: frozenset[str], verdict: Verdict) -> list[Entry]:
    """The shard's entries: the journal's, and those that were torn off the journal after they were sent."""
    journal = {_id(entry): entry for entry in journal_entries(stage.journal, shard)}
    raw: Any = stage.scripts.stores.client.xrange(Keys().ticks(shard))
    stream = {
        entry_id.decode(): (kind.decode(), payload) for entry_id, fields in raw for kind, payload in fields.items()
    }
    missing = [entry for entry in journal if entry not in stream]
    verdict.differ(f"{Keys().ticks(shard)} misses entries of the journal", missing)
    unrecorded = [entry for entry in stream.keys() - torn_ids if entry not in journal]
    verdict.differ(f"the journal of {shard} misses entries", unrecorded)
    changed = [
        key
        for key, entry in journal.items()
        if stream.get(key, (entry.kind, entry.payload)) != (entry.kind, entry.payload)
    ]
    verdict.differ(f"{Keys().ticks(shard)} has other payloads", changed)
    for key in stream.keys() - journal.keys():
        ms, _, counter = key.partition("-")
        journal[key] = Entry(int(ms), int(counter), *stream[key])
    verdict.entries += len(journal)
    return sorted(journal.values(), key=lambda entry: (entry.ms, entry.counter))


def _id(entry: Entry) -> str:
    return f"{entry.ms}-{entry.counter}"


def _judge_frames(stage: Stage, shard: int, received: list[Entry], final: list[Document], verdict: Verdict) -> None:
    """The frames of each connection in the journal are a prefix of those that the exchange recorded, byte for byte.

    Candles with a trade in the remaining frames must not be marked complete.
    """
    numbers = sorted(int(path.stem.removeprefix("sent-")) for path in stage.record.glob("sent-*.frames"))
    recordings = [_recording(stage, number) for number in numbers if _asked(stage, number)]
    verdict.frames_sent += 0 if shard else sum(map(len, recordings))
    at = 0
    for index, segment in enumerate(_connections(received)):
        verdict.frames_received += len(segment.frames)
        if not segment.frames:
            continue
        while at < len(recordings) and (sent := _received_of(recordings[at], segment.frames)) is None:
            at += 1
        if at == len(recordings) or sent is None:
            verdict.differ(f"connection {index} of shard {shard}", ["its frames are not what the exchange sent"])
            return
        lost = trades_lost(recordings[at][sent:], segment.frames)
        verdict.differ(f"after connection {index} of shard {shard}", unmarked(final, lost, segment.last_ms))
        at += 1


def _received_of(sent: list[bytes], received: list[bytes]) -> int | None:
    """How many of the frames sent were received, in order; None when a received one was not sent.

    Heartbeats may be more: an order update goes to another journal and leaves a heartbeat in the shard's.
    """
    at = 0
    for frame in received:
        if at < len(sent) and sent[at] == frame:
            at += 1
        elif frame != HEARTBEAT:
            return None
    return at


def _asked(stage: Stage, number: int) -> bool:
    return bool(json.loads((stage.record / f"sent-{number}.json").read_text())["subscribes"])


def _recording(stage: Stage, number: int) -> list[bytes]:
    return [frame for _, frame in _records((stage.record / f"sent-{number}.frames").read_bytes())]


@dataclass
class _Connection:
    """The frames between one `up` mark and the next, and the receive time of the last one."""

    frames: list[bytes] = field(default_factory=list)
    last_ms: int = 0


def _connections(received: Iterable[Entry]) -> list[_Connection]:
    segments: list[_Connection] = []
    for entry in received:
        if entry.kind == "m" and json.loads(entry.payload)["mark"] == "up":
            segments.append(_Connection())
        elif entry.kind == "f":
            segments[-1].frames.append(entry.payload)
            segments[-1].last_ms = entry.ms
    return segments


# -- candles -------------------------------------------------------------------------


def _settings(stage: Stage) -> Settings:
    return Settings(_env_file=None, timeframes=stage.plan.timeframes)  # type: ignore[arg-type, call-arg]


def _judge_candles(stage: Stage, shard: int, received: list[Entry], verdict: Verdict) -> list[Document]:
    """The closed stream, entry for entry, against one undisturbed run of the engine, whose candles are returned."""
    settings = _settings(stage)
    engine = CandleEngine(settings.timeframes, rules_of(settings), settings.zscore_window, SessionCalendar.load())
    output = engine.process(
        EngineEntry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload) for entry in received
    )
    expected = {
        message_id(
            engine_candle.source.ms, engine_candle.source.counter, engine_candle.number
        ): engine_candle.candle.as_document()
        for engine_candle in engine_candles(output)
    }
    raw: Any = stage.scripts.stores.client.xrange(Keys().closed(shard))
    found = {entry.decode(): orjson.loads(fields[b"json"]) for entry, fields in raw}
    verdict.differ(Keys().closed(shard), _differences(expected, found))
    if not verdict.differences and list(found) != list(expected):
        verdict.differ(Keys().closed(shard), ["another order"])
    twice = [
        str(key)
        for key, times in Counter((document["_id"], document["rev"]) for document in found.values()).items()
        if times > 1
    ]
    verdict.differ(f"{Keys().closed(shard)} has the same revision twice", twice)
    verdict.published += len(found)
    verdict.revisions += sum(document["rev"] > 0 for document in found.values())
    rejected = Counter(rejection.reason for rejection in output.rejected)
    for reason, count in rejected.items():
        verdict.rejected[reason] = verdict.rejected.get(reason, 0) + count
    _judge_rejected(stage, rejected, shard, verdict)
    return list(expected.values())


def _judge_rejected(stage: Stage, expected: Mapping[str, int], shard: int, verdict: Verdict) -> None:
    """Each rejected packet has one entry in the shard's stream of them, up to the length of that stream."""
    if sum(expected.values()) > 9_000 // stage.plan.shards:
        return
    name = Keys().rejected(shard)
    found = Counter(entry["reason"] for entry in stage.scripts.stream(name))
    verdict.differ(name, _differences(dict(expected), dict(found)))


def _judge_reference(stage: Stage, received: list[Entry], shard: int, verdict: Verdict) -> None:
    frames = tuple((timeframe.name, timeframe.length_ms) for timeframe in parse_timeframes(stage.plan.timeframes))
    reference = reference_candles(received, stage.exchange.instruments, ReferenceSettings(frames)).candles
    final = {entry["_id"]: entry for entry in stage.scripts.stream(Keys().closed(shard))}
    verdict.differ(f"the reference of shard {shard}", compare(reference, final.values()))
    verdict.candles += len(final)
    verdict.incomplete += sum(not document["complete"] for document in final.values())


def _judge_stored(stage: Stage, closed: list[Document], verdict: Verdict) -> None:
    stored = {document["_id"]: document for document in stage.scripts.collection("candles")}
    verdict.differ(
        "MongoDB's candles", _differences({closed_candle["_id"]: closed_candle for closed_candle in closed}, stored)
    )


# -- signals -------------------------------------------------------------------------


def _judge_signals(stage: Stage, verdict: Verdict) -> None:
    """Each signal once in the stream, in MongoDB and in the file, as an undisturbed engine gives them."""
    settings = _settings(stage)
    calendar = SessionCalendar.load()
    stored: Any = stage.scripts.stores.client.hgetall("instruments")
    instruments = {name.decode(): Instrument.from_dict(orjson.loads(body)) for name, body in stored.items()}
    expected: dict[str, Document] = {}
    for shard in range(stage.plan.shards):
        limit = read_entry_limit(settings.no_new_entries_after, calendar, instruments)
        engine = SignalEngine(load_strategies(settings.strategy_names), limit)
        candles = [Candle.from_document(entry) for entry in stage.scripts.stream(Keys().closed(shard))]
        expected |= {fired.signal.id: _plain(fired.signal.as_document()) for fired in engine.apply(candles).fired}
    verdict.signals += len(expected)
    lines = [line for path in sorted((stage.directory / "logs").glob("signals_*.jsonl")) for line in path.open("rb")]
    targets = {
        "the signals streams": stage.scripts.signals_streams(),
        "MongoDB's signals": stage.scripts.collection("signals"),
        "the file of signals": [orjson.loads(line) for line in lines],
    }
    for target, documents in targets.items():
        twice = [key for key, times in Counter(document["_id"] for document in documents).items() if times > 1]
        verdict.differ(f"{target}, published twice", twice)
        verdict.differ(target, _differences(expected, {document["_id"]: document for document in documents}))


def _plain(document: Document) -> Document:
    loaded: Document = orjson.loads(orjson.dumps(document))
    return loaded


def _differences(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    lines = [f"{key} is missing" for key in expected if key not in found]
    lines += [f"{key} is too much" for key in found if key not in expected]
    for key, want in expected.items():
        have = found.get(key, want)
        if have != want:
            lines.append(f"{key}: {_fields_that_differ(want, have)}")
    return lines


def _fields_that_differ(want: Any, have: Any) -> str:
    if not isinstance(want, dict) or not isinstance(have, dict):
        return f"{want!r} expected, {have!r} found"
    names = [name for name in want.keys() | have.keys() if want.get(name) != have.get(name)]
    return ", ".join(f"{name} {want.get(name)!r} expected, {have.get(name)!r} found" for name in sorted(names))
