"""The measures themselves: each finds what it is there to find, and nothing where there is nothing to find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.faults import Fault
from tests.measures.engine_day import EngineDay, engine_day
from tests.measures.examples import shown_examples
from tests.measures.knowable_candles import knowable_candles
from tests.measures.passed_prints import passed_prints
from tests.measures.played_day import Plan, PlayedDay, played_day
from tests.measures.refused_trades import refused_trades
from tests.measures.tape_shares import Candles, engine_candles, tape_shares
from utils.journal.entries import Entry, Kind
from utils.kite.frames import FULL_LENGTH, split_frame
from utils.market.timeframes import parse_timeframes

SEED = 3
FRAMES = list(parse_timeframes("1m,5m"))
PLAN = Plan(SEED, instruments=40, first_minute=9 * 60 + 5, minutes=40)


@pytest.fixture(scope="module")
def played() -> PlayedDay:
    return played_day(PLAN)


@pytest.fixture(scope="module")
def engine(played: PlayedDay) -> EngineDay:
    return engine_day(played.entries, "1m,5m")


@pytest.fixture(scope="module")
def with_prints() -> PlayedDay:
    return played_day(replace(PLAN, faults=frozenset({Fault.BADPRINT}), bad_print_share=1 / 300))


def _changed(played: PlayedDay, frames: int = 2) -> Candles:
    return knowable_candles(played, FRAMES[:frames])


def test_the_same_plan_is_the_same_day(played: PlayedDay) -> None:
    again = played_day(PLAN)
    assert again.entries == played.entries
    assert again.without_misprints == played.entries
    assert played_day(replace(PLAN, seed=SEED + 1)).entries != played.entries


def test_each_field_is_compared(played: PlayedDay) -> None:
    known = _changed(played)
    before = tape_shares(played, FRAMES, known)["1m"]
    key = next(candle_key for candle_key, candle in known.items() if candle_key[1] == 0 and candle.volume)
    for name in ("open", "high", "low", "close", "volume"):
        wrong = replace(known[key], **{name: getattr(known[key], name) + 1_000_000})
        after = tape_shares(played, FRAMES, known | {key: wrong})["1m"]
        lost = {field for field, count in before.by_field.items() if count != after.by_field[field]}
        assert lost <= {name}
        assert after.equal <= before.equal
    gone = tape_shares(played, FRAMES, {other: candle for other, candle in known.items() if other != key})["1m"]
    assert gone.missing == before.missing + 1
    strange = replace(known[key], start_ms=known[key].start_ms + 1, end_ms=known[key].end_ms)
    extra = tape_shares(played, FRAMES, known | {(key[0], 0, strange.start_ms): strange})["1m"]
    assert extra.extra == before.extra + 1


def test_what_can_be_known_is_no_less_than_what_an_engine_finds(played: PlayedDay, engine: EngineDay) -> None:
    found = tape_shares(played, FRAMES, engine_candles(engine))
    known = tape_shares(played, FRAMES, knowable_candles(played, FRAMES))
    for name in found:
        assert found[name].share <= known[name].share + 0.01, (name, str(found[name]), str(known[name]))
        assert 0.6 < known[name].share < 0.95, "packets hide trades, though not most"
        assert known[name].field_share("volume") > 0.85


def test_a_trade_that_no_candle_has_is_found(played: PlayedDay, engine: EngineDay) -> None:
    before = refused_trades(played, engine)
    assert before.shown > 5_000
    final = engine.final
    at = int(np.flatnonzero((final.column == 0) & (final.high > final.low))[5])
    high = final.high.copy()
    high[at] = final.low[at]
    after = refused_trades(played, replace(engine, final=replace(final, high=high)))
    found = set(after.at) - set(before.at)
    assert found
    assert {int(played.sent.row[value]) for value in found} == {int(final.row[at])}


def test_an_engine_that_believes_everything_lets_bad_prints_in(with_prints: PlayedDay) -> None:
    both = (with_prints.entries, with_prints.without_misprints)
    bare = [[_without_evidence(entry) for entry in entries] for entries in both]
    strict = passed_prints(with_prints, *(engine_day(entries, "1m") for entries in both))
    passed = passed_prints(with_prints, *(engine_day(entries, "1m", zscore_reject=1e6) for entries in bare))
    assert strict.sent == passed.sent > 60
    assert len(passed.at) > 5 + len(strict.at)
    assert all(with_prints.sent.misprinted[at] for at in passed.at)


def _without_evidence(entry: Entry) -> Entry:
    """Its full packets without day range and book, which would reject what the z-score accepts."""
    if entry.kind is not Kind.FRAME or len(entry.payload) == 1:
        return entry
    packets = [_bare(packet) if len(packet) == FULL_LENGTH else packet for packet in split_frame(entry.payload)]
    head = len(packets).to_bytes(2, "big")
    return replace(entry, payload=head + b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets))


def _bare(packet: bytes) -> bytes:
    return packet[:28] + bytes(12) + packet[40:64] + bytes(FULL_LENGTH - 64)


def test_without_bad_prints_none_passes(played: PlayedDay, engine: EngineDay) -> None:
    passed = passed_prints(played, engine, engine)
    assert (passed.sent, passed.at, passed.for_a_while) == (0, [], 0)


def test_examples_show_the_packets_around(with_prints: PlayedDay) -> None:
    at = int(np.flatnonzero(with_prints.sent.misprinted)[3])
    lines = list(shown_examples(with_prints, [at], 1))
    assert len(lines) == 9
    marked = [line for line in lines if line.startswith(" >>")]
    assert len(marked) == 1
    assert marked[0].endswith("misprinted")
