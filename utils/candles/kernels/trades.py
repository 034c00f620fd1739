"""From a packet to a trade, or to none: docs/CANDLES.md sections 3, 4 and 6."""

from __future__ import annotations

from utils.candles.kernels.buckets import EXCHANGES_OWN_MS, apply_oi, apply_trade
from utils.candles.kernels.checks import ACCEPTED
from utils.candles.kernels.doubts import (
    doubt,
    is_book_around,
    is_confirmed,
    is_outside_its_range,
    is_repetition,
    may_judge,
    persists,
)
from utils.candles.kernels.layout import (
    AWAITS_NOTHING,
    AWAITS_RICHER,
    AWAITS_TIMED,
    FAR,
    Count,
    Output,
    Record,
    Rules,
    Shard,
)
from utils.candles.kernels.outliers import clear_window, remember_price
from utils.candles.kernels.packets import has_all_fields, is_baseline, parse_packet
from utils.candles.kernels.rejections import reject_held
from utils.kite.frames import QUOTE_LENGTH
from utils.runtime.kernel_cache import kernel


@kernel
def apply_packet(shard: Shard, rules: Rules, out: Output, r: int, p: Record, counter: int) -> int:
    """Let a packet that passed its checks act. ACCEPTED, HELD, or the Reason it is rejected for after all."""
    inst = shard.instruments[r]
    _date(shard.feed[0], inst, p)
    baseline = is_baseline(inst, p)
    count = 1
    if inst.held_length > 0:
        held = out.judged[0]
        _read_held(shard, r, held, p.receive_ms)
        if is_repetition(held, p):
            inst.awaiting = AWAITS_NOTHING
            shard.counts[Count.UNCHANGED.value] += 1
            return ACCEPTED
        if may_judge(held, p):
            count = _settle_held(shard, rules, out, r, p, counter)
            p.late = _is_late(inst, p)
    if baseline:
        _take_baseline(shard, rules, r, p)
        _show(shard, r, p)
        return ACCEPTED
    if inst.awaiting == AWAITS_TIMED:
        inst.awaiting = AWAITS_NOTHING
    _find_trade(inst, p)
    if p.trade:
        verdict = doubt(inst, p, rules, shard.counts, count)
        if verdict != ACCEPTED:
            return int(verdict)
    _move(shard, rules, out, r, p, counter)
    return ACCEPTED


@kernel
def _read_held(shard: Shard, r: int, held: Record, receive_ms: int) -> None:
    """The held packet of a row as it came; what it closes is closed at `receive_ms`."""
    inst = shard.instruments[r]
    parse_packet(shard.held[r], 0, inst.held_length, inst.held_ms, held)
    held.receive_ms = receive_ms
    _date(shard.feed[0], inst, held)


@kernel
def _settle_held(shard: Shard, rules: Rules, out: Output, r: int, p: Record, counter: int) -> int:
    """The packet judges the held one. Returns how often the level is seen, should the judge be held too."""
    inst, held = shard.instruments[r], out.judged[0]
    near = persists(inst, held, p)
    count = inst.held_count + 1 if near else 1
    if is_confirmed(inst, held, p) or (near and count >= rules.accept_after):
        inst.held_length = 0
        held.new_level = inst.held_new_level
        _find_trade(inst, held)
        _move(shard, rules, out, r, held, counter)
        return 1
    reject_held(shard, out, r, p.receive_ms, counter)
    return int(count)


@kernel
def _date(feed: Record, inst: Record, p: Record) -> None:
    """Of which day the packet is, whether within the day's hours, and whether a newer one came before it."""
    p.today = p.trade_ms >= feed.midnight_ms
    p.live = inst.day_start_ms <= p.trade_ms < inst.day_end_ms
    if p.has_volume and not p.today and p.length != QUOTE_LENGTH:
        p.cum = 0
    p.raise_to, p.lower_to = 0, FAR
    p.late = _is_late(inst, p)


