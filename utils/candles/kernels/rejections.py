"""Putting a rejected packet out, with its reason."""

from __future__ import annotations

from utils.candles.kernels.layout import Output, Shard
from utils.runtime.kernel_cache import kernel


@kernel
def reject(shard: Shard, out: Output, reason: int, token: int, at: int, length: int, ms: int, counter: int) -> None:
    """`at` is where its bytes are in the data at hand."""
    entry = out.rejections[_new_rejection(shard, out, reason, ms, counter)]
    entry.token, entry.at, entry.length = token, at, length


@kernel
def reject_held(shard: Shard, out: Output, r: int, ms: int, counter: int) -> None:
    """The held packet of a row goes, because of the entry at hand; its own bytes go with it."""
    inst = shard.instruments[r]
    for at in range(inst.held_length):
        out.held[out.filled[1], at] = shard.held[r, at]
    n = _new_rejection(shard, out, inst.held_reason, ms, counter)
    entry = out.rejections[n]
    entry.token, entry.at, entry.length = inst.token, -1, inst.held_length
    inst.held_length = 0


@kernel
def _new_rejection(shard: Shard, out: Output, reason: int, ms: int, counter: int) -> int:
    """Returns where it is in the output."""
    shard.rejected[reason] += 1
    n = out.filled[1]
    out.filled[1] = n + 1
    entry = out.rejections[n]
    entry.ms, entry.counter, entry.reason = ms, counter, reason
    return int(n)
