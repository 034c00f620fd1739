"""How a candle closes: by a later trade (`close_candle`, called by buckets.py), by the clock (`close_due`), at a new
day (`begin_day`).

docs/CANDLES.md sections 1, 5 and 6. `r` is a row, `c` a column.
"""

from __future__ import annotations

from utils.candles.kernels.layout import FAR, Output, Rules, Shard
from utils.candles.kernels.outliers import clear_window
from utils.candles.kernels.rejections import reject_held
from utils.runtime.kernel_cache import kernel


@kernel
def publish(shard: Shard, out: Output, r: int, c: int, receive_ms: int, counter: int) -> None:
    """Put the last closed candle out, as it is now."""
    n = out.filled[0]
    out.filled[0] = n + 1
    out.candles[n] = shard.last[r, c]
    head = out.heads[n]
    head.ms, head.counter, head.row, head.column = receive_ms, counter, r, c
    head.previous_close = shard.latest[r].previous_close


@kernel
def close_candle(shard: Shard, out: Output, r: int, c: int, receive_ms: int, counter: int) -> None:
    """The open candle becomes the last closed one, and is published."""
    now = shard.open[r, c]
    now.closed_ms = receive_ms
    now.dirty = 1
    shard.last[r, c] = now
    now.present = 0
    shard.due[r, c] = FAR
    publish(shard, out, r, c, receive_ms, counter)


@kernel
def close_due(shard: Shard, out: Output, receive_ms: int, counter: int) -> None:
    """Close by the clock what is due, instruments in the order first named, timeframes in the order listed."""
    feed = shard.feed[0]
    if receive_ms < feed.next_due_ms:
        return
    next_due = FAR
    for r in range(shard.due.shape[0]):
        for c in range(shard.due.shape[1]):
            if shard.due[r, c] <= receive_ms:
                close_candle(shard, out, r, c, receive_ms, counter)
            next_due = min(next_due, shard.due[r, c])
    feed.next_due_ms = next_due


@kernel
def begin_day(shard: Shard, out: Output, midnight_ms: int, ms: int, counter: int) -> None:
    """A new date: what is open closes, and everything that counts within a day starts again."""
    shard.feed[0].midnight_ms = midnight_ms
    for r in range(shard.due.shape[0]):
        for c in range(shard.due.shape[1]):
            if shard.open[r, c].present:
                close_candle(shard, out, r, c, ms, counter)
        inst = shard.instruments[r]
        if inst.held_length > 0:
            reject_held(shard, out, r, ms, counter)
        inst.cum = inst.day_high = inst.day_low = inst.known = inst.begun = inst.price = 0
        inst.outside = inst.outside_ms = 0
        clear_window(inst)
    shard.feed[0].next_due_ms = FAR


@kernel
def begin_outage(shard: Shard, rules: Rules, out: Output, ms: int, counter: int) -> None:
    """The feed was lost as of its last frame: docs/CANDLES.md section 1."""
    feed = shard.feed[0]
    feed.up = 0
    lost_ms = feed.last_frame_ms
    for r in range(shard.due.shape[0]):
        for c in range(shard.due.shape[1]):
            shard.open[r, c].complete = 0
            shard.open[r, c].dirty = 1
            last = shard.last[r, c]
            touched = last.closed_ms > lost_ms and last.end_ms + rules.grace_ms > lost_ms
            if last.present and last.complete and touched:
                last.complete = 0
                last.rev += 1
                last.dirty = 1
                publish(shard, out, r, c, ms, counter)