@kernel
def _is_late(inst: Record, p: Record) -> int:
    if not p.timed:
        return 0
    if p.exchange_ms < inst.exchange_ms:
        return 1
    same_second = p.has_volume and p.exchange_ms == inst.exchange_ms
    return 1 if same_second and p.cum < inst.cum and p.trade_ms <= inst.trade_ms else 0


@kernel
def _find_trade(inst: Record, p: Record) -> None:
    """Whether the packet shows a trade, and when that was: by its own time, or now where the price came first."""
    p.trade, p.dated, p.place_ms, p.outside = p.live, 1, p.trade_ms, 0
    if not p.has_volume:
        return
    if p.late:
        p.trade = p.live and (p.trade_ms != inst.trade_ms or p.cum != inst.cum)
    elif p.cum > inst.cum or (p.timed and p.trade_ms > inst.trade_ms > 0):
        p.outside = p.today and not p.live
    else:
        moved = inst.price > 0 and (p.price != inst.price or p.quantity != inst.quantity)
        is_cleared = p.quantity == 0 and inst.quantity > 0  # as the first packet of a day does
        p.trade = moved and not is_cleared and inst.open_ms <= p.exchange_ms < inst.close_ms
        p.dated, p.place_ms = 0, p.exchange_ms


@kernel
def _show(shard: Shard, r: int, p: Record) -> None:
    """The newest packet of an instrument is what readers see of it."""
    if not (p.late or p.priceless):
        shard.latest[r] = p
        shard.instruments[r].touched = 1


@kernel
def _move(shard: Shard, rules: Rules, out: Output, r: int, p: Record, counter: int) -> None:
    """The packet moves the instrument on, unless it is late, and its candles, when it is a trade."""
    inst = shard.instruments[r]
    cum_before = inst.cum
    if not p.late:
        if p.has_volume and p.today and p.cum < inst.cum:
            _rebase(shard, r, inst.cum - p.cum)
            cum_before = p.cum
        _advance(shard.feed[0], inst, p)
        if inst.day_awaiting and p.timed:
            _start_day(shard, rules, r, p)
        _show(shard, r, p)
    if not p.trade:
        shard.counts[Count.UNCHANGED.value] += 1
        return
    shard.counts[Count.TRADES.value] += 1
    if not p.dated:
        shard.counts[Count.UNDATED.value] += 1
        p.cum = cum_before = inst.cum
    if not p.late:
        if p.new_level:
            clear_window(inst)
        remember_price(inst, shard.windows[r], p.price)
        _extend(inst, p)
    apply_trade(shard, rules, out, r, p, cum_before, counter)


@kernel
def _advance(feed: Record, inst: Record, p: Record) -> None:
    if p.timed:
        inst.exchange_ms = p.exchange_ms
        inst.trade_ms = max(inst.trade_ms, p.trade_ms)
    if p.has_volume and p.today:
        inst.cum = p.cum
    _forget_volume_of_yesterday(feed, inst, p)
    inst.known = 1
    p.first = not inst.begun and p.cum > 0
    _note(inst, p)
    if p.outside:
        inst.outside += 1
        inst.outside_ms = p.trade_ms


@kernel
def _forget_volume_of_yesterday(feed: Record, inst: Record, p: Record) -> None:
    """Neither the packet nor one before it was traded today, whatever volume a quote had."""
    if p.has_volume and not p.today and inst.trade_ms < feed.midnight_ms:
        inst.cum = inst.begun = 0


@kernel
def _note(inst: Record, p: Record) -> None:
    """What the next packet is compared with, unless a newer one came before."""
    if p.cum > 0:
        inst.begun = 1
    if not (p.priceless or p.late):
        inst.price = p.price
        if p.has_volume:
            inst.quantity = p.quantity


