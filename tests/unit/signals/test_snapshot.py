"""A snapshot taken apart: each part is to the bit what an engine of these instruments alone would have made."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
import zstandard

from strategies import load_strategies
from tests.shared.closed_candles import OPEN_MS, PAST_OPEN_MS, SYMBOLS, grouped, minute_candles
from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, unpack
from utils.journal.entries import EntryId
from utils.market.candle import Candle
from utils.market.entry_limit import UntilTimeOfDay
from utils.signals.engine import SignalEngine
from utils.signals.state import SignalProgress, rows_of, split

OF = {0: SYMBOLS[:2], 1: SYMBOLS[2:4], 2: SYMBOLS[4:]}
POSITIONS = {shard: EntryId(OPEN_MS + shard, shard) for shard in OF}


def candles_of(symbols: tuple[str, ...]) -> list[Candle]:
    """By end, and within that in the order of all symbols."""
    of_all = [candle for symbol in symbols for candle in minute_candles(symbol, [PAST_OPEN_MS, OPEN_MS])]
    minutes = sorted(of_all, key=lambda candle: candle.end_ms)
    fives = [
        candle for symbol in symbols for candle in grouped([each for each in of_all if each.symbol == symbol], 5)
    ]
    return sorted([*minutes, *fives], key=lambda candle: candle.end_ms)


def make_engine() -> SignalEngine:
    return SignalEngine(load_strategies(("momentum",)), UntilTimeOfDay(15 * 60 + 15))


def progress_of(symbols: tuple[str, ...], positions: dict[int, EntryId]) -> SignalProgress:
    engine, until_ms = make_engine(), OPEN_MS + 100 * 60_000
    engine.apply([candle for candle in candles_of(symbols) if candle.end_ms <= until_ms])
    warmed = {(symbol, name) for symbol in symbols for name in ("1m", "5m")}
    return SignalProgress(engine, positions, OPEN_MS, warmed, was_warmed_up=True)


def test_each_part_goes_on_as_if_it_had_always_been_alone() -> None:
    parts = split(progress_of(SYMBOLS, POSITIONS).snapshot(), OF)
    assert parts.keys() == OF.keys()
    fired = 0
    for shard, symbols in OF.items():
        part = SignalProgress.restore(make_engine, parts[shard])
        alone = progress_of(symbols, {shard: POSITIONS[shard]})
        assert (part.positions, part.warmed, part.cut_ms) == (alone.positions, alone.warmed, OPEN_MS)
        assert part.was_warmed_up
        assert repr(part.engine.latest()) == repr(alone.engine.latest())
        rest = candles_of(symbols)
        expected = alone.engine.apply(rest)
        assert repr(part.engine.apply(rest)) == repr(expected)
        fired += len(expected.fired)
    assert fired > 5


def test_a_shard_that_the_snapshot_does_not_know_gets_nothing_and_strangers_are_left_out() -> None:
    packed = progress_of(SYMBOLS, {0: POSITIONS[0]}).snapshot()
    parts = split(packed, OF)
    assert parts.keys() == {0}
    rows = SignalProgress.restore(make_engine, parts[0]).engine.latest()
    assert {row.symbol for row in rows} == set(OF[0])


NONSENSE: tuple[Any, ...] = (None, -1, "x", [], [1], [[1]], {}, {"a": 1}, {"a": [1]}, [None] * 3, 1.5)


@pytest.mark.parametrize("part", ["", "caller"])
def test_whatever_a_part_of_the_header_is_it_is_taken_or_refused(part: str) -> None:
    dtypes = [STATE_DTYPE, np.dtype(np.float64)]
    header, arrays = unpack(progress_of(SYMBOLS, POSITIONS).snapshot(), dtypes)
    inner = header[part] if part else header
    for name in inner:
        damaged: list[Any] = [{other: value for other, value in inner.items() if other != name}]
        damaged += [{**inner, name: value} for value in NONSENSE]
        for damaged_value in damaged:
            packed = pack({**header, part: damaged_value} if part else damaged_value, arrays)
            for read in (lambda packed=packed: SignalProgress.restore(make_engine, packed),
                         lambda packed=packed: split(packed, OF)):  # fmt: skip
                with contextlib.suppress(SnapshotError):
                    read()


@pytest.mark.parametrize("name", ["positions", "cut_ms", "was_warmed_up", "warmed"])
def test_a_field_that_is_missing_is_a_snapshot_error(name: str) -> None:
    header, arrays = unpack(progress_of(SYMBOLS, POSITIONS).snapshot(), [STATE_DTYPE, np.dtype(np.float64)])
    del header["caller"][name]
    with pytest.raises(SnapshotError, match=name):
        SignalProgress.restore(make_engine, pack(header, arrays))


def test_what_is_no_snapshot_is_refused() -> None:
    with pytest.raises(SnapshotError):
        split(b"none", OF)


def test_whose_rows_are_in_it_is_found_in_whatever_can_be_read_of_it() -> None:
    packed = progress_of(SYMBOLS, POSITIONS).snapshot()
    expected = {"1m": set(SYMBOLS), "5m": set(SYMBOLS)}
    assert rows_of(packed) == rows_of(packed + b"lines behind it") == expected
    for length in range(0, len(packed), 97):
        assert rows_of(packed[:length]) in ({}, expected)
    for tables in NONSENSE:
        assert rows_of(pack({"tables": tables}, [])) == {}
        assert rows_of(pack({"tables": [{"timeframe": "1m", "symbols": tables}]}, [])).keys() <= {"1m"}


def test_a_snapshot_with_something_behind_it_is_restored_without_it() -> None:
    """Earlier versions put lines of signals there, in a frame of their own; they are in the signals' stream, too."""
    packed = progress_of(SYMBOLS, POSITIONS).snapshot()
    older = packed + zstandard.ZstdCompressor().compress(b'{"id": "a line"}\n')
    assert SignalProgress.restore(make_engine, older).snapshot() == packed
    assert split(older, OF) == split(packed, OF)
