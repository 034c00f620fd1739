"""From a trade to the candle of one timeframe: docs/CANDLES.md section 5. `r` is a row, `c` a column."""

from __future__ import annotations

from utils.candles.kernels.closing import close_candle, publish
from utils.candles.kernels.layout import FAR, Count, Output, Record, Rules, Shard
from utils.runtime.kernel_cache import kernel

EXCHANGES_OWN_MS = 0  # when an open was traded that the exchange itself gave: no late packet is earlier


@kernel
def apply_trade(shard: Shard, rules: Rules, out: Output, r: int, p: Record, cum_before: int, counter: int) -> None:
    """One trade, all timeframes."""
    in_order = p.timed and p.has_volume and not p.late
    shows_day = p.dated and not p.late and (p.timed or p.has_volume)
    price, place_ms, dated, cum = p.price, p.place_ms, p.dated, p.cum  # else they are read once a candle
    oi, has_oi = p.oi, shard.instruments[r].has_oi
    highest, lowest = max(price, p.raise_to), min(price, p.lower_to)
    for c in range(shard.lengths.shape[0]):
        now = shard.open[r, c]
        if in_order and now.present and now.close_trade_ms <= place_ms < now.end_ms:
            join_in_order(now, price, place_ms if dated else now.close_trade_ms, cum, highest, lowest)
            if has_oi:
                now.oi, now.has_oi = oi, 1
        else:
            apply_to_timeframe(shard, rules, out, r, c, p, cum_before, counter)
        if shows_day and now.present and (shard.lengths[c] == 0 or _is_first_of(now, p)):
            _take_day_figures(now, p)


@kernel
def _is_first_of(candle: Record, p: Record) -> bool:
    """Whether all that was traded today until now stands in this packet, and is the candle's."""
    return bool(p.first and p.day_open > 0 and candle.start_ms <= p.place_ms < candle.end_ms)


@kernel
def _take_day_figures(candle: Record, p: Record) -> None:
    """The exchange's own day open, high and low: they know of trades that stood in no packet."""
    if p.day_open > 0:
        candle.open, candle.open_trade_ms = p.day_open, EXCHANGES_OWN_MS
    candle.high = max(candle.high, p.day_high, candle.open)
    candle.low = min(candle.low, p.day_low if p.day_low > 0 else candle.low, candle.open)


@kernel
def join_in_order(candle: Record, price: int, trade_ms: int, cum: int, highest: int, lowest: int) -> None:
    """What `join` does with nearly every trade: it has time and volume, and none that came was later.

    It reads and writes the candle's first cache line only.
    """
    candle.high, candle.low = max(candle.high, highest), min(candle.low, lowest)
    candle.close, candle.close_trade_ms = price, trade_ms
    candle.ticks += 1
    candle.has_volume = candle.dirty = 1
    more = max(cum - candle.end_cum, 0)
    candle.turnover += more * price
    candle.end_cum += more


@kernel
def apply_to_timeframe(
    shard: Shard, rules: Rules, out: Output, r: int, c: int, p: Record, cum_before: int, counter: int
) -> None:
    """One trade, one timeframe, whichever bucket it is of."""
    inst, now = shard.instruments[r], shard.open[r, c]
    if now.present and now.start_ms <= p.place_ms < now.end_ms:
        join(now, inst, p)
        return
    length = shard.lengths[c]
    if length == 0:
        start, end = inst.open_ms, inst.day_end_ms
    else:
        if p.place_ms < inst.open_ms or p.place_ms >= inst.close_ms:
            return
        start = inst.open_ms + (p.place_ms - inst.open_ms) // length * length
        end = min(start + length, inst.close_ms)
    last = shard.last[r, c]
    if (
        now.present
        and now.start_ms > start
        and _is_without_volume(now, p)
        and not (last.present and last.start_ms > start)
    ):
        _go_back(shard, rules, r, c, start, end)
    if now.present and now.start_ms < start:
        close_candle(shard, out, r, c, p.receive_ms, counter)
    if now.present and now.start_ms == start:
        join(now, inst, p)
    elif last.present and last.start_ms == start:
        amend(shard, r, c, p)
        publish(shard, out, r, c, p.receive_ms, counter)
    elif last.present and last.start_ms > start:
        shard.counts[Count.LATE_DROPPED.value] += 1
    elif now.present:
        insert(shard, r, c, p, start, end)
        publish(shard, out, r, c, p.receive_ms, counter)
    else:
        open_candle(shard, rules, r, c, p, start, end, cum_before)


@kernel
def _is_without_volume(now: Record, p: Record) -> bool:
    """Whether the open candle holds only prices that came first, and this packet dates what they were of."""
    return bool(p.dated and p.has_volume and not p.late and now.end_cum == now.base)


@kernel
def _go_back(shard: Shard, rules: Rules, r: int, c: int, start: int, end: int) -> None:
    """The open candle's prices were traded in the bucket from `start` on; it may have a closed candle already."""
    now, last, feed = shard.open[r, c], shard.last[r, c], shard.feed[0]
    if last.present and last.start_ms == start:
        last.high, last.low = max(last.high, now.high), min(last.low, now.low)
        now.present = 0
        shard.due[r, c] = FAR
        return
    now.start_ms, now.end_ms = start, end
    now.open_trade_ms = now.close_trade_ms = start
    now.complete = 1 if feed.up and feed.up_since_ms <= start else 0
    shard.due[r, c] = end + rules.grace_ms
    feed.next_due_ms = min(feed.next_due_ms, shard.due[r, c])


