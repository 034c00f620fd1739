"""The checks of a tick that need nothing but its packet and its instrument: length, price, time, bid and ask.

A new check goes into `check_packet`, and its reason into `layout.Reason`. docs/CANDLES.md section 4.
"""

from __future__ import annotations

from utils.candles.kernels.layout import Reason, Record, Rules
from utils.candles.kernels.packets import is_baseline
from utils.kite.frames import INDEX_FULL_LENGTH, INDEX_QUOTE_LENGTH, LTP_LENGTH
from utils.runtime.kernel_cache import kernel

ACCEPTED = -1
YEAR_2000_MS = 946_684_800_000


@kernel
def check_packet(p: Record, inst: Record, rules: Rules) -> int:
    """The first check that fails, as a Reason; ACCEPTED when none does."""
    if not length_fits(p.length, inst.is_index):
        return Reason.LENGTH.value
    baseline = is_baseline(inst, p)
    if p.price == 0 and not (baseline and p.cum == 0):
        return Reason.PRICE.value
    p.priceless = 1 if baseline and (p.price == 0 or (p.timed and p.exchange_ms == 0)) else 0
    if p.timed and not _time_is_sane(p, rules.skew_ms):
        return Reason.TIME.value
    if _is_crossed(p, inst):
        return Reason.CROSSED.value
    return ACCEPTED


@kernel
def length_fits(length: int, is_index: int) -> bool:
    if length == LTP_LENGTH:
        return True
    return (length in (INDEX_FULL_LENGTH, INDEX_QUOTE_LENGTH)) == (is_index == 1)


@kernel
def _time_is_sane(p: Record, skew_ms: int) -> bool:
    latest = p.receive_ms + skew_ms
    if not p.priceless and not YEAR_2000_MS <= p.exchange_ms <= latest:
        return False
    return bool(p.trade_ms == 0 or YEAR_2000_MS <= p.trade_ms <= latest)


@kernel
def _is_crossed(p: Record, inst: Record) -> bool:
    both = p.bid > 0 and p.ask > 0
    return bool(both and p.bid > p.ask and inst.open_ms <= p.exchange_ms < inst.close_ms)
