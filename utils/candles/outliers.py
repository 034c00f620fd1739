"""The rolling z-score of docs/CANDLES.md section 4, in integers as far as it goes, so that it repeats to the bit."""

from __future__ import annotations

import math

from utils.candles.layout import Array, Count, Record, Rules
from utils.kernel_cache import kernel


@kernel
def is_outlier(inst: Record, p: Record, cum_now: int, rules: Rules, counts: Array) -> bool:
    """Whether a would-be trade is rejected. Remembers a suspect, and lets a level that persisted in."""
    if inst.window_count < rules.min_ticks:
        return False
    mean = inst.window_ref + inst.window_sum / inst.window_count
    unit = _deviation(inst, mean, rules)
    z = abs(p.price - mean) / unit
    if z > rules.warn:
        counts[Count.WARNED.value] += 1
    if z <= rules.reject:
        return False
    return bool(p.late) or not _persists(inst, p, cum_now, rules.reject * unit, rules.accept_after)


@kernel
def _deviation(inst: Record, mean: float, rules: Rules) -> float:
    n = inst.window_count
    variance = max(0.0, (inst.window_squares - inst.window_sum * inst.window_sum / n) / n)
    floor = max(float(rules.floor_ticks * inst.tick_units), mean * rules.floor_bps / 10_000.0)
    return max(math.sqrt(variance), floor)


@kernel
def _persists(inst: Record, p: Record, cum_now: int, band: float, accept_after: int) -> bool:
    said_before = inst.suspect_count > 0 and inst.suspect_ms == p.trade_ms and inst.suspect_cum == cum_now
    if said_before:
        return False
    near = inst.suspect_count > 0 and abs(p.price - inst.suspect_price) <= band
    inst.suspect_count = inst.suspect_count + 1 if near else 1
    inst.suspect_price, inst.suspect_ms, inst.suspect_cum = p.price, p.trade_ms, cum_now
    if inst.suspect_count < accept_after:
        return False
    clear_window(inst)
    return True


@kernel
def clear_window(inst: Record) -> None:
    inst.window_count = inst.window_at = inst.suspect_count = 0
    inst.window_sum = inst.window_squares = 0.0


@kernel
def remember_price(inst: Record, window: Array, price: int) -> None:
    """Put an accepted in-order trade's price into the ring. Sums are of whole differences: exact up to 2**53."""
    inst.suspect_count = 0
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
