"""The rows of indicators as candles come: one by one, revised, repeated, out of a snapshot, the same to the bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.shared.indicator_series import SEED, SERIES, walk
from utils.indicators import IndicatorParameters, IndicatorTable, Outcome
from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, unpack
from utils.market.candle import Candle


def test_candle_by_candle_is_the_same_to_the_bit_as_all_at_once() -> None:
    rng = np.random.default_rng(SEED)
    candles = SERIES["gaps"]
    whole, table = IndicatorTable().update(candles), IndicatorTable()
    at = 0
    while at < len(candles):
        step = int(rng.integers(1, 9))
        part = table.update(candles[at : at + step])
        np.testing.assert_array_equal(part.now, whole.now[at : at + step])
        np.testing.assert_array_equal(part.before, whole.before[at : at + step])
        at += step
    np.testing.assert_array_equal(whole.before[1:], whole.now[:-1])
    assert np.isnan(whole.before[0]).all()


def test_many_instruments_in_one_call_do_not_touch_each_other() -> None:
    alone = {f"NSE:S{number}": walk(250 + number) for number in range(150)}
    mixed = [
        replace(series[at], symbol=symbol)
        for at in range(400)
        for symbol, series in alone.items()
        if at < len(series)
    ]
    table = IndicatorTable()
    table.update(mixed)
    assert table.symbols == list(alone)
    assert table.warm_rows() == len(alone)
    for symbol, series in alone.items():
        single = IndicatorTable()
        single.update(series)
        assert table.values(symbol) == single.values("NSE:INFY")
        assert table.bars(symbol) == len(series)


def revised(candle: Candle, close: float, rev: int = 1) -> Candle:
    return replace(candle, close=close, high=max(candle.high, close), low=min(candle.low, close), rev=rev)


@pytest.mark.parametrize("at", [0, 1, 14, 25, 33, 199, 200, 374, 375, 376, 900])
def test_a_revision_gives_what_the_revised_candles_give(at: int) -> None:
    candles = SERIES["gaps"][:1_000]
    once, twice = revised(candles[at], candles[at].close + 7), revised(candles[at], candles[at].close - 9, rev=2)
    table = IndicatorTable(settle=False)
    given = [*candles[: at + 1], once, twice, *candles[at + 1 :]]
    updated = table.update(given)
    clean = IndicatorTable(settle=False).update([*candles[:at], twice, *candles[at + 1 :]])
    np.testing.assert_array_equal(updated.now[at + 2 :], clean.now[at:])
    np.testing.assert_array_equal(updated.before[at + 2 :], clean.before[at:])
    assert updated.outcome[at : at + 3].tolist() == [Outcome.APPLIED, Outcome.REVISED, Outcome.REVISED]


def test_old_and_repeated_candles_change_nothing() -> None:
    candles = SERIES["gaps"][:300]
    table, clean = IndicatorTable(), IndicatorTable()
    clean.update(candles)
    table.update(candles[:250])
    again = table.update([candles[249], candles[100], revised(candles[248], 1.0)])
    assert set(again.outcome.tolist()) == {Outcome.SKIPPED}
    table.update(candles[250:])
    assert table.values("NSE:INFY") == clean.values("NSE:INFY")


@pytest.mark.parametrize("at", [1, 26, 150, 333, 380])
def test_a_snapshot_goes_on_to_the_bit(at: int) -> None:
    candles = SERIES["gaps"][:600]
    whole = IndicatorTable().update(candles)
    first = IndicatorTable()
    first.update(candles[:at])
    packed = pack({"symbols": first.symbols}, first.state())
    header, arrays = unpack(packed, [STATE_DTYPE, np.dtype(np.float64)])
    second = IndicatorTable()
    second.restore(header["symbols"], arrays)
    assert pack({"symbols": second.symbols}, second.state()) == packed
    np.testing.assert_array_equal(second.update(candles[at:]).now, whole.now[at:])


def test_a_snapshot_remembers_the_step_back_for_a_revision() -> None:
    candles = SERIES["gaps"][:300]
    first, second, clean = IndicatorTable(), IndicatorTable(), IndicatorTable()
    first.update(candles)
    second.restore(first.symbols, [array.copy() for array in first.state()])
    changed = revised(candles[-1], 1234.0)
    second.update([changed])
    clean.update([*candles[:-1], changed])
    assert second.values("NSE:INFY") == clean.values("NSE:INFY")


@pytest.mark.parametrize("content", [b"", b"nonsense", pack({}, [np.zeros(3, dtype=np.int16)])])
def test_what_is_no_snapshot_is_refused(content: bytes) -> None:
    with pytest.raises(SnapshotError):
        unpack(content, [STATE_DTYPE, np.dtype(np.float64)])


def test_a_snapshot_of_other_parameters_is_refused() -> None:
    first = IndicatorTable()
    first.update(SERIES["gaps"][:3])
    with pytest.raises(ValueError, match="another shape"):
        IndicatorTable(IndicatorParameters(sma_long=100)).restore(first.symbols, first.state())
