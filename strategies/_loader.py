"""Finds strategies by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from strategies._proposal import Proposal
from utils.indicators import INDICATOR_NAMES, IndicatorValues
from utils.market.candle import Candle
from utils.runtime.settings import SettingsError

Evaluate = Callable[[Candle, IndicatorValues, IndicatorValues], Proposal | None]
PACKAGE = "strategies"


@dataclass(frozen=True, slots=True)
class Strategy:
    """A name, the indicators that must be warm, and the question."""

    name: str
    required: tuple[str, ...]
    evaluate: Evaluate


def strategy_names() -> list[str]:
    """The names of all strategies there are."""
    folders = importlib.import_module(PACKAGE).__path__
    return sorted(module.name for module in pkgutil.iter_modules(folders) if not module.name.startswith("_"))


def load_strategies(names: Sequence[str]) -> tuple[Strategy, ...]:
    """Those of the STRATEGIES setting, in its order. SettingsError: an unknown name, or a file that is none."""
    known = strategy_names()
    for name in names:
        if name not in known:
            raise SettingsError(f"STRATEGIES: there is no strategy {name!r}; there are: {', '.join(known)}")
        if names.count(name) > 1:
            raise SettingsError(f"STRATEGIES: {name!r} stands twice: keep one")
    return tuple(_load(name) for name in names)


def _load(name: str) -> Strategy:
    where = f"STRATEGIES: strategies/{name}.py"
    try:
        module = importlib.import_module(f"{PACKAGE}.{name}")
    except Exception as error:
        raise SettingsError(f"{where} cannot be loaded ({type(error).__name__}: {error})") from error
    evaluate, required = getattr(module, "evaluate", None), getattr(module, "REQUIRED", None)
    if not callable(evaluate):
        raise SettingsError(f"{where} has no function evaluate(candle, now, before)")
    if not isinstance(required, tuple):
        raise SettingsError(f'{where} has no REQUIRED, a tuple of indicator names such as ("sma_200", "atr_14")')
    for known_name in required:
        if known_name not in INDICATOR_NAMES:
            raise SettingsError(f"{where} requires {known_name!r}; the indicators are: {', '.join(INDICATOR_NAMES)}")
    return Strategy(name, required, evaluate)
