"""The indicators against TA-Lib, and Supertrend and VWAP against plain pandas."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import talib

from tests.shared.indicator_series import SEED, SERIES, Floats, candles_of, column
from tests.shared.supertrend_in_pandas import supertrend_in_pandas
from utils.indicators import DEFAULT_PARAMETERS, INDICATOR_NAMES, IndicatorParameters, IndicatorTable, Outcome
from utils.market.candle import Candle


@pytest.fixture(params=SERIES, ids=str)
def series(request: pytest.FixtureRequest) -> list[Candle]:
    return SERIES[request.param]


def computed(candles: Sequence[Candle]) -> dict[str, Floats]:
    """All values from the first defined one on, one array a name."""
    updated = IndicatorTable(settle=False).update(candles)
    assert set(updated.outcome.tolist()) == {Outcome.APPLIED}
    return {name: updated.now[:, at] for at, name in enumerate(INDICATOR_NAMES)}


def same(ours: Floats, theirs: Floats) -> None:
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def rsi_by_definition(close: Floats) -> Floats:
    """TA-Lib's, but for a price that has not moved yet: there it has 0, and the definition 0 / 0."""
    theirs: Floats = talib.RSI(close, 14)
    unmoved = np.maximum.accumulate(close) == np.minimum.accumulate(close)
    return np.where(unmoved & ~np.isnan(theirs), 50.0, theirs)


def test_the_rsi_of_a_mirrored_series_is_mirrored(series: list[Candle]) -> None:
    """What rises as strongly as another falls is as far above 50 as that is below: so 50 is of what does neither."""
    top = 2 * max(pair.high for pair in series)
    mirror = [
        replace(pair, open=top - pair.open, high=top - pair.low, low=top - pair.high, close=top - pair.close)
        for pair in series
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


@pytest.mark.parametrize("name", ["a long walk", "gaps", "a constant price", "a walk that goes to sleep"])
def test_supertrend_is_equal_to_plain_pandas(name: str) -> None:
    candles = SERIES[name]
    frame = pd.DataFrame({field_name: column(candles, field_name) for field_name in ("high", "low", "close")})
    theirs = supertrend_in_pandas(frame, 10, 3.0)
    ours = computed(candles)
    same(ours["supertrend"], theirs["line"].to_numpy(dtype=np.float64))
    same(ours["supertrend_direction"], theirs["direction"].to_numpy(dtype=np.float64))
    if name in ("a long walk", "gaps"):
        assert {-1.0, 1.0} <= set(ours["supertrend_direction"])


def test_vwap_is_equal_to_plain_pandas_and_starts_anew_each_session(series: list[Candle]) -> None:
    frame = pd.DataFrame(
        {field_name: column(series, field_name) for field_name in ("high", "low", "close", "volume", "start_ms")}
    )
    days = pd.to_datetime(frame["start_ms"], unit="ms", utc=True).dt.tz_convert("Asia/Kolkata").dt.date
    typical = (frame["high"] + frame["low"] + frame["close"]) / 3
    total = frame["volume"].groupby(days).cumsum()
    theirs = (typical * frame["volume"]).groupby(days).cumsum() / total.where(total > 0)
    same(computed(series)["vwap"], theirs.to_numpy(dtype=np.float64))


def test_no_volume_means_no_vwap_and_nothing_else() -> None:
    without = [replace(bar, volume=None) for bar in SERIES["gaps"]]
    ours, theirs = computed(without), computed(SERIES["gaps"])
    assert np.isnan(ours["vwap"]).all()
    for name in set(INDICATOR_NAMES) - {"vwap"}:
        np.testing.assert_array_equal(ours[name], theirs[name])


def _closes_of_every_size() -> list[Candle]:
    """Full mantissas from a tenth of a paisa to ten million, next to each other."""
    rng = np.random.default_rng(SEED)
    return candles_of(10.0 ** rng.uniform(-3, 7, 900), np.zeros(900), [1] * 900)


@pytest.mark.parametrize("period, name", [(20, "sma_20"), (200, "sma_200")])
def test_an_average_is_that_of_its_closes_alone_whatever_came_before(period: int, name: str) -> None:
    candles = _closes_of_every_size()
    exact = [Fraction(candle.close) for candle in candles]
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
def test_wrong_parameters_are_named(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"swap them|above 0"):
        IndicatorParameters(**wrong)
