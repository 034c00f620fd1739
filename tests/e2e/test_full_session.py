"""A simulated session with all faults, through the real processes, candle by candle.

Time is virtual: the exchange steps the market clock, and each step waits until the connector has received the frames
before. A session is the same on any machine. Four comparisons, and what each proves:

1. The frames that the exchange recorded as sent equal those of the connector's journal, in bytes, order and
   milliseconds: nothing was lost, doubled or reordered on the way in.
2. Every candle of every timeframe equals the reference over the journal, field by field, `rev` too.
3. The same with the exchange's own record as the input, for a part of the instruments: no difference at all.
4. Most of the candles that can be known from the packets equal the exchange's own trades.

`make test` plays the morning, with the open, and the end of the day; `make test-all` also 200 instruments for a day.
CANDLEWICK_SEED sets the seed.
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

from commands.demo.truth import compare_with_tape
from simulator.exchange import MESSAGE_EVERY_SECONDS
from simulator.tape import Tape
from simulator.universe import build_universe
from tests.e2e.harness import CANDLE_WORKER, CONNECTOR, SIGNAL_WORKER, Document, Scripts, pipeline, stores
from tests.e2e.simulated import (
    DAY,
    SIMULATOR,
    Exchange,
    Steps,
    ist_ms,
    journal_entries,
    play_on,
    reference_of_shards,
    start_exchange,
)
from tests.measures.knowable_candles import known_shares
from tests.measures.played_day import Plan as MeasuredPlan
from tests.reference.comparison import compare
from tests.reference.inputs import Entry, ReferenceSettings
from tests.reference.packets import split_frame
from tests.reference.recording import entries_from_recording
from utils.market.candle import Candle
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframes

TIMEFRAMES = {"1m": 1, "2m": 2, "3m": 3, "5m": 5, "10m": 10, "15m": 15, "30m": 30, "1h": 60, "75m": 75, "1d": 0}
SETTINGS = ReferenceSettings(tuple((name, minutes * 60_000) for name, minutes in TIMEFRAMES.items()))
FAULTS = "late,duplicate,malformed,badprint,crossed"
SHARDS = 2
SEED = int(os.environ.get("CANDLEWICK_SEED", "2026"))
pytestmark = pytest.mark.timeout(1800)  # the session itself is played in the fixture
# What the faults may cost of the candles whose volume can be known, and how much of what can be known is found.
LOST, FOUND = 0.02, 0.96
SENT_SHARE = 7  # one instrument in so many is also compared with the exchange's own record


@dataclass(frozen=True)
class Plan:
    """How much of the session is played, and the timeframes that have to close in it."""

    instruments: int
    start: str
    until: str
    closing: frozenset[str]


SHORT_ONES = frozenset({"1m", "2m", "3m", "5m", "10m", "15m", "30m"})
PLANS = {
    "morning": Plan(40, "09:05", "09:46", SHORT_ONES),
    "end of the day": Plan(40, "15:02", "15:42", SHORT_ONES | {"1h", "75m", "1d"}),
    "full": Plan(200, "09:00", "15:45", frozenset(TIMEFRAMES)),
}


@dataclass
class Session:
    """A session that is over: what was sent, received, published and stored."""

    plan: Plan
    scripts: Scripts
    exchange: Exchange
    record: Path
    received: list[list[Entry]]
    candles: list[Document]
    rejected: dict[str, int]


@pytest.fixture(scope="module", params=["morning", "end of the day", pytest.param("full", marks=pytest.mark.long)])
def session(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    plan, directory, began = PLANS[request.param], tmp_path_factory.mktemp("session"), time.monotonic()
    with stores(directory) as where:
        settings = {"TIMEFRAMES": ",".join(TIMEFRAMES), "CONNECTIONS": str(SHARDS), "WARMUP": "false"}
        with pipeline(directory, where, settings, SHARDS) as scripts:
            clock = Steps.from_start(directory, f"{plan.start}:00")
            exchange = start_exchange(scripts, clock, plan.instruments, SEED, FAULTS, directory / "sent")
            for name in (CANDLE_WORKER, SIGNAL_WORKER, CONNECTOR):
                scripts.start(name)
            scripts.until_connected()
            play_on(scripts, exchange, clock, ist_ms(f"{plan.until}:30"))  # past the grace of the last candles
            played, cpu_seconds = time.monotonic(), scripts.cpu_seconds()
            scripts.drain()
            drained, cpu_seconds = time.monotonic(), cpu_seconds | scripts.cpu_seconds()
            rejected = _rejected(scripts)
            scripts.stop(SIMULATOR)
            received = [journal_entries(directory / "journal", n) for n in range(SHARDS)]
            _print(f"seed {SEED}: {plan}")
            _print(f"played in {played - began:.0f} s, drained in {drained - played:.1f} s")
            _print(f"seconds of CPU: {cpu_seconds}")
            candles = scripts.candles_published_once()
            yield Session(plan, scripts, exchange, directory / "sent", received, candles, rejected)


def _rejected(scripts: Scripts) -> dict[str, int]:
    """By reason, as the candle worker counts."""
    report, name = scripts.health(CANDLE_WORKER), "rejected_"
    return {field.removeprefix(name): int(count) for field, count in report.items() if field.startswith(name)}


def _print(text: str) -> None:
    print(f"\n  {text}", end="")


def test_the_frames_sent_are_those_received(session: Session) -> None:
    numbers = sorted(int(path.stem.removeprefix("sent-")) for path in session.record.glob("sent-*.frames"))
    assert len(numbers) == SHARDS, f"the connector connected {len(numbers)} times for {SHARDS} shards"
    for sent in (entries_from_recording(session.record, number) for number in numbers):
        frames = [(entry.ms, entry.payload) for entry in sent if entry.kind == "f"]
        received = _without_stand_ins(
            [(entry.ms, entry.payload) for entry in _of_the_same_tokens(session, sent) if entry.kind == "f"]
        )
        pairs = zip(frames, received, strict=False)
        first_other = next((index for index, (pair, other) in enumerate(pairs) if pair != other), None)
        assert first_other is None, f"frame {first_other} of {len(frames)} was received as another"
        assert len(received) == len(frames) > 1_000
        _print(f"{len(frames)} frames received as they were sent")


def _without_stand_ins(received: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Without the heartbeats that a shard's journal has for order updates, which are in another journal."""
    pairs = zip([(0, b""), *received], received, strict=False)
    second = [at for at, (before, pair) in enumerate(pairs) if before == pair and len(pair[1]) == 1]
    assert {received[at][0] % (MESSAGE_EVERY_SECONDS * 1000) for at in second} <= {0}, "a heartbeat was doubled"
    doubled = set(second)
    return [entry for at, entry in enumerate(received) if at not in doubled]