@kernel
def _extend(inst: Record, p: Record) -> None:
    """The day's high or low moved since the last packet: proof of an extreme that no snapshot showed."""
    if p.today:  # a price that came before the day's first trade carries yesterday's range
        if p.day_high > inst.day_high > 0:
            p.raise_to = p.day_high
        if 0 < p.day_low < inst.day_low:
            p.lower_to = p.day_low
        _widen_range(inst, p)
    _widen_to_price(inst, p)


@kernel
def _widen_to_price(inst: Record, p: Record) -> None:
    if inst.day_high > 0:
        inst.day_high = max(inst.day_high, p.price)
    if inst.day_low > 0:
        inst.day_low = min(inst.day_low, p.price)


@kernel
def _widen_range(inst: Record, p: Record) -> None:
    inst.day_high = max(inst.day_high, p.day_high)
    if p.day_low > 0:
        inst.day_low = p.day_low if inst.day_low == 0 else min(inst.day_low, p.day_low)


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
    inst.awaiting = _awaited_after(inst, p)
    if inst.known:
        inst.cum = max(inst.cum, p.cum)
        if p.timed:
            inst.trade_ms = max(inst.trade_ms, p.trade_ms)
            inst.exchange_ms = max(inst.exchange_ms, p.exchange_ms)
    else:
        inst.cum = p.cum
        if p.timed:
            inst.trade_ms, inst.exchange_ms = p.trade_ms, p.exchange_ms
    _forget_volume_of_yesterday(shard.feed[0], inst, p)
    inst.known = 1
    if is_outside_its_range(p) and not is_book_around(inst, p, p.price, inst.tick_units):
        p.priceless = 1
    _note(inst, p)
    if p.timed and not p.priceless:
        _start_day(shard, rules, r, p)
        if p.today:
            _widen_to_price(inst, p)


@kernel
def _awaited_after(inst: Record, p: Record) -> int:
    """Of which fuller form the baseline was not."""
    if p.timed:
        return AWAITS_NOTHING
    return AWAITS_TIMED if has_all_fields(inst, p) else AWAITS_RICHER


@kernel
def _start_day(shard: Shard, rules: Rules, r: int, p: Record) -> None:
    """The first packet with a time after a subscribe: the exchange's own account of the day so far."""
    inst = shard.instruments[r]
    inst.day_awaiting = 0
    if p.today:
        _widen_range(inst, p)
    if p.live:
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
        apply_oi(candle, inst, p)
        if p.has_volume:
            candle.turnover += (p.cum - candle.end_cum) * p.price
            candle.end_cum = p.cum
    candle.high = max(candle.high, p.price, p.day_high)
    candle.low = min(candle.low, p.price, p.day_low if p.day_low > 0 else p.price)
    candle.has_volume = candle.has_volume or p.has_volume
    candle.dirty = 1


@kernel
def _open_day(shard: Shard, rules: Rules, r: int, c: int, p: Record) -> None:
    inst, candle, feed = shard.instruments[r], shard.open[r, c], shard.feed[0]
    candle.start_ms, candle.end_ms = inst.open_ms, inst.day_end_ms
    candle.open = p.day_open if p.day_open > 0 else p.price
    candle.high, candle.low, candle.close = max(p.price, candle.open), min(p.price, candle.open), p.price
    candle.open_trade_ms = EXCHANGES_OWN_MS if p.day_open > 0 else p.trade_ms
    candle.close_trade_ms = p.trade_ms
    candle.base, candle.open_cum, candle.end_cum = 0, p.cum, p.cum
    candle.turnover = p.cum * p.average
    candle.closed_ms = candle.oi = candle.rev = candle.ticks = 0
    candle.present, candle.has_volume, candle.has_oi = 1, p.has_volume, 0
    candle.complete = 1 if feed.up and feed.up_since_ms <= inst.open_ms else 0
    candle.by_receive = 0 if p.timed else 1
    apply_oi(candle, inst, p)
    shard.due[r, c] = candle.end_ms + rules.grace_ms
    feed.next_due_ms = min(feed.next_due_ms, shard.due[r, c])
