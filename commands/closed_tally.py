"""What the closed streams hold, counted as it comes: candles, revisions, and a hash of each last word."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
import redis

from utils.candle import Candle
from utils.keys import Keys

_READ_AT_ONCE = 5_000
_CLOSES_KEPT = 40


@dataclass(slots=True)
class ClosedTally:
    """Counts by timeframe. `last_word` has the hash of each candle's highest revision, by `_id`.

    `twice` counts entries that say again what was said: there should be none.
    """

    shards: list[int]
    candles: Counter[str] = field(default_factory=Counter)
    revisions: Counter[str] = field(default_factory=Counter)
    twice: int = 0
    newest_end_ms: int = 0
    last_word: dict[str, int] = field(default_factory=dict)
    closes: dict[str, deque[float]] = field(default_factory=dict)
    _revs: dict[str, int] = field(default_factory=dict)
    _positions: dict[str, str] = field(default_factory=dict)

    def read_on(self, client: redis.Redis, keys: Keys, most: int = 1_000_000_000) -> int:
        """Takes up to about `most` entries that came since the last call; returns how many."""
        taken = 0
        for shard in self.shards:
            name = keys.closed(shard)
            while taken < most:
                rows: Any = client.xrange(name, min=self._positions.get(name, "-"), count=_READ_AT_ONCE)
                self._take(row[1][b"json"] for row in rows)
                taken += len(rows)
                if rows:
                    self._positions[name] = "(" + rows[-1][0].decode()
                if len(rows) < _READ_AT_ONCE:
                    break
        return taken

    def _take(self, texts: Iterable[bytes]) -> None:
        for text in texts:
            self.add(Candle.from_document(orjson.loads(text)))

    def add(self, candle: Candle) -> None:
        """One entry of a closed stream."""
        name = candle.id
        known = self._revs.get(name)
        if known is not None and candle.rev <= known:
            self.twice += 1
            return
        if known is None:
            self.candles[candle.timeframe] += 1
            self._keep_close(candle)
        else:
            self.revisions[candle.timeframe] += 1
        self._revs[name] = candle.rev
        self.last_word[name] = hash(candle)
        self.newest_end_ms = max(self.newest_end_ms, candle.end_ms)

    def _keep_close(self, candle: Candle) -> None:
        if candle.timeframe == "1m":
            self.closes.setdefault(candle.symbol, deque(maxlen=_CLOSES_KEPT)).append(candle.close)