def _of_the_same_tokens(session: Session, sent: list[Entry]) -> list[Entry]:
    """The shard whose first packet frame is that connection's."""
    first = next(entry.payload for entry in sent if entry.kind == "f" and len(entry.payload) > 1)
    return next(record for record in session.received if any(entry.payload == first for entry in record[:200]))


def test_every_candle_equals_the_reference(session: Session) -> None:
    began = time.monotonic()
    reference, rejected = reference_of_shards(session.received, session.exchange.instruments, SETTINGS)
    _print(f"the reference took {time.monotonic() - began:.0f} s")
    differences = compare(reference, session.candles)
    assert differences == [], f"{len(differences)} differences, the first: {differences[:5]}"
    counted = Counter(candle["timeframe"] for candle in session.candles)
    _print(f"{sum(counted.values())} candles equal the reference: {dict(counted)}")
    counts = {name: count for name, count in session.rejected.items() if count}
    assert counts == dict(rejected) and {"frame", "crossed", "range"} <= set(counts), (counts, dict(rejected))
    _print(f"rejected, by the reference too: {counts}")
    assert session.plan.closing <= set(counted)


def test_the_candles_are_those_of_the_exchanges_own_record(session: Session) -> None:
    chosen = session.exchange.instruments[::SENT_SHARE]
    symbols = {instrument.symbol for instrument in chosen}
    tokens = {instrument.token for instrument in chosen}
    sent = [_of_tokens(entries_from_recording(session.record, number + 1), tokens) for number in range(SHARDS)]
    reference, _ = reference_of_shards(sent, chosen, SETTINGS)
    closed_by_then = {(candle["symbol"], candle["timeframe"], candle["t"]) for candle in session.candles}
    rows = reference[
        [key in closed_by_then for key in zip(reference.symbol, reference.timeframe, reference.start_ms, strict=True)]
    ]
    mine = [candle for candle in session.candles if candle["symbol"] in symbols]
    assert len(mine) > 100
    differences = compare(rows, mine)
    assert differences == [], f"{len(differences)} differences, the first: {differences[:5]}"


def _of_tokens(entries: list[Entry], tokens: set[int]) -> list[Entry]:
    """The entries as if only these tokens had been subscribed; a frame that does not add up is kept."""
    raw_tokens = {token.to_bytes(4, "big") for token in tokens}
    chosen = []
    for entry in entries:
        payload = entry.payload
        if entry.kind == "m":
            named = [each for each in json.loads(payload)["instruments"] if each["token"] in tokens]
            payload = json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode()
        elif len(payload) > 1:
            packets, is_complete = split_frame(payload)
            kept = [packet for packet in packets if packet[:4] in raw_tokens]
            if is_complete and len(kept) < len(packets):
                lengths = [len(packet).to_bytes(2, "big") + packet for packet in kept]
                payload = len(kept).to_bytes(2, "big") + b"".join(lengths)
        chosen.append(entry._replace(payload=payload))
    return chosen


def test_as_many_candles_equal_the_tape_as_can_be_known(session: Session) -> None:
    """Packets hide trades: the bound is what can be known from those that are shown."""
    plan = session.plan
    universe = build_universe(plan.instruments, SEED, SessionCalendar.load(), date.fromisoformat(DAY))
    tape = Tape(universe, SessionCalendar.load(), date.fromisoformat(DAY))
    stored = [Candle.from_document(candle) for candle in session.candles]
    frames = list(parse_timeframes(",".join(TIMEFRAMES)))
    counts = compare_with_tape(tape, frames, stored, ist_ms(f"{plan.start}:00"), ist_ms(f"{plan.until}:00"))
    known = known_shares(_without_faults(plan), frames)
    for name, count in counts.items():
        best = known[name]
        _print(f"{name}: {count.equal} of {count.true} candles equal the tape, {count.volume_equal} in volume")
        _print(f"{name}: {best.equal} can be known, {best.by_field['volume']} in volume")
        assert count.true == best.true
        assert count.volume_equal >= best.by_field["volume"] - LOST * count.true - 1
        assert count.equal >= FOUND * best.equal - 1
    assert sum(count.equal for count in counts.values()) > 0


def _without_faults(plan: Plan) -> MeasuredPlan:
    first, last = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (plan.start, plan.until))
    return MeasuredPlan(SEED, plan.instruments, date.fromisoformat(DAY), first, last - first)
