"""Warm indicator tables: candles of many instruments through the kernel itself, array by array."""

from __future__ import annotations

import numpy as np

from bench.bars import Bars
from utils.indicators import DEFAULT_PARAMETERS, INDICATOR_NAMES, IndicatorTable, kernels


def zero_results(rows: int) -> kernels.Results:
    """The kernel's output buffer."""
    names = len(INDICATOR_NAMES)
    return kernels.Results(np.zeros(rows, np.int64), np.empty((rows, names)), np.empty((rows, names)))


def cold_tables(rows: int) -> kernels.Tables:
    """Rows without any candle."""
    names = len(INDICATOR_NAMES)
    return kernels.Tables(
        now=np.zeros(rows, kernels.STATE_DTYPE),
        before=np.zeros(rows, kernels.STATE_DTYPE),
        rings=np.zeros((rows, DEFAULT_PARAMETERS.sma_long)),
        values=np.full((rows, names), np.nan),
        values_before=np.full((rows, names), np.nan),
    )


def settled_after() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array(DEFAULT_PARAMETERS.settled_after(), np.int64)


def process_close(tables: kernels.Tables, bars: Bars, at: int, results: kernels.Results) -> None:
    """One close of every instrument."""
    kernels.update(tables, bars.batch(at), results, DEFAULT_PARAMETERS.for_kernel(), settled_after())


def warm_tables(bars: Bars, until: int) -> kernels.Tables:
    """After the first `until` candles."""
    tables, results = cold_tables(bars.instruments), zero_results(bars.instruments)
    for at in range(until):
        process_close(tables, bars, at, results)
    return tables


def warm_table(bars: Bars, until: int) -> IndicatorTable:
    """The same rows as the signal worker's table."""
    table = IndicatorTable()
    symbols = [f"NSE:S{row:05d}" for row in range(bars.instruments)]
    table.restore(symbols, list(warm_tables(bars, until)))
    return table
