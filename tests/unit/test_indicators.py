"""The indicators against TA-Lib, and Supertrend and VWAP against plain pandas; incremental against batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
import talib
from numpy.typing import NDArray

from utils.candle import Candle, Source, TimedBy
from utils.indicators import DEFAULT_PARAMETERS, INDICATOR_NAMES, IndicatorParameters, IndicatorTable, Outcome
from utils.indicators.kernels import STATE_DTYPE
from utils.indicators.snapshot import SnapshotError, pack, unpack

Floats = NDArray[np.float64]
SEED = 20261120
OPEN_MS = 1_767_325_500_000  # 2026-01-02T09:15+05:30
DAY_MS, MINUTE_MS = 86_400_000, 60_000
CANDLES_A_DAY = 375


def candles_of(
    close: NDArray[Any], reach: NDArray[Any], volume: Sequence[int | None], symbol: str = "NSE:INFY"
) -> list[Candle]:
    """One-minute candles over as many days as it takes, high and low `reach` away at most."""
    rng = np.random.default_rng(SEED)
    high = close + reach * rng.random(len(close))
    low = close - reach * rng.random(len(close))
    return [
        Candle(
            symbol=symbol,
            timeframe="1m",
            token=1,
            start_ms=OPEN_MS + at // CANDLES_A_DAY * DAY_MS + at % CANDLES_A_DAY * MINUTE_MS,
            end_ms=OPEN_MS + at // CANDLES_A_DAY * DAY_MS + (at % CANDLES_A_DAY + 1) * MINUTE_MS,
            open=float(close[at]),
            high=float(high[at]),
            low=float(low[at]),
            close=float(close[at]),
            volume=volume[at],
            oi=None,
            vwap=None,
            ticks=1,
            complete=True,
            source=Source.LIVE,
            rev=0,
            timed_by=TimedBy.EXCHANGE,
        )
        for at in range(len(close))
    ]


def _walk(count: int, gaps: bool = False, base: float = 1500.0) -> list[Candle]:
    rng = np.random.default_rng(SEED + count)
    steps = rng.normal(0, 0.8, count)
    if gaps:
        steps[rng.integers(0, count, 40)] += rng.normal(0, 60, 40)
    close = np.round(np.maximum(base + np.cumsum(steps), 1.0), 2)
    return candles_of(close, np.full(count, 1.7), [int(one) for one in rng.integers(0, 5_000, count)])


def _constant(count: int) -> list[Candle]:
    return candles_of(np.full(count, 99.95), np.zeros(count), [10] * count)


def _walk_then_constant() -> list[Candle]:
    close = np.concatenate([np.array([one.close for one in _walk(400)]), np.full(700, 1499.0)])
    return candles_of(close, np.where(np.arange(len(close)) < 400, 1.0, 0.0), [3] * len(close))


SERIES = {
    "a long walk": _walk(6_000),
    "gaps": _walk(2_000, gaps=True),
    "large prices": _walk(3_000, base=9_000_000.0),
    "a constant price": _constant(600),
    "a walk that goes to sleep": _walk_then_constant(),
    "too short for anything": _walk(8),
    "one candle": _walk(1),
}


@pytest.fixture(params=SERIES, ids=str)
def series(request: pytest.FixtureRequest) -> list[Candle]:
    return SERIES[request.param]


def computed(candles: Sequence[Candle]) -> dict[str, Floats]:
    """All values from the first defined one on, one array a name."""
    updated = IndicatorTable(settle=False).update(candles)
    assert set(updated.outcome.tolist()) == {Outcome.APPLIED}
    return {name: updated.now[:, at] for at, name in enumerate(INDICATOR_NAMES)}


def column(candles: Sequence[Candle], name: str) -> Floats:
    return np.array([getattr(one, name) for one in candles], dtype=np.float64)


def same(ours: Floats, theirs: Floats) -> None:
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def rsi_by_definition(close: Floats) -> Floats:
    """TA-Lib's, but for a price that has not moved yet: there it says 0, and the definition 0 / 0."""
    theirs: Floats = talib.RSI(close, 14)
    unmoved = np.maximum.accumulate(close) == np.minimum.accumulate(close)
    return np.where(unmoved & ~np.isnan(theirs), 50.0, theirs)


