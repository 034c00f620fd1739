"""The rolling z-score of docs/CANDLES.md section 4, in integers as far as it goes, so that it repeats to the bit."""

from __future__ import annotations

import math

from utils.candles.kernels.layout import Array, Record, Rules
from utils.runtime.kernel_cache import kernel

SURELY = 0.999  # well below what rounding can do to a quotient


@kernel
def is_warm(inst: Record, rules: Rules) -> bool:
    """Whether enough prices are kept to measure another one against them."""
    return bool(inst.window_count >= rules.min_ticks)


@kernel
def zscore(inst: Record, price: int, rules: Rules) -> float:
    """How many deviations the price lies from the window's mean; 0 when that is surely too few to be warned of."""
    n = inst.window_count
    if n == 0:
        return 0.0
    mean = inst.window_ref + inst.window_sum / n
    distance, least = abs(price - mean), least_deviation(inst, mean, rules)
    if distance < SURELY * rules.warn * least:  # nearly always: spares the root, and changes no verdict
        return 0.0
    variance = max(0.0, (inst.window_squares - inst.window_sum * inst.window_sum / n) / n)
    return float(distance / max(math.sqrt(variance), least))


@kernel
def least_deviation(inst: Record, price: float, rules: Rules) -> float:
    """The floor under the deviation: some ticks, or a part of the price. A quiet option's deviation is 0."""
    return max(float(rules.floor_ticks * inst.tick_units), price * rules.floor_bps / 10_000.0)


@kernel
def clear_window(inst: Record) -> None:
    inst.window_count = inst.window_at = 0
    inst.window_sum = inst.window_squares = 0.0


@kernel
def remember_price(inst: Record, window: Array, price: int) -> None:
    """Put an accepted in-order trade's price into the ring. Sums are of whole differences: exact up to 2**53."""
    if inst.window_count == 0:
        inst.window_ref = price
    at = inst.window_at
    if inst.window_count == window.shape[0]:
        old = float(window[at] - inst.window_ref)
        inst.window_sum -= old
        inst.window_squares -= old * old
    else:
        inst.window_count += 1
    new = float(price - inst.window_ref)
    window[at] = price
    inst.window_sum += new
    inst.window_squares += new * new
    inst.window_at = (at + 1) % window.shape[0]
