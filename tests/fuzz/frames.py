"""Target: the candle engine over any session, with the frame decoder in it.

Two engines process the same entries: one in parts, restored from a snapshot between them, one entry by entry. Both
must publish the same.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field

from tests.fuzz.candle_checks import check_candle
from tests.fuzz.frame_program import WHO, Program, as_bytes, busy_program, read_program
from tests.reference.engine_runs import CalendarOfCases
from tests.reference.packets import split_frame as reference_split
from tests.shared.engine_candles import EngineCandle, engine_candles
from tests.shared.shown_candles import shown_candles
from utils.candles.engine import CandleEngine
from utils.candles.engine_output import EngineOutput, RejectedPacket
from utils.candles.kernels.layout import Count, Reason, Rules
from utils.journal.entries import Entry, Kind
from utils.kite.frames import FrameError, split_frame
from utils.market.candle import Candle
from utils.market.timeframes import Timeframe

RULES = Rules(3_000, 60_000, 5, 2.5, 4.0, 10, 10.0, 3)
TIMEFRAMES = (Timeframe("5s", 5_000), Timeframe("1m", 60_000), Timeframe("1d", 0))
WINDOW = 10
ACCEPTED = (Count.TRADES, Count.BASELINES, Count.UNCHANGED)
OF_PACKETS = [reason for reason in Reason if reason not in (Reason.FRAME, Reason.MARK)]


def new_engine() -> CandleEngine:
    return CandleEngine(TIMEFRAMES, RULES, WINDOW, CalendarOfCases({who.token: who.reference for who in WHO}))


@dataclass
class Outcome:
    """All that an engine published and rejected, and its final state."""

    engine: CandleEngine
    closed: list[EngineCandle] = field(default_factory=list)
    rejected: list[RejectedPacket] = field(default_factory=list)

    def add(self, output: EngineOutput) -> None:
        self.closed += engine_candles(output)
        self.rejected += output.rejected


def run_in_parts(program: Program) -> Outcome:
    outcome = Outcome(new_engine())
    for n, part in enumerate(program.parts):
        if n:
            snapshot = outcome.engine.snapshot()
            outcome.engine = new_engine()
            outcome.engine.restore(snapshot)
        outcome.add(outcome.engine.process(part))
    return outcome


def run_one_by_one(program: Program) -> Outcome:
    outcome = Outcome(new_engine())
    for entry in program.entries:
        outcome.add(outcome.engine.process([entry]))
        outcome.add(outcome.engine.process([entry]))  # an entry that was processed before is skipped
    return outcome


def check(data: bytes) -> None:
    program = read_program(data)
    in_parts, one_by_one = run_in_parts(program), run_one_by_one(program)
    assert in_parts.closed == one_by_one.closed
    assert in_parts.rejected == one_by_one.rejected
    check_same_state(in_parts.engine, one_by_one.engine)
    check_counts(program.entries, in_parts)
    check_revisions(in_parts.closed)
    for candle, _ in shown_candles(in_parts.engine):
        check_candle(candle)
    in_parts.engine.next_live()


def check_same_state(engine: CandleEngine, other: CandleEngine) -> None:
    """Compares field by field: the padding of a record may have any content."""
    for name, mine, its in zip(engine.shard._fields, engine.shard, other.shard, strict=True):
        for key in mine.dtype.names or ("",):
            assert (mine[key] == its[key]).all() if key else (mine == its).all(), (name, key)
    assert (engine.position, engine.instruments) == (other.position, other.instruments)


def check_counts(entries: list[Entry], outcome: Outcome) -> None:
    """Every packet is accepted, held or rejected with a reason, once; independent code counts the packets."""
    frames = [entry.payload for entry in entries if entry.kind is Kind.FRAME]
    splits = [reference_split(frame) for frame in frames]
    shard = outcome.engine.shard
    packets = sum(len(found) for found, _ in splits)
    assert shard.counts[Count.PACKETS] == packets
    held = int((shard.instruments["held_length"] > 0).sum())
    assert (
        sum(int(shard.counts[counted]) for counted in ACCEPTED) + held + shard.rejected[OF_PACKETS].sum() == packets
    )
    assert shard.rejected[Reason.FRAME] == sum(not is_complete for _, is_complete in splits)
    reasons = Counter(rejection.reason for rejection in outcome.rejected)
    assert {
        reason.name.lower(): int(shard.rejected[reason]) for reason in Reason if shard.rejected[reason]
    } == reasons
    sources = [(rejection.source, rejection.number) for rejection in outcome.rejected]
    assert sources == sorted(set(sources))
    for frame, (found, is_complete) in zip(frames, splits, strict=True):
        assert plain_split(frame) == (found, is_complete)


def plain_split(frame: bytes) -> tuple[list[bytes], bool]:
    """The complete packets and whether the frame adds up, by utils/kite/frames.py."""
    packets: list[bytes] = []
    try:
        for packet in split_frame(frame):
            packets.append(packet)  # those before the error count
    except FrameError:
        return packets, False
    return packets, True


def check_revisions(closed: list[EngineCandle]) -> None:
    """The revisions of each candle rise, and so do the ids of what is published."""
    latest: dict[str, Candle] = {}
    for closed_candle in closed:
        check_candle(closed_candle.candle)
        before = latest.get(closed_candle.candle.id)
        assert closed_candle.candle.rev == (before.rev + 1 if before else 0), (before, closed_candle.candle)
        latest[closed_candle.candle.id] = closed_candle.candle
    ids = [(closed_candle.source, closed_candle.number) for closed_candle in closed]
    assert ids == sorted(set(ids))


def digest(data: bytes) -> str:
    """The engine's output as text: the same compiled or not."""
    outcome = run_in_parts(read_program(data))
    closed = [
        (closed_candle.source, closed_candle.number, sorted(closed_candle.candle.as_document().items()))
        for closed_candle in outcome.closed
    ]
    rejected = [
        (rejection.source, rejection.number, rejection.reason, rejection.token) for rejection in outcome.rejected
    ]
    return repr((closed, rejected, outcome.engine.shard.counts.tolist()))


def seeds() -> list[bytes]:
    busy = [busy_program(itertools.cycle(who), 60) for who in ([0], [1], [2], [3], [4], [0, 1, 2, 3, 4])]
    torn = as_bytes(0, 31, 6, 0, 20, b"\0\2\0\x08" + bytes(36), 6, 2, 5, b'{"mark":"x"}', 5, 1, 0, 1, bytes(60), 3)
    return [*busy, torn, *(payload[:60] + as_bytes(8, 3, 31, 9, 11, 7, 2, 4, 8) + payload[60:] for payload in busy)]
