"""Asking memory for a row before its turn: with thousands of instruments most of a tick's time is waiting for it.

Nothing here has an effect on any value.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import cgutils, types
from numba.extending import intrinsic

from utils.candles.kernels.layout import LINE_BYTES, Array, Shard
from utils.runtime.kernel_cache import kernel

AHEAD = 3  # packets between asking for a row and needing it
CACHED_CANDLES = 4_096  # of so many the state stays in the processor's caches anyway


def _fetch_plain(array: Array, at: int) -> None:
    """What a fuzzer that runs the kernels as plain Python sees: no effect, which is what `_fetch` has, too."""


@intrinsic
def _fetch_compiled(typing_context: Any, array: Any, at: Any) -> Any:
    """Start to load the cache line with byte `at` of an array, to be written soon."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        found = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte = ir.IntType(8).as_pointer()
        address = builder.gep(builder.bitcast(found.data, byte), [arguments[1]])
        whole = ir.IntType(32)
        signature_of_it = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        prefetch = cgutils.get_or_insert_function(builder.module, signature_of_it, "llvm.prefetch.p0")
        for_write, in_all_caches, data = (ir.Constant(whole, value) for value in (1, 3, 1))
        builder.call(prefetch, [address, for_write, in_all_caches, data])
        return context.get_dummy_value()

    return types.void(array, at), generate


_fetch = _fetch_plain if numba.config.DISABLE_JIT else _fetch_compiled


@kernel
def _fetch_bytes(array: Array, begin: int, length: int) -> None:
    for at in range(begin, begin + length, LINE_BYTES):
        _fetch(array, at)


@kernel
def fetch_row(shard: Shard, r: int) -> None:
    """What a packet of this row will touch when it joins the open candles; nothing for row -1."""
    if r >= 0:
        _fetch_bytes(shard.instruments, r * shard.instruments.itemsize, shard.instruments.itemsize)
        fetch_open(shard, r)
        _fetch_bytes(shard.latest, r * shard.latest.itemsize, shard.latest.itemsize)


@kernel
def fetch_open(shard: Shard, r: int) -> None:
    """The first line of each open candle of this row: all that a trade in order touches."""
    first = r * shard.open.shape[1]
    for n in range(first, first + shard.open.shape[1]):
        _fetch(shard.open, n * shard.open.itemsize)


@kernel
def fetch_rest(shard: Shard, r: int, now_ms: int) -> None:
    """The rest of what a packet of this row touches if it comes now: `fetch_row` has to be some packets past.

    That is the place in the window of prices that the next one takes, and what the end of a bucket needs.
    """
    if r < 0:
        return
    window_at = r * shard.windows.shape[1] + shard.instruments[r].window_at
    _fetch(shard.windows, window_at * shard.windows.itemsize)
    fetch_ended(shard, r, now_ms)


@kernel
def fetch_ended(shard: Shard, r: int, now_ms: int) -> None:
    """The rest of this row's candles whose buckets are over, the closed ones before them, and when they are due."""
    for c in range(shard.open.shape[1]):
        if shard.open[r, c].end_ms <= now_ms:
            n = r * shard.open.shape[1] + c
            _fetch(shard.open, n * shard.open.itemsize + LINE_BYTES)
            _fetch_bytes(shard.last, n * shard.last.itemsize, shard.last.itemsize)
            _fetch(shard.due, n * shard.due.itemsize)
