"""The indicators' arithmetic, candle by candle: numba kernels over one row of state an instrument.

A new indicator: its name in values.py, its period in parameters.py, its state and its step here.

Definitions and seeds are TA-Lib's (`ta_EMA.c`, `ta_MACD.c`, `ta_RSI.c`, `ta_ATR.c`, unstable period 0, classic
compatibility); Supertrend is TradingView's `ta.supertrend` with a Wilder average that, like TA-Lib's, drops bar 0;
VWAP is typical price times volume, cumulative within a session. RSI is not TA-Lib's where a price never moved.

A row keeps its state after the last candle (`now`) and after the one before it (`before`): a revision of the last
candle goes back one step and is applied anew, so it gives what a fresh computation over the revised candles gives.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.indicators.parameters import KernelParameters
from utils.runtime.kernel_cache import kernel

SKIPPED, APPLIED, REVISED = 0, 1, 2

# A sum is `high` in units of 2^-16 and `low` in units of 2^-63: every bit of a close from 0.001 on, and in 64 bits
# 200 closes up to 7e11.
HIGH_UNITS = 2.0**16
LOW_UNITS_A_HIGH_ONE = 2.0**47
HIGH_UNIT, LOW_UNIT = 2.0**-16, 2.0**-63

# Of a price that never moved Wilder's 100 - 100 / (1 + gain / loss) is 0 / 0. A mirrored series has 100 - RSI, and a
# flat one is its own mirror: 50, neither strong nor weak. (TA-Lib gives 0, which reads as oversold.)
RSI_UNMOVED = 50.0

STATE_DTYPE = np.dtype(
    [
        ("start_ms", np.int64),
        ("rev", np.int64),
        ("count", np.int64),
        ("session_day", np.int64),
        ("overwritten", np.float64),  # the close whose place in the ring the last one took
        ("close", np.float64),
        ("sma_short_high", np.int64),
        ("sma_short_low", np.int64),
        ("sma_long_high", np.int64),
        ("sma_long_low", np.int64),
        ("ema", np.float64),  # while an average is being seeded its field holds the sum so far
        ("macd_fast", np.float64),
        ("macd_slow", np.float64),
        ("macd_signal", np.float64),
        ("rsi_gain", np.float64),
        ("rsi_loss", np.float64),
        ("atr", np.float64),
        ("supertrend_atr", np.float64),
        ("upper", np.float64),
        ("lower", np.float64),
        ("direction", np.float64),
        ("turnover", np.float64),
        ("volume", np.float64),
    ]
)

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
States = NDArray[Any]


class Tables(NamedTuple):
    """The rows' state: now and before (rows,) of STATE_DTYPE, rings (rows, longest SMA), values (rows, names)."""

    now: States
    before: States
    rings: Floats
    values: Floats
    values_before: Floats


class Batch(NamedTuple):
    """Candles of one timeframe, in order, each (n,); a row may come more than once. No volume is NaN."""

    rows: Integers
    start_ms: Integers
    rev: Integers
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    session_day: Integers


class Results(NamedTuple):
    """What the kernel fills in: outcome (n,), the values after each candle and after the one before it (n, names)."""

    outcome: Integers
    now: Floats
    before: Floats


@kernel
def _step_average(held: float, value: float, number: int, period: int, weight: float) -> float:
    """Value `number` (from 1) of an average that is seeded with the mean of the first `period`."""
    if number < period:
        return held + value
    if number == period:
        return (held + value) / period
    return held + weight * (value - held)


@kernel
def _step_wilder(held: float, value: float, number: int, period: int) -> float:
    """Wilder's average (RMA), written as TA-Lib does: (held * (n - 1) + value) / n."""
    if number < period:
        return held + value
    if number == period:
        return (held + value) / period
    return (held * (period - 1) + value) / period


@kernel
def _units(close: float) -> tuple[int, int]:
    """A close in high and low units."""
    scaled = close * HIGH_UNITS
    high = np.floor(scaled)
    return int(high), int((scaled - high) * LOW_UNITS_A_HIGH_ONE)


@kernel
def _mean(high: int, low: int, count: int, period: int) -> float:
    return (high * HIGH_UNIT + low * LOW_UNIT) / period if count >= period else np.nan


@kernel
def _step_sma(state: Any, ring: Floats, close: float, p: KernelParameters, out: Floats) -> None:
    """The ring holds the closes of the longer average; places that none took yet are 0, and so add nothing."""
    count = state.count
    place = (count - 1) % ring.shape[0]
    state.overwritten = ring[place]
    high, low = _units(close)
    high_left, low_left = _units(ring[(count - 1 - p.sma_short) % ring.shape[0]])
    state.sma_short_high += high - high_left
    state.sma_short_low += low - low_left
    high_left, low_left = _units(state.overwritten)
    state.sma_long_high += high - high_left
    state.sma_long_low += low - low_left
    ring[place] = close
    out[0] = _mean(state.sma_short_high, state.sma_short_low, count, p.sma_short)
    out[1] = _mean(state.sma_long_high, state.sma_long_low, count, p.sma_long)


