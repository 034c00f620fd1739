"""A whole simulated session with everything wrong in it, through the real processes, candle by candle.

Three comparisons, and what each proves:

1. What the exchange recorded as sent is, frame by frame and byte by byte, what the connector's journal holds: nothing
   was lost, doubled or put in another order on the way in.
2. Every candle of every timeframe equals the reference over the journal, field by field, `rev` too: with 1, the
   candles are those of the packets sent. Receipt is the journal's, because when a candle closes is decided by it.
3. The same with the exchange's own sending times as the only times there are, for a part of the instruments: the
   candles do not hang on when the frames happened to arrive. Only a candle with a packet older than the last closed
   one may differ (it depends on the receipt whether such a packet is still in time), and so may `rev`.

CANDLEWICK_SESSION=quick plays 40 minutes of 40 instruments instead; CANDLEWICK_SEED and CANDLEWICK_SPEED are heeded.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest

from commands.truth_comparison import compare_with_tape
from simulator.tape import Tape
from simulator.universe import build_universe
from tests.e2e.harness import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER, WORKERS, Document, Scripts, pipeline, stores
from tests.e2e.simulated import (
    DAY,
    SIMULATOR,
    Clock,
    Exchange,
    ist_ms,
    journal_entries,
    play_until,
    reference_of_shards,
    start_exchange,
)
from tests.reference.comparison import FIELDS, compare
from tests.reference.inputs import Entry, ReferenceSettings
from tests.reference.packets import split_frame
from tests.reference.recording import entries_from_recording
from utils.candle import Candle
from utils.sessions import SessionCalendar
from utils.timeframes import parse_timeframes

TIMEFRAMES = {"1m": 1, "2m": 2, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60, "75m": 75, "1d": 0}
SETTINGS = ReferenceSettings(tuple((name, minutes * 60_000) for name, minutes in TIMEFRAMES.items()))
ALL_BUT_REV = tuple(field for field in FIELDS if field != "rev")
FAULTS = "late,duplicate,malformed,badprint,crossed"
SHARDS = 2
READY_SECONDS = 12.0
ON_ITS_WAY_SECONDS = 10.0  # real: what a busy machine may have sent and not received yet
SEED = int(os.environ.get("CANDLEWICK_SEED", "2026"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the session itself is played in the fixture
SENT_SHARE = 7  # one instrument in so many is also judged by the sending times


@dataclass(frozen=True)
class Plan:
    """How much of the session is played."""

    instruments: int
    start: str
    until: str
    speed: float


PLANS = {"full": Plan(200, "09:00", "15:45", 170.0), "quick": Plan(40, "09:05", "09:45", 120.0)}
PLAN = PLANS[os.environ.get("CANDLEWICK_SESSION", "full")]
SPEED = float(os.environ.get("CANDLEWICK_SPEED", PLAN.speed))


@dataclass
class Session:
    """A session that is over: what was sent, received, said and stored."""

    scripts: Scripts
    exchange: Exchange
    record: Path
    received: list[list[Entry]]
    candles: list[Document]
    rejected: dict[str, int]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    directory, began = tmp_path_factory.mktemp("session"), time.monotonic()
    with stores(directory) as where:
        settings = {"TIMEFRAMES": ",".join(TIMEFRAMES), "CONNECTIONS": str(SHARDS), "WARMUP": "false"}
        with pipeline(directory, where, settings, SHARDS) as scripts:
            clock = Clock(f"{PLAN.start}:00", SPEED, time.time() + READY_SECONDS)
            exchange = start_exchange(scripts, clock, PLAN.instruments, SEED, FAULTS, directory / "sent")
            for name in (CANDLE_WORKER, SIGNAL_WORKER, CONNECTOR):
                scripts.start(name)
            scripts.until_ready(*WORKERS)
            play_until(scripts, clock, f"{PLAN.until}:30")  # past the grace of the last candles
            played, cpu_seconds = time.monotonic(), scripts.cpu_seconds()
            scripts.drain()
            drained, cpu_seconds = time.monotonic(), cpu_seconds | scripts.cpu_seconds()
            rejected = _rejected(scripts)
            scripts.stop(SIMULATOR)
            received = [journal_entries(directory / "journal", n) for n in range(SHARDS)]
            _say(f"seed {SEED}: {PLAN} at {SPEED:g} times real speed")
            _say(f"played in {played - began:.0f} s, drained in {drained - played:.1f} s")
            _say(f"seconds of CPU: {cpu_seconds}")
            yield Session(scripts, exchange, directory / "sent", received, scripts.candles_said_once(), rejected)


def _rejected(scripts: Scripts) -> dict[str, int]:
    """By reason, as the candle worker counts."""
    report, name = scripts.health(CANDLE_WORKER), "rejected_"
    return {field.removeprefix(name): int(count) for field, count in report.items() if field.startswith(name)}


def _say(text: str) -> None:
    print(f"\n  {text}", end="")


def test_the_frames_sent_are_those_received(session: Session) -> None:
    numbers = sorted(int(path.stem.removeprefix("sent-")) for path in session.record.glob("sent-*.frames"))
    assert len(numbers) == SHARDS, f"the connector connected {len(numbers)} times for {SHARDS} shards"
    lags: list[float] = []
    for sent in (entries_from_recording(session.record, number) for number in numbers):
        received = _of_the_same_tokens(session, sent)
        before = [one for one in sent if one.kind == "f"]
        after = [one for one in received if one.kind == "f"]
        assert len(after) > 1_000
        first_other = next(
            (n for n, (one, two) in enumerate(zip(before, after, strict=False)) if one.payload != two.payload), -1
        )
        assert first_other == -1 and len(after) <= len(before), f"frame {first_other} of {len(after)} differs"
        # What was on its way when the connector was asked to end.
        from_ms = ist_ms(f"{PLAN.until}:30") - ON_ITS_WAY_SECONDS * 1_000 * SPEED
        assert all(one.ms > from_ms for one in before[len(after) :])
        lags += [(two.ms - one.ms) / 1000 / SPEED for one, two in zip(before, after, strict=False)]
    lags.sort()
    _say(f"{len(lags)} frames, on their way {1000 * lags[len(lags) // 2]:.1f} ms (median) to {lags[-1]:.2f} s (real)")


def _of_the_same_tokens(session: Session, sent: list[Entry]) -> list[Entry]:
    """The shard whose first packet frame is that connection's."""
    first = next(one.payload for one in sent if one.kind == "f" and len(one.payload) > 1)
    return next(one for one in session.received if any(entry.payload == first for entry in one[:200]))


