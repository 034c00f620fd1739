"""From a packet to a trade, or to none: docs/CANDLES.md sections 3 and 6."""

from __future__ import annotations

from utils.candles.buckets import take_oi, take_trade
from utils.candles.layout import (
    AWAITS_ANY,
    AWAITS_NOTHING,
    AWAITS_RICHER,
    FAR,
    Count,
    Output,
    Reason,
    Record,
    Rules,
    Shard,
)
from utils.candles.outliers import is_outlier, remember_price
from utils.candles.packets import ACCEPTED
from utils.kernel_cache import kernel
from utils.kite_frames import QUOTE_LENGTH


@kernel
def take_packet(shard: Shard, rules: Rules, out: Output, r: int, p: Record, counter: int) -> int:
    """Let a packet that passed its checks act. ACCEPTED, or the Reason it is rejected for after all."""
    inst = shard.instruments[r]
    today = p.trade_ms >= inst.day_start_ms
    live = today and p.trade_ms < inst.day_end_ms
    if p.has_volume and not today and p.length != QUOTE_LENGTH:
        p.cum = 0
    p.raise_to, p.lower_to = 0, FAR
    if inst.awaiting == AWAITS_ANY or (inst.awaiting == AWAITS_RICHER and _says_all(inst, p)):
        _take_baseline(shard, rules, r, p)
    else:
        p.late = _is_late(inst, p)
        trade = live and _has_traded(inst, p, today)
        if trade and is_outlier(inst, p, p.cum, rules, shard.counts):
            return Reason.ZSCORE.value
        _move(shard, rules, out, r, p, today, trade, counter)
    if not p.late:
        shard.latest[r] = p
        inst.touched = 1
    return ACCEPTED


@kernel
def _says_all(inst: Record, p: Record) -> bool:
    """Whether the packet carries what its instrument has: a time for an index, the volume for the others."""
    return bool(p.timed) if inst.is_index else bool(p.has_volume)


@kernel
def _is_late(inst: Record, p: Record) -> int:
    if not p.timed:
        return 0
    if p.exchange_ms < inst.exchange_ms:
        return 1
    same_second = p.has_volume and p.exchange_ms == inst.exchange_ms
    return 1 if same_second and p.cum < inst.cum and p.trade_ms <= inst.trade_ms else 0


@kernel
def _has_traded(inst: Record, p: Record, today: bool) -> bool:
    """Whether a live packet tells of a trade: the volume grew or the trade time moved; an index trades always."""
    if not p.has_volume:
        return True
    if p.late:
        return bool(p.trade_ms != inst.trade_ms or p.cum != inst.cum)
    return bool(p.cum > inst.cum or (p.timed and p.trade_ms > inst.trade_ms > 0))


@kernel
def _move(shard: Shard, rules: Rules, out: Output, r: int, p: Record, today: bool, trade: bool, counter: int) -> None:
    """The packet moves the instrument on, unless it is late, and its candles, when it is a trade."""
    inst = shard.instruments[r]
    cum_before = inst.cum
    if not p.late:
        if p.has_volume and today and p.cum < inst.cum:
            _rebase(shard, r, inst.cum - p.cum)
            cum_before = p.cum
        _advance(inst, p, today)
        if inst.day_awaiting and p.timed:
            _start_day(shard, rules, r, p)
    if not trade:
        shard.counts[Count.UNCHANGED.value] += 1
        return
    shard.counts[Count.TRADES.value] += 1
    if not p.late:
        remember_price(inst, shard.windows[r], p.price)
        _extend(inst, p)
    take_trade(shard, rules, out, r, p, cum_before, counter)


@kernel
def _advance(inst: Record, p: Record, today: bool) -> None:
    if p.timed:
        inst.exchange_ms = p.exchange_ms
        inst.trade_ms = max(inst.trade_ms, p.trade_ms)
    if p.has_volume and (today or (p.timed and inst.trade_ms < inst.day_start_ms)):
        inst.cum = p.cum


@kernel
def _extend(inst: Record, p: Record) -> None:
    """The day's high or low moved since the last packet: proof of an extreme that no snapshot showed."""
    if p.day_high > inst.day_high and inst.day_high > 0:
        p.raise_to = p.day_high
    if 0 < p.day_low < inst.day_low:
        p.lower_to = p.day_low
    if p.day_high > 0:
        inst.day_high = p.day_high
    if p.day_low > 0:
        inst.day_low = p.day_low


