"""Incremental indicators: numba kernels over state arrays, one row an instrument, one table a timeframe.

To add one: its period in `parameters.py`, its name in `values.py`, its state fields and its step in `kernels.py`.
"""

from utils.indicators.parameters import DEFAULT_PARAMETERS, IndicatorParameters
from utils.indicators.table import IndicatorTable, Outcome, Updated
from utils.indicators.values import ABSENT, INDICATOR_NAMES, IndicatorValues

__all__ = [
    "ABSENT",
    "DEFAULT_PARAMETERS",
    "INDICATOR_NAMES",
    "IndicatorParameters",
    "IndicatorTable",
    "IndicatorValues",
    "Outcome",
    "Updated",
]
