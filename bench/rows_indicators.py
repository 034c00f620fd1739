"""Row 3: all indicators of all instruments at one close."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from bench import indicator_state
from bench.bars import Bars, random_bars
from bench.measure import Log, Side, interleaved
from bench.peers import Peers
from bench.results import Check, Row
from utils.indicators import DEFAULT_PARAMETERS, INDICATOR_NAMES, kernels

WINDOW = 250  # candles: the longest average takes 200
CHECKED = 8
PANDAS_ROWS = 60
TALIPP_ROWS = 500
_RELATIVE = 1e-9


def indicator_rows(instruments: int, repetitions: int, peers: Peers, log: Log) -> tuple[list[Check], list[Row]]:
    """The check first, then the row of the kernel and the row of what the signal worker does around it."""
    log(f"3. all indicators, {instruments} instruments at one close")
    bars = random_bars(WINDOW + repetitions + 2, instruments)
    checks = _checks(bars, peers)
    sides: dict[str, Side] = {
        "kernel": _kernel_side(bars),
        "table": _table_side(bars),
        **_peer_sides(bars, peers),
    }
    samples = interleaved(sides, repetitions)
    kernel, table = samples.pop("kernel"), samples.pop("table")
    targets = {"talipp": 200.0, "pandas": 1_000.0, "": 5.0}
    note = (
        f"pandas on {PANDAS_ROWS} instruments and talipp on {min(TALIPP_ROWS, instruments)}, scaled up; "
        f"TA-Lib and pandas recompute {WINDOW} candles"
    )
    name = f"all indicators at one close, {instruments} instruments"
    return checks, [
        Row("3", f"{name}, kernel", "ms", kernel, samples, targets, False, note),
        Row("3", f"{name}, from Candle objects", "ms", table, samples, {}, False, "one call of the table"),
    ]


def _kernel_side(bars: Bars) -> Side:
    tables = indicator_state.warm_tables(bars, WINDOW)
    results, settled = indicator_state.zero_results(bars.instruments), indicator_state.settled_after()
    parameters, at = DEFAULT_PARAMETERS.for_kernel(), iter(range(WINDOW, bars.count))

    def side() -> float:
        batch = bars.batch(next(at))
        began = time.perf_counter()
        kernels.update(tables, batch, results, parameters, settled)
        return 1000 * (time.perf_counter() - began)

    return side


def _table_side(bars: Bars) -> Side:
    table, at = indicator_state.warm_table(bars, WINDOW), iter(range(WINDOW, bars.count))

    def side() -> float:
        candles = bars.candles(next(at))
        began = time.perf_counter()
        table.update(candles)
        return 1000 * (time.perf_counter() - began)

    return side


def _peer_sides(bars: Bars, peers: Peers) -> dict[str, Side]:
    sides: dict[str, Side] = {}
    if (talipp := peers.get("talipp")) is not None:
        sides["talipp"] = _talipp_side(bars, talipp)
    if (talib := peers.get("TA-Lib")) is not None:
        sides["TA-Lib"] = _talib_side(bars, talib)
    if (pandas := peers.get("pandas")) is not None:
        sides["pandas"] = _pandas_side(bars, pandas)
    return sides


def _talipp_side(bars: Bars, module: Any) -> Side:
    """talipp after 201 candles, with every indicator warm; some instruments, scaled up: making all takes 30 s."""
    some = bars.first(min(TALIPP_ROWS, bars.instruments))
    rows, at = module.TalippRows(some, 201), iter(range(201, bars.count))

    def side() -> float:
        candles = module.candles_at(some, next(at))
        began = time.perf_counter()
        rows.add(candles)
        return 1000 * (time.perf_counter() - began) * bars.instruments / some.instruments

    return side


def _talib_side(bars: Bars, module: Any) -> Side:
    windows = [bars.window(row, WINDOW) for row in range(bars.instruments)]

    def side() -> float:
        began = time.perf_counter()
        for window in windows:
            module.recompute(window)
        return 1000 * (time.perf_counter() - began)

    return side


def _pandas_side(bars: Bars, module: Any) -> Side:
    frames = [module.frame_of(bars, row, WINDOW) for row in range(min(PANDAS_ROWS, bars.instruments))]

    def side() -> float:
        began = time.perf_counter()
        for frame in frames:
            module.recompute(frame)
        return 1000 * (time.perf_counter() - began) * bars.instruments / len(frames)

    return side


def _checks(bars: Bars, peers: Peers) -> list[Check]:
    few = bars.first(CHECKED)
    ours = indicator_state.warm_tables(few, WINDOW).values
    checks = []
    if (talib := peers.get("TA-Lib")) is not None:
        checks.append(_check("TA-Lib", ours, lambda row: talib.recompute(few.window(row, WINDOW))))
    if (talipp := peers.get("talipp")) is not None:
        rows = talipp.TalippRows(few, WINDOW)
        checks.append(_check("talipp", ours, rows.value))
    if (pandas := peers.get("pandas")) is not None:
        checks.append(_check("pandas", ours, lambda row: pandas.recompute(pandas.frame_of(few, row, WINDOW))))
    return checks


def _check(name: str, ours: Any, value: Callable[[int], dict[str, float]]) -> Check:
    """Which values are the same to 1e-9 in every row, and how far the others are off."""
    off: dict[str, float] = {}
    for row in range(CHECKED):
        theirs = value(row)
        for at, indicator in enumerate(INDICATOR_NAMES):
            if indicator in theirs:
                mine, other = float(ours[row, at]), float(theirs[indicator])
                error = abs(mine - other) / max(abs(mine), 1e-3) if math.isfinite(other) else math.inf
                off[indicator] = max(off.get(indicator, 0.0), error)
    same = [indicator for indicator, error in off.items() if error <= _RELATIVE]
    others = {indicator: error for indicator, error in off.items() if error > _RELATIVE}
    seeded_otherwise = ", ".join(f"{indicator} {error:.1g}" for indicator, error in others.items())
    detail = f"same: {', '.join(same)}" + (f"; seeded otherwise, off by {seeded_otherwise}" if others else "")
    must = {"TA-Lib": set(off), "talipp": {"sma_20", "sma_200", "ema_9"}, "pandas": {"sma_20", "sma_200", "vwap"}}
    return Check(f"same indicators: {name}", must[name] <= set(same), detail)
