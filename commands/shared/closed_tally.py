"""What the closed streams hold, counted as it comes: candles, revisions, and a hash of each last word."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis

from utils.keys import Keys, candle_id
from utils.market.candle import Candle

_READ_AT_ONCE = 5_000
_CLOSES_KEPT = 40


@dataclass(slots=True)
class _Series:
    """Of one symbol and timeframe: starts (epoch ms, rising), and at the same places the hashes of the last words.

    A day of 9 000 instruments closes more than five million candles: 16 bytes each, not a dict's 250.
    """

    starts: array[int] = field(default_factory=lambda: array("q"))
    hashes: array[int] = field(default_factory=lambda: array("q"))
    revs: dict[int, int] = field(default_factory=dict)  # by start, where it is not 0


@dataclass(slots=True)
class ClosedTally:
    """Counts by timeframe, and by shard (`taken`: entries of its stream that were read).

    `twice` counts entries that repeat an earlier publication: 0 expected.
    """

    shards: list[int]
    candles: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    taken: Counter[int] = field(default_factory=Counter)
    twice: int = 0
    closes: dict[str, deque[float]] = field(default_factory=dict)
    _series: dict[str, dict[str, _Series]] = field(default_factory=dict)  # by symbol, then by timeframe
    _positions: dict[str, str] = field(default_factory=dict)

    @property
    def symbols(self) -> list[str]:
        """Those with a published candle."""
        return list(self._series)

    @property
    def last_word(self) -> dict[str, int]:
        """The hash of each candle's highest revision, by `_id`; made anew at each call."""
        return {
            candle_id(symbol, timeframe, start_ms): published
            for symbol, by_timeframe in self._series.items()
            for timeframe, values in by_timeframe.items()
            for start_ms, published in zip(values.starts, values.hashes, strict=True)
        }

    def of(self, symbols: Iterable[str]) -> ClosedTally:
        """What was published for these symbols, for `last_word`; it has no counts."""
        return ClosedTally(
            self.shards, _series={symbol: self._series[symbol] for symbol in symbols if symbol in self._series}
        )

    def read_on(self, client: redis.Redis, keys: Keys, most: int = 1_000_000_000) -> int:
        """Takes up to about `most` entries of each shard that came since the last; returns how many. RedisError."""
        before = self.taken.total()
        for shard in self.shards:
            limit = self.taken[shard] + most
            while self.taken[shard] < limit and self._read(client, keys.closed(shard), shard) == _READ_AT_ONCE:
                pass
        return self.taken.total() - before

    def _read(self, client: redis.Redis, stream: str, shard: int) -> int:
        rows: Any = client.xrange(stream, min=self._positions.get(stream, "-"), count=_READ_AT_ONCE)
        for row in rows:
            self.add(Candle.from_document(orjson.loads(row[1][b"json"])))
        if rows:
            self._positions[stream] = "(" + rows[-1][0].decode()
        self.taken[shard] += len(rows)
        return len(rows)

    def add(self, candle: Candle) -> None:
        """One entry of a closed stream."""
        series = self._series.setdefault(candle.symbol, {}).setdefault(candle.timeframe, _Series())
        start_ms = candle.start_ms
        at = bisect_left(series.starts, start_ms)
        if at == len(series.starts) or series.starts[at] != start_ms:
            series.starts.insert(at, start_ms)
            series.hashes.insert(at, hash(candle))
            self.candles[candle.timeframe] += 1
            self._keep_close(candle)
        elif candle.rev > series.revs.get(start_ms, 0):
            series.hashes[at] = hash(candle)
            self.revisions[candle.timeframe] += 1
        else:
            self.twice += 1
            return
        if candle.rev:
            series.revs[start_ms] = candle.rev

    def _keep_close(self, candle: Candle) -> None:
        if candle.timeframe == "1m":
            self.closes.setdefault(candle.symbol, deque(maxlen=_CLOSES_KEPT)).append(candle.close)