def test_the_rsi_of_a_mirrored_series_is_mirrored(series: list[Candle]) -> None:
    """What rises as strongly as another falls is as far above 50 as that is below: so 50 is of what does neither."""
    top = 2 * max(one.high for one in series)
    mirror = [
        replace(one, open=top - one.open, high=top - one.low, low=top - one.high, close=top - one.close)
        for one in series
    ]
    np.testing.assert_allclose(computed(mirror)["rsi_14"], 100 - computed(series)["rsi_14"], rtol=0, atol=1e-5)


def test_an_unmoved_price_is_neither_strong_nor_weak() -> None:
    values = computed(SERIES["a constant price"])["rsi_14"]
    assert np.isnan(values[:14]).all()
    assert set(values[14:]) == {50.0}


def test_equal_to_talib(series: list[Candle]) -> None:
    high, low, close = (column(series, name) for name in ("high", "low", "close"))
    ours = computed(series)
    same(ours["sma_20"], talib.SMA(close, 20))
    same(ours["sma_200"], talib.SMA(close, 200))
    same(ours["ema_9"], talib.EMA(close, 9))
    same(ours["rsi_14"], rsi_by_definition(close))
    same(ours["atr_14"], talib.ATR(high, low, close, 14))
    line, signal, histogram = talib.MACD(close, 12, 26, 9)
    same(ours["macd"], line)
    same(ours["macd_signal"], signal)
    same(ours["macd_histogram"], histogram)


def supertrend_in_pandas(frame: pd.DataFrame, period: int, multiplier: float) -> pd.DataFrame:
    """Written anew from the definition: bands hl2 -/+ m ATR that only tighten, a flip when the close crosses."""
    before = frame["close"].shift()
    ranges = pd.concat(
        [frame["high"] - frame["low"], (frame["high"] - before).abs(), (frame["low"] - before).abs()], axis=1
    )
    true_range = ranges.max(axis=1).iloc[1:]
    seeded = true_range.copy()
    seeded.iloc[: period - 1] = np.nan
    seeded.iloc[period - 1] = true_range.iloc[:period].mean()
    atr = seeded.iloc[period - 1 :].ewm(alpha=1 / period, adjust=False).mean().reindex(frame.index)
    middle = (frame["high"] + frame["low"]) / 2
    rows: list[tuple[float, float]] = []
    upper, lower, is_up = math.inf, -math.inf, False
    for at in frame.index:
        if math.isnan(atr[at]):
            rows.append((math.nan, math.nan))
            continue
        previous = frame["close"].get(at - 1, math.nan)
        basic_upper, basic_lower = middle[at] + multiplier * atr[at], middle[at] - multiplier * atr[at]
        upper = basic_upper if basic_upper < upper or previous > upper else upper
        lower = basic_lower if basic_lower > lower or previous < lower else lower
        first = not rows or math.isnan(rows[-1][0])
        if not first:
            is_up = frame["close"][at] >= lower if is_up else frame["close"][at] > upper
        rows.append((lower if is_up else upper, 1.0 if is_up else -1.0))
    return pd.DataFrame(rows, columns=["line", "direction"])


@pytest.mark.parametrize("name", ["a long walk", "gaps", "a constant price", "a walk that goes to sleep"])
def test_supertrend_is_equal_to_plain_pandas(name: str) -> None:
    candles = SERIES[name]
    frame = pd.DataFrame({one: column(candles, one) for one in ("high", "low", "close")})
    theirs = supertrend_in_pandas(frame, 10, 3.0)
    ours = computed(candles)
    same(ours["supertrend"], theirs["line"].to_numpy(dtype=np.float64))
    same(ours["supertrend_direction"], theirs["direction"].to_numpy(dtype=np.float64))
    if name in ("a long walk", "gaps"):
        assert {-1.0, 1.0} <= set(ours["supertrend_direction"])


def test_vwap_is_equal_to_plain_pandas_and_starts_anew_each_session(series: list[Candle]) -> None:
    frame = pd.DataFrame({one: column(series, one) for one in ("high", "low", "close", "volume", "start_ms")})
    days = pd.to_datetime(frame["start_ms"], unit="ms", utc=True).dt.tz_convert("Asia/Kolkata").dt.date
    typical = (frame["high"] + frame["low"] + frame["close"]) / 3
    total = frame["volume"].groupby(days).cumsum()
    theirs = (typical * frame["volume"]).groupby(days).cumsum() / total.where(total > 0)
    same(computed(series)["vwap"], theirs.to_numpy(dtype=np.float64))


