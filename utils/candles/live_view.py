"""The live view: which hashes changed, and what in them is not published yet. Taken in portions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from utils.candles.fields import (
    CANDLE_FIELDS,
    TICK_FIELDS,
    VWAP,
    Fields,
    describe_candle,
    describe_tick,
    exact_vwap,
    is_vwap_inexact,
)
from utils.candles.kernels.layout import CANDLE, Array, Shard
from utils.candles.texts import ABSENT, DUE, KEPT, write_texts
from utils.runtime.kernel_cache import kernel

WHOLE_EVERY = 64  # rounds after which a hash that changes is published in full again, whatever became of it


class Found(NamedTuple):
    """Where `find_changed` puts what it finds: places of m candles or ticks, and their fields."""

    places: Array  # int64, (m,): row * timeframes + column of a candle, row of a tick
    values: Array  # int64, (m, f)
    reals: Array  # the same memory as float64
    there: Array  # int64, (m,): which fields have a value, a bit each

    @classmethod
    def empty(cls, most: int, fields: Fields) -> Found:
        values = np.zeros((most, len(fields.names)), np.int64)
        return cls(np.zeros(most, np.int64), values, values.view(np.float64), np.zeros(most, np.int64))


class Published(NamedTuple):
    """What was published of every place; nothing where `there` is 0."""

    values: Array  # int64, (places, f)
    there: Array  # int64, (places,)
    whole_at: Array  # int64, (places,): the round in which it was last published in full

    @classmethod
    def nothing(cls, places: int, fields: Fields) -> Published:
        return cls(
            np.zeros((places, len(fields.names)), np.int64), np.zeros(places, np.int64), np.zeros(places, np.int64)
        )


class Hashes(NamedTuple):
    """Hashes to write: their slots, which are published in full, and their fields' texts (utils.candles.texts)."""

    fields: Fields
    places: list[int]
    whole: Array  # uint8, (m,)
    texts: Array
    lengths: Array


@kernel
def find_changed(
    shard: Shard, divisors: Array, first: int, candles: Found, ticks: Found, large: Array, filled: Array
) -> int:
    """Candles and ticks that changed, from row `first` on; returns the row to continue with. Marks them as unchanged.

    An instrument's open candle is shown, without one the last closed. filled: how many candles, ticks, and candles
    in `large` (CANDLE records, with the index in `rev`), whose vwap is still to be found exactly.
    """
    filled[:] = 0
    timeframes = shard.lengths.shape[0]
    for r in range(first, shard.due.shape[0]):
        if filled[0] + timeframes > candles.places.shape[0] or filled[1] >= ticks.places.shape[0]:
            return r
        if shard.instruments[r].touched:
            n = filled[1]
            filled[1] += 1
            shard.instruments[r].touched = 0
            ticks.places[n] = r
            ticks.there[n] = describe_tick(shard.latest[r], divisors[r], ticks.values[n], ticks.reals[n])
        for c in range(timeframes):
            now, last = shard.open[r, c], shard.last[r, c]
            changed = now.dirty if now.present else last.dirty & last.present
            if changed:
                shown = now if now.present else last
                n = filled[0]
                filled[0] += 1
                candles.places[n] = r * timeframes + c
                closed = 1 - now.present
                candles.there[n] = describe_candle(shown, closed, divisors[r], candles.values[n], candles.reals[n])
                if is_vwap_inexact(shown):
                    large[filled[2]] = shown
                    large[filled[2]].rev = n
                    filled[2] += 1
            now.dirty = last.dirty = 0
    return int(shard.due.shape[0])


@kernel
def mark_changes(found: Found, published: Published, lengths: Array, whole: Array, absent: int, sweep: int) -> None:
    """Which fields are DUE, which are gone (`absent`), which KEPT as they were published. Notes all as published."""
    for i in range(lengths.shape[0]):
        place = found.places[i]
        there, before = found.there[i], published.there[place]
        whole[i] = 1 if before == 0 or sweep - published.whole_at[place] >= WHOLE_EVERY else 0
        if whole[i]:
            # Those that were first published together come round one after the other.
            published.whole_at[place] = sweep if before else sweep - place % WHOLE_EVERY
        for f in range(lengths.shape[1]):
            is_there, was_there = there >> f & 1, before >> f & 1
            if is_there:
                same = was_there and not whole[i] and published.values[place, f] == found.values[i, f]
                lengths[i, f] = KEPT if same else DUE
                published.values[place, f] = found.values[i, f]
            else:
                lengths[i, f] = absent if was_there or whole[i] else KEPT
        published.there[place] = there


class LiveView:
    """Goes round the rows of a shard, a portion at a time, and knows what it published of them."""

    def __init__(self, timeframes: int, most: int) -> None:
        most = max(most, timeframes)
        self._timeframes = timeframes
        self._candles, self._ticks = Found.empty(most, CANDLE_FIELDS), Found.empty(most, TICK_FIELDS)
        self._large = np.zeros(most, CANDLE)
        self._filled = np.zeros(3, np.int64)
        self._row, self._sweep = 0, 0
        self.forget(0)

    def forget(self, rows: int) -> None:
        """Nothing is published yet of `rows` instruments."""
        self._published_candles = Published.nothing(rows * self._timeframes, CANDLE_FIELDS)
        self._published_ticks = Published.nothing(rows, TICK_FIELDS)

    @property
    def is_round_done(self) -> bool:
        """Whether the next portion begins with the first row again."""
        return self._row == 0

    def next_portion(self, shard: Shard, divisors: Array) -> tuple[Hashes, Hashes]:
        """The next candles and ticks that changed, in a fraction of their number of microseconds."""
        if len(self._published_ticks.there) != len(divisors):
            self.forget(len(divisors))
        row = find_changed(shard, divisors, self._row, self._candles, self._ticks, self._large, self._filled)
        candles, ticks, large = self._filled.tolist()
        self._make_exact(large, divisors)
        portion = (
            self._changes(self._candles, candles, self._published_candles, CANDLE_FIELDS, ABSENT),
            self._changes(self._ticks, ticks, self._published_ticks, TICK_FIELDS, KEPT),
        )
        self._row = 0 if row == len(divisors) else row
        self._sweep += self._row == 0
        return portion

    def _make_exact(self, large: int, divisors: Array) -> None:
        for record in self._large[:large]:
            n = int(record["rev"])
            divisor = int(divisors[self._candles.places[n] // self._timeframes])
            self._candles.reals[n, VWAP] = exact_vwap(record, divisor)

    def _changes(self, found: Found, count: int, published: Published, fields: Fields, absent: int) -> Hashes:
        found = Found(*(column[:count] for column in found))
        lengths, whole = np.empty(found.values.shape, np.int8), np.empty(count, np.uint8)
        mark_changes(found, published, lengths, whole, absent, self._sweep)
        texts = write_texts(fields.kinds, found.values, lengths, "repr")
        return Hashes(fields, found.places.tolist(), whole, texts, lengths)