@kernel
def _rebase(shard: Shard, r: int, fall: int) -> None:
    """The cumulative volume fell: every number on its scale falls with it, so that no candle's volume changes."""
    shard.counts[Count.REBASED.value] += 1
    shard.instruments[r].cum -= fall
    for c in range(shard.lengths.shape[0]):
        for candle in (shard.open[r, c], shard.last[r, c]):
            candle.base -= fall
            candle.end_cum -= fall
            candle.open_cum -= fall


@kernel
def _take_baseline(shard: Shard, rules: Rules, r: int, p: Record) -> None:
    """The cached packet after a subscribe: where to count from, never a trade."""
    inst = shard.instruments[r]
    shard.counts[Count.BASELINES.value] += 1
    inst.awaiting = AWAITS_NOTHING if _says_all(inst, p) else AWAITS_RICHER
    if inst.known:
        inst.cum = max(inst.cum, p.cum)
        if p.timed:
            inst.trade_ms = max(inst.trade_ms, p.trade_ms)
            inst.exchange_ms = max(inst.exchange_ms, p.exchange_ms)
    else:
        inst.cum = p.cum
        if p.timed:
            inst.trade_ms, inst.exchange_ms = p.trade_ms, p.exchange_ms
    inst.known = 1
    if p.timed:
        _start_day(shard, rules, r, p)


@kernel
def _start_day(shard: Shard, rules: Rules, r: int, p: Record) -> None:
    """The first packet after a subscribe that says when it is from: the exchange's own account of the day so far."""
    inst = shard.instruments[r]
    inst.day_awaiting = 0
    if p.trade_ms < inst.day_start_ms:
        return
    inst.day_high = max(inst.day_high, p.day_high)
    if p.day_low > 0:
        inst.day_low = p.day_low if inst.day_low == 0 else min(inst.day_low, p.day_low)
    if p.trade_ms < inst.day_end_ms:
        for c in range(shard.lengths.shape[0]):
            if shard.lengths[c] == 0:
                _day_from_baseline(shard, rules, r, c, p)


@kernel
def _day_from_baseline(shard: Shard, rules: Rules, r: int, c: int, p: Record) -> None:
    inst, candle, last = shard.instruments[r], shard.open[r, c], shard.last[r, c]
    if last.present and last.start_ms == inst.open_ms:
        return
    if not candle.present:
        _open_day(shard, rules, r, c, p)
    elif p.trade_ms >= candle.close_trade_ms and p.cum >= candle.end_cum:
        candle.close, candle.close_trade_ms = p.price, p.trade_ms
        take_oi(candle, inst, p)
        if p.has_volume:
            candle.turnover += (p.cum - candle.end_cum) * p.price
            candle.end_cum = p.cum
    candle.high = max(candle.high, p.price, p.day_high)
    candle.low = min(candle.low, p.price, p.day_low if p.day_low > 0 else p.price)
    candle.dirty = 1


@kernel
def _open_day(shard: Shard, rules: Rules, r: int, c: int, p: Record) -> None:
    inst, candle, feed = shard.instruments[r], shard.open[r, c], shard.feed[0]
    candle.start_ms, candle.end_ms = inst.open_ms, inst.day_end_ms
    candle.open = p.day_open if p.day_open > 0 else p.price
    candle.high, candle.low, candle.close = max(p.price, candle.open), min(p.price, candle.open), p.price
    candle.open_trade_ms = 0 if p.day_open > 0 else p.trade_ms  # no late packet replaces the exchange's own open
    candle.close_trade_ms = p.trade_ms
    candle.base, candle.open_cum, candle.end_cum = 0, p.cum, p.cum
    candle.turnover = p.cum * p.average
    candle.closed_ms = candle.oi = candle.rev = candle.ticks = 0
    candle.present, candle.has_volume, candle.has_oi = 1, p.has_volume, 0
    candle.complete = 1 if feed.up and feed.up_since_ms <= inst.open_ms else 0
    candle.by_receive = 0 if p.timed else 1
    take_oi(candle, inst, p)
    shard.due[r, c] = candle.end_ms + rules.grace_ms
    feed.next_due_ms = min(feed.next_due_ms, shard.due[r, c])
