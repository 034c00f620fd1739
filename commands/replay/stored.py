"""What a database holds of one day, asked for in the way that reads least."""

from __future__ import annotations

from collections.abc import Sequence

from utils.keys import CANDLES_COLLECTION
from utils.market.candle import Candle, Source
from utils.market.ist import DAY_MS
from utils.market.timeframes import Timeframe
from utils.stores.mongo import MongoStore

_DOCUMENTS_A_QUESTION = 25  # are read in the time that one more question costs
_READ_AT_ONCE = 5_000


class StoredDay:
    """The candles made from the live feed that start in [from_ms, to_ms), a day at most; some symbols at a time."""

    def __init__(
        self,
        store: MongoStore,
        timeframes: Sequence[Timeframe],
        from_ms: int,
        to_ms: int,
        symbol_count: int,
        expected: int,
    ) -> None:
        """`expected` candles are there of that day, about, of so many symbols. StoreError."""
        self._store = store
        self._names = [timeframe.name for timeframe in timeframes]
        self._from_ms, self._to_ms = from_ms, to_ms
        self._held = store.count(CANDLES_COLLECTION)
        questions = symbol_count * len(timeframes)
        # Neighbours in one answer, when there is little else between them: other days are read in vain.
        self._asks_for_many = self._held - expected <= _DOCUMENTS_A_QUESTION * questions
        bars = max(DAY_MS // (timeframe.length_ms or DAY_MS) for timeframe in timeframes)
        self._at_once = max(_READ_AT_ONCE, bars)

    def candles(self, symbols: Sequence[str]) -> list[Candle]:
        """By symbol and timeframe, oldest first. StoreError."""
        if not self._held:
            return []
        series = [(symbol, name) for symbol in symbols for name in self._names]
        if self._asks_for_many:
            found = list(self._store.newest_of_each(series, self._to_ms, self._at_once).values())
        else:
            found = [self._store.candles_between(*pair, self._from_ms, self._to_ms) for pair in series]
        return [
            candle
            for each in found
            for candle in each
            if candle.start_ms >= self._from_ms and candle.source is Source.LIVE
        ]