@kernel
def _step_macd(state: Any, close: float, p: KernelParameters, out: Floats) -> None:
    """Both EMAs start at the bar that ends the slow one's seed; the fast one's seed is the last bars of it."""
    count = state.count
    state.macd_slow = _step_average(state.macd_slow, close, count, p.macd_slow, 2.0 / (p.macd_slow + 1))
    fast_index = count - (p.macd_slow - p.macd_fast)
    if fast_index >= 1:
        state.macd_fast = _step_average(state.macd_fast, close, fast_index, p.macd_fast, 2.0 / (p.macd_fast + 1))
    if count < p.macd_slow:
        return
    line = state.macd_fast - state.macd_slow
    index = count - p.macd_slow + 1
    state.macd_signal = _step_average(state.macd_signal, line, index, p.macd_signal, 2.0 / (p.macd_signal + 1))
    if index >= p.macd_signal:
        out[4] = line
        out[5] = state.macd_signal
        out[6] = line - state.macd_signal


@kernel
def _step_rsi(state: Any, close: float, period: int) -> float:
    index = state.count - 1
    if index < 1:
        return np.nan
    change = close - state.close
    state.rsi_gain = _step_wilder(state.rsi_gain, max(change, 0.0), index, period)
    state.rsi_loss = _step_wilder(state.rsi_loss, max(-change, 0.0), index, period)
    if index < period:
        return np.nan
    moved = state.rsi_gain + state.rsi_loss
    return 100.0 * (state.rsi_gain / moved) if moved > 0.0 else RSI_UNMOVED


@kernel
def _step_supertrend(state: Any, high: float, low: float, close: float, p: KernelParameters, out: Floats) -> None:
    """A final band only tightens unless the previous close crossed it; the first direction is down."""
    index = state.count - 1
    if index < p.supertrend:
        return
    reach, middle = p.supertrend_multiplier * state.supertrend_atr, (high + low) / 2.0
    upper, lower = middle + reach, middle - reach
    if index > p.supertrend:
        if not (upper < state.upper or state.close > state.upper):
            upper = state.upper
        if not (lower > state.lower or state.close < state.lower):
            lower = state.lower
        if state.direction < 0.0:
            state.direction = 1.0 if close > upper else -1.0
        else:
            state.direction = -1.0 if close < lower else 1.0
    else:
        state.direction = -1.0
    state.upper, state.lower = upper, lower
    out[8] = lower if state.direction > 0.0 else upper
    out[9] = state.direction


@kernel
def _step_vwap(state: Any, typical: float, volume: float, session_day: int) -> float:
    if session_day != state.session_day:
        state.session_day = session_day
        state.turnover, state.volume = 0.0, 0.0
    if np.isnan(volume):
        return np.nan
    state.turnover += typical * volume
    state.volume += volume
    return state.turnover / state.volume if state.volume > 0.0 else np.nan


@kernel
def _step(state: Any, ring: Floats, batch: Batch, at: int, p: KernelParameters, out: Floats) -> None:
    """One candle of one row; `out` takes the values, NaN where there is none yet."""
    high, low, close = batch.high[at], batch.low[at], batch.close[at]
    state.count += 1
    count = state.count
    out[:] = np.nan
    _step_sma(state, ring, close, p, out)
    state.ema = _step_average(state.ema, close, count, p.ema, 2.0 / (p.ema + 1))
    if count >= p.ema:
        out[2] = state.ema
    out[3] = _step_rsi(state, close, p.rsi)
    _step_macd(state, close, p, out)
    if count > 1:
        true_range = max(high - low, abs(high - state.close), abs(low - state.close))
        state.atr = _step_wilder(state.atr, true_range, count - 1, p.atr)
        state.supertrend_atr = _step_wilder(state.supertrend_atr, true_range, count - 1, p.supertrend)
    if count > p.atr:
        out[7] = state.atr
    _step_supertrend(state, high, low, close, p, out)
    out[10] = _step_vwap(state, (high + low + close) / 3.0, batch.volume[at], batch.session_day[at])
    state.close = close


@kernel
def _choose(state: Any, start_ms: int, rev: int) -> int:
    """What a candle is to its row: the next one, a revision of the last one, or nothing new."""
    if state.count == 0 or start_ms > state.start_ms:
        return APPLIED
    if start_ms == state.start_ms and rev > state.rev:
        return REVISED
    return SKIPPED


@kernel
def _copy_row(source: Floats, from_row: int, target: Floats, to_row: int) -> None:
    # Not `target[to_row] = source[from_row]`: numba allocates for it, which these kernels cannot (kernel_cache.py).
    for name in range(source.shape[1]):
        target[to_row, name] = source[from_row, name]


@kernel
def update(tables: Tables, batch: Batch, results: Results, p: KernelParameters, settled_after: Integers) -> None:
    """All candles of a batch; each value is NaN until its row took `settled_after` (names,) candles."""
    now, before, rings, values, values_before = tables
    for at in range(batch.rows.shape[0]):
        row = batch.rows[at]
        what = _choose(now[row], batch.start_ms[at], batch.rev[at])
        results.outcome[at] = what
        if what == REVISED:
            rings[row, (now[row].count - 1) % rings.shape[1]] = now[row].overwritten
            now[row] = before[row]
        elif what == APPLIED:
            before[row] = now[row]
            _copy_row(values, row, values_before, row)
        if what != SKIPPED:
            _step(now[row], rings[row], batch, at, p, values[row])
            now[row].start_ms = batch.start_ms[at]
            now[row].rev = batch.rev[at]
            for name in range(settled_after.shape[0]):
                if now[row].count < settled_after[name]:
                    values[row, name] = np.nan
        _copy_row(values, row, results.now, at)
        _copy_row(values_before, row, results.before, at)
