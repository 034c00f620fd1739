"""Marks that are none: each is rejected as `mark`, counted and kept; what follows continues as if it had not been."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.reference.case_building import FUTURE, STOCK, at, cached, full, mark, opening, pack
from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.shared.engine_candles import engine_candles
from utils.candles.engine import CandleEngine
from utils.candles.engine_output import EngineOutput
from utils.candles.kernels.layout import Count, Reason
from utils.journal.entries import Entry, EntryId, Kind, mark_instruments, read_mark
from utils.market.instruments import Instrument

SETTINGS = ReferenceSettings(timeframes=(("1m", 60_000), ("1d", 0)))
GOOD = dict(STOCK.mark)


def subscribed(*named: object) -> bytes:
    return json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode()


BAD_MARKS = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b"null",
    b'"up"',
    b"{}",
    b'{"mark":"sideways"}',
    b'{"mark":null}',
    b'{"mark":["up"]}',
    b'{"mark":{"up":1}}',
    b'{"mark":"subscribed"}',
    b'{"mark":"subscribed","instruments":null}',
    b'{"mark":"subscribed","instruments":{"a":1}}',
    b"[" * 5000,
    subscribed(1),
    subscribed({}),
    *(subscribed({key: value for key, value in GOOD.items() if key != absent}) for absent in GOOD),
    *(
        subscribed({**GOOD, key: value})
        for key, value in (
            ("token", 0),
            ("token", -1),
            ("token", 2**32),
            ("token", 2**63),
            ("token", True),
            ("token", "256001"),
            ("token", 1.5),
            ("tradingsymbol", 7),
            ("exchange", None),
            ("expiry", []),
            ("tick_size", -0.05),
            ("tick_size", 1e300),
            ("tick_size", "0.05"),
            ("tick_size", None),
            ("lot_size", 10**18),
            ("lot_size", 1.5),
            ("session_class", "martian"),
            ("session_class", {}),
        )
    ),
    subscribed(GOOD, {**dict(FUTURE.mark), "token": None}),
]


def entry(clock: str, kind: Kind, payload: bytes, counter: int = 0) -> Entry:
    return Entry(EntryId(at(clock), counter), kind, payload)


def take_session(engine: CandleEngine, bad: bytes | None) -> EngineOutput:
    """A minute of trades, with a bad mark between them or without."""
    outputs = [
        Entry(EntryId(at(clock), 0), Kind(kind), payload)
        for clock, kind, payload in (*opening(STOCK), mark("09:16:05", "clock"))
    ]
    frames = [
        entry("09:15:01", Kind.FRAME, pack(full(STOCK, 100, 10, "09:15:01"))),
        entry("09:15:30", Kind.FRAME, pack(full(STOCK, 101, 20, "09:15:30"))),
    ]
    between = [] if bad is None else [entry("09:15:10", Kind.MARK, bad)]
    return engine.process([*outputs[:2], frames[0], *between, frames[1], outputs[2]])


@pytest.mark.parametrize("bad", BAD_MARKS)
def test_a_bad_mark_is_rejected_and_changes_nothing_else(bad: bytes) -> None:
    engine, undisturbed = (new_engine([STOCK.reference], SETTINGS) for _ in range(2))
    output, expected = take_session(engine, bad), take_session(undisturbed, None)
    (kept,) = output.rejected
    assert (kept.reason, kept.packet, kept.source) == ("mark", bad[:512], EntryId(at("09:15:10"), 0))
    assert (
        [engine_candle.candle for engine_candle in engine_candles(output)]
        == [engine_candle.candle for engine_candle in engine_candles(expected)]
        != []
    )
    assert all(engine_candle.candle.complete for engine_candle in engine_candles(output))
    assert engine.shard.rejected.tolist() == [0] * Reason.MARK + [1]
    assert engine.shard.counts.tolist() == undisturbed.shard.counts.tolist()
    assert engine.instruments == undisturbed.instruments


@pytest.mark.parametrize("bad", BAD_MARKS)
def test_reading_raises_value_error_and_nothing_else(bad: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        mark_instruments(read_mark(bad))


def test_a_bad_mark_before_everything_else() -> None:
    engine = new_engine([STOCK.reference], SETTINGS)
    assert [rejection.reason for rejection in engine.process([entry("09:00:00", Kind.MARK, b"?")]).rejected] == [
        "mark"
    ]
    assert engine.process([entry("09:00:00", Kind.MARK, b"?", counter=1)]).rejected[0].number == 0


def test_an_instrument_named_twice_has_one_row() -> None:
    engine = new_engine([STOCK.reference], SETTINGS)
    engine.process([entry("09:14:00", Kind.MARK, subscribed(GOOD, {**GOOD, "lot_size": 5}))])
    assert [instrument.lot_size for instrument in engine.instruments] == [5]
    output = engine.process([entry("09:14:01", Kind.FRAME, pack(cached(STOCK), b"\0" * 8))])
    assert [rejection.reason for rejection in output.rejected] == ["token"]
    assert engine.shard.counts[Count.BASELINES] == 1


def test_fields_of_a_later_version_are_left_out() -> None:
    named: list[dict[str, Any]] = [{**GOOD, "colour": "red"}]
    (mark_instrument,) = mark_instruments(read_mark(subscribed(*named)))
    assert mark_instrument == Instrument.from_dict(GOOD)
