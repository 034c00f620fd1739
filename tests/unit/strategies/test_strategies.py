"""Strategies: how they are found, and what momentum answers, condition by condition."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

import strategies
from strategies import Direction, load_strategies, strategy_names
from strategies.momentum import evaluate
from tests.shared.closed_candles import minute_candles
from utils.indicators import IndicatorValues
from utils.market.candle import Candle
from utils.runtime.settings import SettingsError

CANDLE: Candle = replace(minute_candles("NSE:INFY", [0])[0], close=110.0, volume=10)
LONG_NOW = IndicatorValues(
    sma_200=100.0, supertrend_direction=1.0, vwap=105.0, rsi_14=56.0, macd_histogram=0.1, atr_14=2.0
)
LONG_BEFORE = IndicatorValues(macd_histogram=-0.1)
SHORT_NOW = IndicatorValues(
    sma_200=120.0, supertrend_direction=-1.0, vwap=115.0, rsi_14=44.0, macd_histogram=-0.1, atr_14=2.0
)
SHORT_BEFORE = IndicatorValues(macd_histogram=0.1)


def test_long_needs_all_and_gives_its_levels() -> None:
    proposal = evaluate(CANDLE, LONG_NOW, LONG_BEFORE)
    assert proposal is not None
    assert (proposal.direction, proposal.entry) == (Direction.LONG, 110.0)
    assert (proposal.stop, proposal.target) == (107.0, 116.0)
    assert len(proposal.conditions) == 5


def test_short_is_the_mirror() -> None:
    proposal = evaluate(CANDLE, SHORT_NOW, SHORT_BEFORE)
    assert proposal is not None
    assert (proposal.direction, proposal.entry) == (Direction.SHORT, 110.0)
    assert (proposal.stop, proposal.target) == (113.0, 104.0)
    assert len(proposal.conditions) == 5


@pytest.mark.parametrize(
    "spoiled",
    [
        {"sma_200": 110.0},
        {"supertrend_direction": -1.0},
        {"vwap": 110.0},
        {"vwap": float("nan")},
        {"rsi_14": 55.0},
        {"macd_histogram": 0.0},
        {"macd_histogram": -0.2},
    ],
    ids=str,
)
def test_long_falls_with_any_condition(spoiled: dict[str, float]) -> None:
    assert evaluate(CANDLE, LONG_NOW._replace(**spoiled), LONG_BEFORE) is None


@pytest.mark.parametrize(
    "spoiled",
    [
        {"sma_200": 110.0},
        {"supertrend_direction": 1.0},
        {"vwap": 110.0},
        {"vwap": float("nan")},
        {"rsi_14": 45.0},
        {"macd_histogram": 0.0},
        {"macd_histogram": 0.2},
    ],
    ids=str,
)
def test_short_falls_with_any_condition(spoiled: dict[str, float]) -> None:
    assert evaluate(CANDLE, SHORT_NOW._replace(**spoiled), SHORT_BEFORE) is None


def test_a_crossing_begins_at_or_beyond_zero() -> None:
    assert evaluate(CANDLE, LONG_NOW, IndicatorValues(macd_histogram=0.0)) is not None
    assert evaluate(CANDLE, LONG_NOW, IndicatorValues(macd_histogram=0.01)) is None
    assert evaluate(CANDLE, LONG_NOW, IndicatorValues()) is None
    assert evaluate(CANDLE, SHORT_NOW, IndicatorValues(macd_histogram=0.0)) is not None
    assert evaluate(CANDLE, SHORT_NOW, IndicatorValues(macd_histogram=-0.01)) is None


@pytest.mark.parametrize(("now", "before"), [(LONG_NOW, LONG_BEFORE), (SHORT_NOW, SHORT_BEFORE)])
def test_without_volume_the_vwap_is_not_asked_for(now: IndicatorValues, before: IndicatorValues) -> None:
    proposal = evaluate(replace(CANDLE, volume=None), now._replace(vwap=float("nan")), before)
    assert proposal is not None
    assert len(proposal.conditions) == 4
    assert not any("vwap" in condition for condition in proposal.conditions)


def test_found_by_name() -> None:
    assert "momentum" in strategy_names()
    assert not any(name.startswith("_") for name in strategy_names())
    (momentum,) = load_strategies(["momentum"])
    assert (momentum.name, momentum.evaluate) == ("momentum", evaluate)
    assert load_strategies([]) == ()


def test_an_unknown_name_is_named_with_those_that_exist() -> None:
    with pytest.raises(SettingsError, match=r"STRATEGIES.*'momentun'.*momentum"):
        load_strategies(["momentun"])
    with pytest.raises(SettingsError, match=r"STRATEGIES.*twice"):
        load_strategies(["momentum", "momentum"])


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("without_evaluate", "REQUIRED = ()\n", "has no function evaluate"),
        ("without_required", "def evaluate(candle, now, before): return None\n", "has no REQUIRED"),
        (
            "of_unknown_values",
            "REQUIRED = ('sma_7',)\ndef evaluate(candle, now, before): return None\n",
            "requires 'sma_7'",
        ),
        ("of_no_python", "this is no Python\n", "cannot be loaded"),
    ],
)
def test_a_wrong_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str, fault: str
) -> None:
    _put(tmp_path, monkeypatch, name, content)
    with pytest.raises(SettingsError, match=rf"STRATEGIES: .*{name}.py {fault}"):
        load_strategies([name])


def test_one_file_more_is_one_strategy_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = "REQUIRED = ('vwap',)\ndef evaluate(candle, now, before): return candle.close\n"
    _put(tmp_path, monkeypatch, "one_more", content)
    assert strategy_names() == ["momentum", "one_more"]
    _, one_more = load_strategies(["momentum", "one_more"])
    assert (one_more.name, one_more.required) == ("one_more", ("vwap",))


def _put(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: str) -> None:
    (folder / f"{name}.py").write_text(content)
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(folder)])
    importlib.invalidate_caches()