def test_no_volume_means_no_vwap_and_nothing_else() -> None:
    without = [replace(one, volume=None) for one in SERIES["gaps"]]
    ours, theirs = computed(without), computed(SERIES["gaps"])
    assert np.isnan(ours["vwap"]).all()
    for name in set(INDICATOR_NAMES) - {"vwap"}:
        np.testing.assert_array_equal(ours[name], theirs[name])


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
    alone = {f"NSE:S{number}": _walk(250 + number) for number in range(150)}
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


def _closes_of_every_size() -> list[Candle]:
    """Full mantissas from a tenth of a paisa to ten million, next to each other."""
    rng = np.random.default_rng(SEED)
    return candles_of(10.0 ** rng.uniform(-3, 7, 900), np.zeros(900), [1] * 900)


@pytest.mark.parametrize("period, name", [(20, "sma_20"), (200, "sma_200")])
def test_an_average_is_that_of_its_closes_alone_whatever_came_before(period: int, name: str) -> None:
    candles = _closes_of_every_size()
    exact = [Fraction(one.close) for one in candles]
    ours = computed(candles)[name].tolist()
    for end in range(period, len(candles) + 1):
        mean = sum(exact[end - period : end], Fraction(0)) / period
        assert abs(Fraction(ours[end - 1]) - mean) <= 2 * Fraction(math.ulp(float(mean)))


@pytest.mark.parametrize("began", [1, 137, 199, 200, 501])
def test_an_average_does_not_depend_on_where_its_row_began(began: int) -> None:
    candles = _closes_of_every_size()
    whole, later = computed(candles), computed(candles[began:])
    np.testing.assert_array_equal(later["sma_20"][19:], whole["sma_20"][began + 19 :])
    np.testing.assert_array_equal(later["sma_200"][199:], whole["sma_200"][began + 199 :])


def revised(one: Candle, close: float, rev: int = 1) -> Candle:
    return replace(one, close=close, high=max(one.high, close), low=min(one.low, close), rev=rev)


@pytest.mark.parametrize("at", [0, 1, 14, 25, 33, 199, 200, 374, 375, 376, 900])
def test_a_revision_gives_what_the_revised_candles_give(at: int) -> None:
    candles = SERIES["gaps"][:1_000]
    once, twice = revised(candles[at], candles[at].close + 7), revised(candles[at], candles[at].close - 9, rev=2)
    table = IndicatorTable(settle=False)
    told = [*candles[: at + 1], once, twice, *candles[at + 1 :]]
    updated = table.update(told)
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
    second.restore(first.symbols, [one.copy() for one in first.state()])
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


def test_values_are_absent_until_they_are_settled() -> None:
    candles = SERIES["a long walk"][:300]
    updated = IndicatorTable().update(candles)
    first = {name: int(np.argmax(~np.isnan(updated.now[:, at]))) + 1 for at, name in enumerate(INDICATOR_NAMES)}
    assert first == {
        "sma_20": 20,
        "sma_200": 200,
        "ema_9": 36,
        "rsi_14": 140,
        "macd": 104,
        "macd_signal": 140,
        "macd_histogram": 140,
        "atr_14": 140,
        "supertrend": 100,
        "supertrend_direction": 100,
        "vwap": 1,
    }
    defined = IndicatorTable(settle=False).update(candles)
    np.testing.assert_array_equal(updated.now[-1], defined.now[-1])
    assert not updated.values(198).has("sma_20", "sma_200")
    assert updated.values(199).has(*INDICATOR_NAMES)
    assert set(updated.values(198).as_dict()) == set(INDICATOR_NAMES) - {"sma_200"}


def test_the_numbers_in_the_names_are_the_parameters() -> None:
    numbers = {name: int(name.split("_")[1]) for name in INDICATOR_NAMES if name.split("_")[-1].isdigit()}
    p = DEFAULT_PARAMETERS
    assert numbers == {"sma_20": p.sma_short, "sma_200": p.sma_long, "ema_9": p.ema, "rsi_14": p.rsi, "atr_14": p.atr}


@pytest.mark.parametrize("wrong", [{"macd_fast": 30}, {"sma_short": 300}, {"rsi": 0}])
def test_wrong_parameters_are_said(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"swap them|above 0"):
        IndicatorParameters(**wrong)
