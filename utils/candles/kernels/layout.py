"""The state arrays: one row an instrument, one column a timeframe. What they hold is named here, and only here."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from utils.kite.frames import FULL_LENGTH

LAYOUT_VERSION = 3
LINE_BYTES = 64  # a cache line: the memory comes by lines
FAR = np.int64(2**62)  # a time that never comes
DELAYS = 256  # of so many latest packets the delay is kept: a power of 2

# `awaiting` of an instrument: after a cached packet with few fields, the first with all fields is cached too; after
# one with all but its time, the very next, should it have none yet.
AWAITS_NOTHING, AWAITS_ANY, AWAITS_RICHER, AWAITS_TIMED = 0, 1, 2, 3


class Reason(IntEnum):
    """Why a packet was rejected (docs/CANDLES.md section 3)."""

    FRAME = 0
    LENGTH = 1
    TOKEN = 2
    PRICE = 3
    RANGE = 4
    CROSSED = 5
    TIME = 6
    ZSCORE = 7
    MARK = 8


class Count(IntEnum):
    """What is counted besides the rejections, in `Shard.counts`."""

    PACKETS = 0
    TRADES = 1
    BASELINES = 2
    UNCHANGED = 3
    LATE_DROPPED = 4
    AMENDED = 5
    REBASED = 6
    WARNED = 7
    UNDATED = 8


# Three cache lines.
INSTRUMENT = np.dtype(
    [
        ("token", "i8"),
        ("tick_units", "i8"),
        ("is_index", "u1"),
        ("has_oi", "u1"),
        ("awaiting", "u1"),
        ("day_awaiting", "u1"),
        ("known", "u1"),
        ("begun", "u1"),
        ("touched", "u1"),
        ("held_length", "u1"),
        ("held_reason", "u1"),
        ("held_new_level", "u1"),
        ("open_ms", "i8"),
        ("close_ms", "i8"),
        ("day_start_ms", "i8"),
        ("day_end_ms", "i8"),
        ("cum", "i8"),
        ("trade_ms", "i8"),
        ("exchange_ms", "i8"),
        ("price", "i8"),
        ("quantity", "i8"),
        ("day_high", "i8"),
        ("day_low", "i8"),
        ("window_count", "i8"),
        ("window_at", "i8"),
        ("window_ref", "i8"),
        ("window_sum", "f8"),
        ("window_squares", "f8"),
        ("held_count", "i8"),
        ("held_ms", "i8"),
        ("outside", "i8"),
        ("outside_ms", "i8"),
    ],
    align=True,
)

# Two cache lines (the arrays of a shard begin at one): a trade in order of the open bucket touches the first only.
CANDLE = np.dtype(
    [
        ("end_ms", "i8"),
        ("close_trade_ms", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("end_cum", "i8"),
        ("turnover", "i8"),
        ("ticks", "i4"),
        ("present", "u1"),
        ("has_volume", "u1"),
        ("by_receive", "u1"),
        ("dirty", "u1"),
        ("start_ms", "i8"),
        ("open", "i8"),
        ("base", "i8"),
        ("open_cum", "i8"),
        ("open_trade_ms", "i8"),
        ("closed_ms", "i8"),
        ("oi", "i8"),
        ("rev", "i4"),
        ("complete", "u1"),
        ("has_oi", "u1"),
    ],
    align=True,
)

PACKET = np.dtype(
    [
        ("length", "i8"),
        ("token", "i8"),
        ("price", "i8"),
        ("quantity", "i8"),
        ("average", "i8"),
        ("cum", "i8"),
        ("day_open", "i8"),
        ("day_high", "i8"),
        ("day_low", "i8"),
        ("previous_close", "i8"),
        ("trade_ms", "i8"),
        ("exchange_ms", "i8"),
        ("receive_ms", "i8"),
        ("oi", "i8"),
        ("bid", "i8"),
        ("ask", "i8"),
        ("place_ms", "i8"),
        ("raise_to", "i8"),
        ("lower_to", "i8"),
        ("has_volume", "u1"),
        ("timed", "u1"),
        ("late", "u1"),
        ("today", "u1"),
        ("live", "u1"),
        ("trade", "u1"),
        ("dated", "u1"),
        ("outside", "u1"),
        ("priceless", "u1"),
        ("new_level", "u1"),
        ("first", "u1"),
    ],
    align=True,
)

FEED = np.dtype(
    [
        ("up", "u1"),
        ("up_since_ms", "i8"),
        ("last_frame_ms", "i8"),
        ("next_due_ms", "i8"),
        ("midnight_ms", "i8"),
        ("delays", "i8"),
    ],
    align=True,
)

EVENT_HEAD = np.dtype(
    [("ms", "i8"), ("counter", "i8"), ("row", "i4"), ("column", "i4"), ("previous_close", "i8")], align=True
)
REJECTION = np.dtype(
    [("ms", "i8"), ("counter", "i8"), ("reason", "i4"), ("token", "i8"), ("at", "i8"), ("length", "i8")], align=True
)

Array = NDArray[Any]
Record = Any  # one record of a structured array: numba gives its fields as attributes


class Shard(NamedTuple):
    """All that the candles of a shard depend on. Shapes: n instruments, k timeframes, w prices of z-score window."""

    instruments: Array  # INSTRUMENT, (n,)
    windows: Array  # int64, (n, w): the latest prices, a ring
    latest: Array  # PACKET, (n,): the last accepted packet, for readers
    held: Array  # uint8, (n, FULL_LENGTH): the packet that the next one is to judge
    open: Array  # CANDLE, (n, k)
    last: Record  # CANDLE, (n, k): the last closed candle
    due: Array  # int64, (n, k): when the clock closes the open candle, FAR without one
    lengths: Array  # int64, (k,): timeframe lengths in ms, 0 for 1d
    token_keys: Array  # int64, open addressing, -1 where free
    token_rows: Array  # int64
    feed: Record  # FEED, (1,)
    counts: Array  # int64, one of each Count
    rejected: Array  # int64, one of each Reason
    delays: Array  # int64, (DELAYS,): receipt minus exchange time in ms, a ring; feed.delays were there in all


class Rules(NamedTuple):
    """The settings that candles depend on."""

    grace_ms: int
    skew_ms: int
    min_ticks: int
    warn: float
    reject: float
    floor_ticks: int
    floor_bps: float
    accept_after: int


class Output(NamedTuple):
    """Where a kernel writes its output. `filled` holds how many events and rejections there are."""

    heads: Array  # EVENT_HEAD
    candles: Array  # CANDLE
    rejections: Array  # REJECTION
    held: Array  # uint8, (m, FULL_LENGTH): the bytes of a rejected packet that had been held (its `at` is -1)
    judged: Record  # PACKET, (1,): where a held packet is read to be judged; nothing of it lasts
    filled: Array  # int64, (2,)


def new_output(events: int, rejections: int) -> Output:
    """Empty buffers of that many places."""
    return Output(
        np.zeros(events, EVENT_HEAD),
        np.zeros(events, CANDLE),
        np.zeros(rejections, REJECTION),
        np.zeros((rejections, FULL_LENGTH), np.uint8),
        np.zeros(1, PACKET),
        np.zeros(2, np.int64),
    )
