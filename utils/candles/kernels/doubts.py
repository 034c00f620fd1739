"""What is doubted, and what the next packet shows of it: docs/CANDLES.md section 4."""

from __future__ import annotations

from utils.candles.kernels.checks import ACCEPTED
from utils.candles.kernels.layout import Array, Count, Reason, Record, Rules
from utils.candles.kernels.outliers import is_warm, least_deviation, zscore
from utils.runtime.kernel_cache import kernel

HELD = -2


@kernel
def doubt(inst: Record, p: Record, rules: Rules, counts: Array, count: int) -> int:
    """ACCEPTED; HELD, with `count` as how often its level was seen; or the Reason why a late one is rejected."""
    is_far = _is_far_from_window(inst, p, rules, counts)
    outside = is_outside_its_range(p) or _is_new_to_the_day(inst, p)
    if not (is_far or outside or _is_far_from_its_book(inst, p, rules)):
        return ACCEPTED
    p.new_level = is_far
    if is_book_around(inst, p, p.price, inst.tick_units):
        return ACCEPTED
    reason = Reason.RANGE.value if outside else Reason.ZSCORE.value
    if p.late or inst.held_length > 0:  # older than the one that is held
        return ACCEPTED if outside and 0 < inst.day_low <= p.price <= inst.day_high else reason
    inst.held_length, inst.held_reason, inst.held_count = p.length, reason, count
    inst.held_ms, inst.held_new_level = p.receive_ms, p.new_level
    return HELD


@kernel
def is_outside_its_range(p: Record) -> bool:
    """Whether the price lies outside the packet's own day range, which lags by one packet."""
    return bool(p.day_high > 0 and p.day_low > 0 and not p.day_low <= p.price <= p.day_high)


@kernel
def _is_new_to_the_day(inst: Record, p: Record) -> bool:
    """Whether a packet with a book shows a new high or low: a misprint can drag its packet's range along."""
    has_range = _has_book(p) and inst.day_low > 0 and inst.day_high > 0
    return bool(has_range and not _was_there(inst, p.price))


@kernel
def _was_there(inst: Record, price: int) -> bool:
    """Whether the price lies in the day range as it was given, and traded, until now."""
    return bool(0 < inst.day_low <= price <= inst.day_high)


@kernel
def _is_far_from_window(inst: Record, p: Record, rules: Rules, counts: Array) -> bool:
    if not is_warm(inst, rules):
        return False
    z = zscore(inst, p.price, rules)
    if z > rules.warn:
        counts[Count.WARNED.value] += 1
    return bool(z > rules.reject)


@kernel
def _is_far_from_its_book(inst: Record, p: Record, rules: Rules) -> bool:
    """A window of an option's prices can be wider than a misprint is off, and ten ticks more than the price."""
    if not _has_book(p):
        return False
    width = max(4.0 * (p.ask - p.bid), p.ask / 20.0, least_deviation(inst, float(p.price), rules))
    return bool(not _is_between(p, p.price, width))


@kernel
def _has_book(p: Record) -> bool:
    """Without bids, as an option of a few paise often is, it reaches from 0 to the best ask."""
    return bool(p.ask > 0 and p.bid <= p.ask)


@kernel
def is_book_around(inst: Record, p: Record, price: int, width: float) -> bool:
    """Whether the book bears the price out: it is on the tick grid, between bid and ask or by `width` off."""
    return bool(_has_book(p) and price % inst.tick_units == 0 and _is_between(p, price, width))


@kernel
def _is_between(p: Record, price: int, width: float) -> bool:
    return bool(p.bid - width <= price <= p.ask + width)


@kernel
def _spread(inst: Record, p: Record) -> float:
    """At least a tick."""
    return float(max(inst.tick_units, p.ask - p.bid))


@kernel
def may_judge(held: Record, p: Record) -> bool:
    """Whether the packet knows more than the held one: it is neither late, nor older, nor a repetition of it."""
    if p.late or p.priceless or is_repetition(held, p):
        return False
    return bool(not (p.timed and held.timed and p.exchange_ms < held.exchange_ms))


@kernel
def is_repetition(held: Record, p: Record) -> bool:
    """Whether the same packet came again. Without a volume or a time (8, 28 bytes) each is a price of its own."""
    if p.length != held.length or not (p.has_volume or p.timed):
        return False
    if p.timed and (p.trade_ms != held.trade_ms or p.exchange_ms != held.exchange_ms):
        return False
    same_trade = p.price == held.price and p.quantity == held.quantity and p.cum == held.cum
    same_range = p.day_high == held.day_high and p.day_low == held.day_low
    return bool(same_trade and same_range and p.bid == held.bid and p.ask == held.ask)


@kernel
def is_confirmed(inst: Record, held: Record, p: Record) -> bool:
    """Whether the exchange's day range shows that the held price was traded, or its book does not gainsay it."""
    if _was_there(inst, held.price):
        if not _has_book(p):
            return True
    elif 0 < p.day_low <= held.price <= p.day_high:
        return True
    if _stands(held, p) or _is_on_the_way(inst, held, p):
        return True
    return bool(is_book_around(inst, p, held.price, _spread(inst, p)))


@kernel
def _stands(held: Record, p: Record) -> bool:
    """Whether the next packet still shows the trade: a misprint is gone with its packet."""
    same = p.has_volume and p.price == held.price and p.quantity == held.quantity
    return bool(same and not is_outside_its_range(p))


@kernel
def _is_on_the_way(inst: Record, held: Record, p: Record) -> bool:
    """Whether the market passed the held price on its way from the price before to the judge's book."""
    if inst.price == 0 or not (0 < p.bid <= p.ask):
        return False
    low, high = min(inst.price, p.bid), max(inst.price, p.ask)
    return bool(held.price % inst.tick_units == 0 and low <= held.price <= high)


@kernel
def persists(inst: Record, held: Record, p: Record) -> bool:
    """Whether the price is nearer to the held one than to the one before that, and no misprint itself by its book."""
    if _has_book(p) and not is_book_around(inst, p, p.price, _spread(inst, p)):
        return False
    return bool(inst.price > 0 and abs(p.price - held.price) < abs(p.price - inst.price))