@kernel
def begin(candle: Record, feed: Record, p: Record, start: int, end: int) -> None:
    """Everything of a new candle that does not depend on volume."""
    candle.start_ms, candle.end_ms = start, end
    candle.open = candle.close = p.price
    candle.high, candle.low = max(p.price, p.raise_to), min(p.price, p.lower_to)
    candle.open_trade_ms = p.place_ms
    candle.close_trade_ms = p.place_ms if p.dated else start
    candle.turnover = candle.closed_ms = candle.oi = candle.rev = 0
    candle.has_volume, candle.has_oi = p.has_volume, 0
    candle.ticks = candle.present = candle.dirty = 1
    candle.complete = 1 if feed.up and feed.up_since_ms <= start else 0
    candle.by_receive = 0 if p.timed else 1


@kernel
def open_candle(shard: Shard, rules: Rules, r: int, c: int, p: Record, start: int, end: int, cum_before: int) -> None:
    candle = shard.open[r, c]
    begin(candle, shard.feed[0], p, start, end)
    candle.base = cum_before if shard.lengths[c] > 0 else 0
    candle.open_cum = candle.end_cum = max(p.cum, candle.base) if p.has_volume else candle.base
    candle.turnover = (candle.end_cum - candle.base) * p.price
    apply_oi(candle, shard.instruments[r], p)
    shard.due[r, c] = end + rules.grace_ms
    shard.feed[0].next_due_ms = min(shard.feed[0].next_due_ms, shard.due[r, c])


@kernel
def apply_oi(candle: Record, inst: Record, p: Record) -> None:
    if inst.has_oi and p.has_volume and p.timed:
        candle.oi, candle.has_oi = p.oi, 1


@kernel
def widen(candle: Record, p: Record) -> None:
    candle.high = max(candle.high, p.price, p.raise_to)
    candle.low = min(candle.low, p.price, p.lower_to)
    candle.ticks += 1
    candle.dirty = 1
    candle.has_volume = candle.has_volume or p.has_volume
    if not p.timed:
        candle.by_receive = 1


@kernel
def become_open_if_earlier(candle: Record, p: Record) -> None:
    earlier = p.trade_ms < candle.open_trade_ms
    if earlier or (p.trade_ms == candle.open_trade_ms and p.has_volume and p.cum < candle.open_cum):
        candle.open, candle.open_trade_ms, candle.open_cum = p.price, p.trade_ms, p.cum


@kernel
def book_volume(candle: Record, p: Record, cum: int) -> None:
    if p.has_volume and cum > candle.end_cum:
        candle.turnover += (cum - candle.end_cum) * p.price
        candle.end_cum = cum


@kernel
def join(candle: Record, inst: Record, p: Record) -> None:
    """A trade of the open candle's own bucket. A late one never moves the close and books no volume."""
    widen(candle, p)
    if p.late:
        become_open_if_earlier(candle, p)
        return
    candle.close = p.price
    if p.dated:
        candle.close_trade_ms = p.trade_ms
    apply_oi(candle, inst, p)
    book_volume(candle, p, p.cum)


@kernel
def raise_base(now: Record, cum: int) -> None:
    """Volume that turned out to belong to the candle before leaves the open one, at the price it was booked at."""
    cum = min(cum, now.end_cum)  # no more than it has
    if cum > now.base:
        now.turnover -= (cum - now.base) * now.open
        now.base = cum
        now.dirty = 1


@kernel
def amend(shard: Shard, r: int, c: int, p: Record) -> None:
    """A trade of the last closed candle's bucket: a revision of it."""
    now, last, inst = shard.open[r, c], shard.last[r, c], shard.instruments[r]
    widen(last, p)
    if p.late:
        become_open_if_earlier(last, p)
    later = p.trade_ms > last.close_trade_ms
    if p.trade_ms == last.close_trade_ms:
        later = p.cum > last.end_cum if p.has_volume else p.late == 0
    if later or not p.dated:
        last.close = p.price
        last.close_trade_ms = p.trade_ms if p.dated else last.close_trade_ms
        apply_oi(last, inst, p)
    book_volume(last, p, min(p.cum, now.open_cum if now.present else inst.cum))
    if now.present and p.has_volume:
        raise_base(now, last.end_cum)
    last.rev += 1
    shard.counts[Count.AMENDED.value] += 1


@kernel
def insert(shard: Shard, r: int, c: int, p: Record, start: int, end: int) -> None:
    """A late trade of a bucket that had none, between the last closed candle and the open one."""
    now, last = shard.open[r, c], shard.last[r, c]
    begin(last, shard.feed[0], p, start, end)
    last.base = now.base
    last.open_cum = last.end_cum = max(now.base, min(p.cum, now.open_cum)) if p.has_volume else now.base
    last.turnover = (last.end_cum - last.base) * p.price
    last.closed_ms = p.receive_ms
    apply_oi(last, shard.instruments[r], p)
    if p.has_volume:
        raise_base(now, last.end_cum)