def test_every_candle_equals_the_reference(session: Session) -> None:
    began = time.monotonic()
    reference, rejected = reference_of_shards(session.received, session.exchange.instruments, SETTINGS)
    _say(f"the reference took {time.monotonic() - began:.0f} s")
    differences = compare(reference, session.candles)
    assert differences == [], f"{len(differences)} differences, the first: {differences[:5]}"
    counted = Counter(one["timeframe"] for one in session.candles)
    _say(f"{sum(counted.values())} candles equal the reference: {dict(counted)}")
    counts = {name: count for name, count in session.rejected.items() if count}
    assert counts == dict(rejected) and {"frame", "crossed", "zscore"} <= set(counts), (counts, dict(rejected))
    _say(f"rejected, by the reference too: {counts}")
    expected = set(TIMEFRAMES) - ({"1h", "75m", "1d"} if PLAN is PLANS["quick"] else set())
    assert expected <= set(counted)


def test_the_time_of_receipt_does_not_matter(session: Session) -> None:
    chosen = session.exchange.instruments[::SENT_SHARE]
    symbols = {one.symbol for one in chosen}
    tokens = {one.token for one in chosen}
    sent = [_of_tokens(entries_from_recording(session.record, number + 1), tokens) for number in range(SHARDS)]
    reference, _ = reference_of_shards(sent, chosen, SETTINGS)
    closed_by_then = {(one["symbol"], one["timeframe"], one["t"]) for one in session.candles}
    rows = reference[
        [key in closed_by_then for key in zip(reference.symbol, reference.timeframe, reference.start_ms, strict=True)]
    ]
    mine = [one for one in session.candles if one["symbol"] in symbols]
    differences = compare(rows, mine, ALL_BUT_REV)
    touched = {line.split(": ")[0] for line in differences}
    _say(f"{len(mine)} candles by sending time: {len(touched)} differ")
    assert len(touched) <= len(mine) / 1_000, differences[:5]


def _of_tokens(entries: list[Entry], tokens: set[int]) -> list[Entry]:
    """As if only these had been subscribed; a frame that does not add up stays as it is."""
    raw_tokens = {token.to_bytes(4, "big") for token in tokens}
    chosen = []
    for one in entries:
        payload = one.payload
        if one.kind == "m":
            named = [each for each in json.loads(payload)["instruments"] if each["token"] in tokens]
            payload = json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode()
        elif len(payload) > 1:
            packets, is_whole = split_frame(payload)
            kept = [packet for packet in packets if packet[:4] in raw_tokens]
            if is_whole and len(kept) < len(packets):
                lengths = [len(packet).to_bytes(2, "big") + packet for packet in kept]
                payload = len(kept).to_bytes(2, "big") + b"".join(lengths)
        chosen.append(one._replace(payload=payload))
    return chosen


def test_the_count_that_equals_the_tape_is_told(session: Session) -> None:
    universe = build_universe(PLAN.instruments, SEED, SessionCalendar.load(), date.fromisoformat(DAY))
    tape = Tape(universe, SessionCalendar.load(), date.fromisoformat(DAY))
    stored = [Candle.from_document(one) for one in session.candles]
    counts = compare_with_tape(
        tape, parse_timeframes(",".join(TIMEFRAMES)), stored, ist_ms(f"{PLAN.start}:00"), ist_ms(f"{PLAN.until}:00")
    )
    for name, count in counts.items():
        _say(f"{name}: {count.equal} of {count.true} candles equal the tape, {count.volume_equal} in volume")
    assert sum(count.equal for count in counts.values()) > 0
