"""The README's strategy, as it stands there: it loads, and proposes when the short average crosses the long one."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

import strategies
from strategies import Direction, load_strategies
from tests.shared.closed_candles import minute_candles
from tests.shared.pages import Example, example_text
from utils.indicators import IndicatorValues


def test_it_proposes_at_the_crossing_and_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "golden.py").write_text(example_text(Example.STRATEGY))
    monkeypatch.setattr(strategies, "__path__", [*strategies.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    (golden,) = load_strategies(["golden"])
    candle = replace(minute_candles("NSE:INFY", [0])[0], close=110.0)
    below = IndicatorValues(sma_20=99.0, sma_200=100.0, atr_14=2.0)
    above = below._replace(sma_20=101.0)
    proposal = golden.evaluate(candle, above, below)
    assert proposal is not None
    assert (proposal.direction, proposal.stop, proposal.target) == (Direction.LONG, 108.0, 114.0)
    assert golden.evaluate(candle, above, above) is None
    assert golden.evaluate(candle, below, above) is None
