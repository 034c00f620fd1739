"""What a run ended with: what Redis and MongoDB hold of it, and whether the two agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from commands.shared.closed_tally import ClosedTally
from utils.keys import CANDLES_COLLECTION
from utils.market.candle import Candle, Source
from utils.stores.mongo import MongoStore


@dataclass(frozen=True, slots=True)
class StoredCandles:
    """MongoDB's live candles of a run against the last word of the closed streams, by timeframe."""

    count: Counter[str]
    missing: Counter[str]
    different: Counter[str]
    unknown: Counter[str]

    @property
    def is_as_published(self) -> bool:
        """Every published candle is stored as last published, and no other is."""
        return not (self.missing or self.different or self.unknown)


def compare_stored(candles: Sequence[Candle], tally: ClosedTally) -> StoredCandles:
    """The stored live candles, each compared with its last publication."""
    count: Counter[str] = Counter()
    different: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    unseen = dict(tally.last_word)
    for candle in candles:
        count[candle.timeframe] += 1
        published = unseen.pop(candle.id, None)
        if published is None:
            unknown[candle.timeframe] += 1
        elif published != hash(candle):
            different[candle.timeframe] += 1
    return StoredCandles(count, Counter(name.split("|")[1] for name in unseen), different, unknown)


def read_live_candles(
    store: MongoStore, symbols: Sequence[str], timeframes: Sequence[str], from_ms: int, to_ms: int
) -> Iterator[Candle]:
    """The stored candles made from the live feed that start in [from_ms, to_ms). StoreError."""
    if not store.count(CANDLES_COLLECTION):
        return  # a question for each series would take a minute with a thousand of them
    for symbol in symbols:
        for timeframe in timeframes:
            for candle in store.candles_between(symbol, timeframe, from_ms, to_ms):
                if candle.source is Source.LIVE:
                    yield candle


def rejected_by_reason(health: Mapping[str, str]) -> dict[str, int]:
    """The candle worker's counts, from its health fields `rejected_<reason>`."""
    head = "rejected_"
    counts = {name.removeprefix(head): int(value) for name, value in health.items() if name.startswith(head)}
    return {reason: count for reason, count in sorted(counts.items()) if count}
