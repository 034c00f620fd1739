"""kill -9 in the middle of a session, and a restart: nothing changes except for what the outage itself lost.

- Workers: a run in which both are killed again and again ends with the same candles and signals, entry ids included,
  as an undisturbed run over the same journal.
- Connector: a second connector, never killed, records the full feed. Candles that the gap touched must be marked
  incomplete; every other one must equal that of the full feed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.harness import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER, WORKERS, Document, Scripts, pipeline, stores
from tests.e2e.simulated import SIMULATOR, Exchange, Steps, ist_ms, journal_entries, play_on, start_exchange
from tests.reference.candles import reference_candles
from tests.reference.comparison import FIELDS, compare
from tests.reference.inputs import Entry, ReferenceSettings, mark_of
from tests.shared.length import length

# Short ones among them: a strategy needs 200 candles before its first signal.
TIMEFRAMES = {"5s": 5, "15s": 15, "1m": 60, "5m": 300, "1d": 0}
SETTINGS = ReferenceSettings(tuple((name, seconds * 1_000) for name, seconds in TIMEFRAMES.items()))
INSTRUMENTS = length(short=30, long=40)
SPEED = 240.0  # at most, while workers are killed and started: they live a while between two kills
START = "10:05:00"
OVER, LAST_KILL = length(short=("10:32:00", "10:30:00"), long=("10:42:00", "10:40:00"))
# With two feeds, and between which two of its moments the connector is killed.
OVER_WITH_TWO_FEEDS = length(short="10:21:00", long="10:32:00")
CONNECTOR_KILLED = length(short=("10:09:00", "10:14:00"), long=("10:14:00", "10:22:00"))
KILLS = 6
GAP_MS = 40_000
GRACE_MS = 3_000
pytestmark = pytest.mark.timeout(1800)
SEED = int(os.environ.get("CANDLEWICK_SEED", "7"))
ALL_BUT_REV = tuple(field for field in FIELDS if field != "rev")
OBSERVER = "observer"


@contextmanager
def started(directory: Path, faults: str) -> Iterator[tuple[Scripts, Exchange, Steps]]:
    """An exchange whose clock is at START; no script runs yet."""
    with stores(directory) as where:
        settings = {"TIMEFRAMES": ",".join(TIMEFRAMES), "WARMUP": "false", "SNAPSHOT_SECONDS": "0.7"}
        with pipeline(directory, where, settings | {"LEASE_SECONDS": "1"}) as scripts:
            clock = Steps.from_start(directory, START)
            yield scripts, start_exchange(scripts, clock, INSTRUMENTS, SEED, faults, directory / "sent"), clock


@dataclass(frozen=True)
class Outcome:
    """The output of a run."""

    closed: list[tuple[str, Document]]
    candles: list[Document]
    signals: list[Document]
    signals_stored: list[Document]
    signals_in_file: list[Document]


def outcome(scripts: Scripts) -> Outcome:
    lines = [
        line for path in sorted((scripts.directory / "logs").glob("signals_*.jsonl")) for line in path.open("rb")
    ]
    return Outcome(
        scripts.entries("closed:{a}"),
        sorted(scripts.candles_published_once(), key=lambda document: str(document["_id"])),
        scripts.stream("signals:{a}"),
        sorted(scripts.collection("signals"), key=lambda document: str(document["_id"])),
        [orjson.loads(line) for line in lines],
    )


# ---- the workers


def test_killed_workers_change_nothing(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with started(tmp_path / "killed", "late,duplicate,malformed,badprint,crossed") as (scripts, exchange, clock):
        for name in (*WORKERS, CONNECTOR):
            scripts.start(name)
        scripts.until_ready(*WORKERS)
        scripts.until_connected()
        _kill_again_and_again(scripts, exchange, clock, dice)
        play_on(scripts, exchange, clock, ist_ms(OVER))
        scripts.drain()
        killed = outcome(scripts)
        entries = journal_entries(scripts.directory / "journal", 0)
    undisturbed = _undisturbed(tmp_path / "undisturbed", entries, scripts.environment["INSTRUMENTS"])
    counts = f"{len(killed.candles)} candles, {len(killed.closed)} published, {len(killed.signals)} signals"
    print(f"\n  seed {SEED}: {counts}")
    assert len(killed.candles) > length(short=3_000, long=5_000) and len(killed.signals) > 10
    assert _first_difference(killed.closed, undisturbed.closed) is None
    assert _first_difference(killed.candles, undisturbed.candles) is None
    for signals in (killed.signals, killed.signals_stored, killed.signals_in_file):
        ids = [str(signal["_id"]) for signal in signals]
        assert len(set(ids)) == len(ids), "a signal was published twice"
    assert _first_difference(killed.signals, undisturbed.signals) is None
    assert _first_difference(killed.signals_stored, undisturbed.signals_stored) is None
    assert _first_difference(killed.signals_in_file, undisturbed.signals_in_file) is None


def _kill_again_and_again(scripts: Scripts, exchange: Exchange, clock: Steps, dice: random.Random) -> None:
    """Each kill at a seeded moment of the market, now one, now the other, now both; each restart a while later.

    The market keeps playing. A worker that is still starting when its next kill is due is killed all the same.
    """
    moments = sorted(round(dice.uniform(ist_ms("10:08:00"), ist_ms(LAST_KILL))) for _ in range(KILLS))
    for at_ms in moments:
        victims = dice.choice(((CANDLE_WORKER,), (SIGNAL_WORKER,), WORKERS))
        away_ms = dice.choice((2_000, 30_000, 90_000))
        play_on(scripts, exchange, clock, at_ms, SPEED)
        exchange.play(at_ms + away_ms, SPEED)  # frames come while the victims die
        for name in victims:
            scripts.kill(name)
        play_on(scripts, exchange, clock, at_ms + away_ms, SPEED)
        for name in victims:
            scripts.start(name)


def _undisturbed(directory: Path, entries: Sequence[Entry], instruments: str) -> Outcome:
    """The output of undisturbed workers for the same entries, with their ids."""
    with stores(directory) as where:
        settings = {"TIMEFRAMES": ",".join(TIMEFRAMES), "WARMUP": "false", "INSTRUMENTS": instruments}
        settings |= Steps.from_start(directory, START).settings
        with pipeline(directory, where, settings) as scripts:
            _show_instruments(scripts, entries)
            for name in WORKERS:
                scripts.start(name)
            scripts.until_ready(*WORKERS)
            pipe = where.client.pipeline(transaction=False)
            for n, entry in enumerate(entries):
                pipe.xadd("ticks:{a}", {entry.kind: entry.payload}, id=f"{entry.ms}-{entry.counter}")
                if n % 1_000 == 999:
                    pipe.execute()
            pipe.execute()
            scripts.drain()
            return outcome(scripts)


def _show_instruments(scripts: Scripts, entries: Iterable[Entry]) -> None:
    """The `instruments` hash as the connector writes it, from its own mark in the journal."""
    named = next(orjson.loads(entry.payload)["instruments"] for entry in entries if _is(entry, "subscribed"))
    shown: dict[Any, Any] = {
        f"{instrument['exchange']}:{instrument['tradingsymbol']}": orjson.dumps(instrument) for instrument in named
    }
    scripts.stores.client.hset("instruments", mapping=shown)


def _first_difference(ours: Sequence[object], theirs: Sequence[object]) -> str | None:
    """The first difference only: a diff of thousands of documents is unreadable."""
    for n, (candle, other) in enumerate(zip(ours, theirs, strict=False)):
        if candle != other:
            return f"no. {n} of {len(ours)} is {candle}, undisturbed {other}"
    return None if len(ours) == len(theirs) else f"{len(ours)} here, {len(theirs)} undisturbed"


def _is(entry: Entry, mark: str) -> bool:
    return entry.kind == "m" and mark_of(entry.payload)[0] == mark


# ---- the connector


def test_killed_connector_marks_what_the_gap_touched_and_nothing_else(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    with started(tmp_path, "none") as (scripts, exchange, clock):
        observed = str(tmp_path / "observed")
        scripts.start(OBSERVER, ["connect.py"], REDIS_PREFIX="observed:", JOURNAL_DIR=observed, LOG_DIR=observed)
        client = scripts.stores.client
        scripts.until(lambda: client.hget("observed:health:connector", "state") == b"up", "the observer is connected")
        for name in (*WORKERS, CONNECTOR):
            scripts.start(name)
        scripts.until_ready(*WORKERS)
        scripts.until_connected()
        kill_ms = round(dice.uniform(*map(ist_ms, CONNECTOR_KILLED)))
        play_on(scripts, exchange, clock, kill_ms)
        scripts.kill(CONNECTOR)
        play_on(scripts, exchange, clock, kill_ms + GAP_MS)
        scripts.start(CONNECTOR)
        scripts.until(lambda: _is_up_since(scripts, kill_ms + GAP_MS), "the connector is up again")
        play_on(scripts, exchange, clock, ist_ms(OVER_WITH_TWO_FEEDS))
        scripts.drain()
        scripts.stop(OBSERVER)
        candles = scripts.candles_published_once()
        scripts.stop(SIMULATOR)
    received, sent = journal_entries(tmp_path / "journal", 0), journal_entries(tmp_path / "observed", 0)
    assert compare(reference_candles(received, exchange.instruments, SETTINGS).candles, candles) == []
    gap, *others = _gaps(received)
    assert not others, f"one outage was made, the journal has {gap} and {others}"
    assert gap[1] == kill_ms + GAP_MS and kill_ms - 1_000 <= gap[0] <= kill_ms
    touched, untouched = _parted(candles, gap, received)
    print(f"\n  seed {SEED}: a gap of {(gap[1] - gap[0]) / 1000:.0f} s; {len(touched)} candles touched")
    assert len(touched) > INSTRUMENTS and len(untouched) > length(short=1_000, long=3_000)
    assert [document["_id"] for document in touched if document["complete"]] == []
    assert [document["_id"] for document in untouched if not document["complete"]] == []
    table = reference_candles(sent, exchange.instruments, SETTINGS).candles
    of_the_full_feed = [
        {"id": n, "t": start, "end_t": end}
        for n, start, end in zip(table.index, table.start_ms, table.end_ms, strict=True)
    ]
    _, untouched_of_feed = _parted(of_the_full_feed, gap, received)
    # Both ways: none of them differs, and none that the full feed has is missing.
    assert compare(table.loc[[entry["id"] for entry in untouched_of_feed]], untouched, ALL_BUT_REV) == []


def _is_up_since(scripts: Scripts, market_ms: int) -> bool:
    """Whether a connector that was started at `market_ms` or later is up, not the one that was killed."""
    report = scripts.health("connector")
    return report.get("state") == "up" and int(report["started_market_ms"]) >= market_ms


def _gaps(entries: Iterable[Entry]) -> list[tuple[int, int]]:
    """Each from the last frame before an outage in the session to the subscription that ended it."""
    gaps: list[tuple[int, int]] = []
    last_frame_ms = 0
    for entry in entries:
        if entry.kind in ("f", "t"):
            last_frame_ms = entry.ms
        elif _is(entry, "subscribed") and last_frame_ms:
            gaps.append((last_frame_ms, entry.ms))
    return gaps


def _parted(
    candles: Iterable[Document], gap: tuple[int, int], received: Sequence[Entry]
) -> tuple[list[Document], list[Document]]:
    """(touched, untouched) candles: touched ones overlap the gap, or the time before the first subscription or after
    the last frame. Candles that were within their grace are in neither.
    """
    begin_ms = next(entry.ms for entry in received if _is(entry, "subscribed"))
    end_ms = max(entry.ms for entry in received if entry.kind == "f")
    touched, untouched = [], []
    for candle in candles:
        starts, ends = candle["t"], candle["end_t"]
        if starts < begin_ms or ends > end_ms or (starts < gap[1] and ends > gap[0]):
            touched.append(candle)
        elif ends + GRACE_MS <= end_ms and (starts >= gap[1] or ends + GRACE_MS <= gap[0]):
            untouched.append(candle)
    return touched, untouched
