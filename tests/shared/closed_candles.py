"""A seeded market day as the candle worker would close it: candles, their entries, and a past to warm up with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import orjson
import redis

from utils.keys import Keys
from utils.market.candle import Candle, Source, TimedBy

SEED = 20261120
OPEN_MS = 1_767_325_500_000  # 2026-01-02T09:15+05:30, a Friday
PAST_OPEN_MS = (
    OPEN_MS - 2 * 86_400_000
)  # Wednesday; Thursday 2026-01-01 is left out, as a day on which nothing traded
MINUTE_MS = 60_000
MINUTES_A_DAY = 375
GRACE_MS = 3_000
SYMBOLS = ("NSE:NIFTY 50", "NSE:INFY", "NSE:SBIN", "NSE:M&M", "MCX:GOLD26FEBFUT")


class ClosedCandle(NamedTuple):
    """A candle with the shard and the id of its entry."""

    shard: int
    entry_id: str
    candle: Candle


def minute_candles(symbol: str, days_open_ms: Sequence[int], seed: int = SEED) -> list[Candle]:
    """Waves with noise on them, so that every indicator turns now and then."""
    rng = np.random.default_rng([seed, *symbol.encode()])
    count = MINUTES_A_DAY * len(days_open_ms)
    at = np.arange(count)
    waves = 9 * np.sin(at / 190 + rng.random()) + 3 * np.sin(at / 23 + rng.random())
    close = np.round(1_500 + waves + np.cumsum(rng.normal(0, 0.25, count)), 2)
    open_ = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(open_, close) + np.round(rng.random(count), 2)
    low = np.minimum(open_, close) - np.round(rng.random(count), 2)
    volume = rng.integers(0, 4_000, count)
    return [
        Candle(
            symbol=symbol,
            timeframe="1m",
            token=256_265,
            start_ms=days_open_ms[index // MINUTES_A_DAY] + index % MINUTES_A_DAY * MINUTE_MS,
            end_ms=days_open_ms[index // MINUTES_A_DAY] + (index % MINUTES_A_DAY + 1) * MINUTE_MS,
            open=float(open_[index]),
            high=float(high[index]),
            low=float(low[index]),
            close=float(close[index]),
            volume=None if "NIFTY" in symbol else int(volume[index]),
            oi=None,
            vwap=None,
            ticks=5,
            complete=bool(rng.random() > 0.05),
            source=Source.LIVE,
            rev=0,
            timed_by=TimedBy.EXCHANGE,
        )
        for index in range(count)
    ]


def grouped(minutes: Sequence[Candle], length: int) -> list[Candle]:
    """Whole groups of minutes as one candle each."""
    return [_joined(minutes[at : at + length], f"{length}m") for at in range(0, len(minutes), length)]


def _joined(parts: Sequence[Candle], timeframe: str) -> Candle:
    volumes = [part.volume for part in parts if part.volume is not None]
    return replace(
        parts[0],
        timeframe=timeframe,
        end_ms=parts[-1].end_ms,
        high=max(part.high for part in parts),
        low=min(part.low for part in parts),
        close=parts[-1].close,
        volume=sum(volumes) if volumes else None,
        complete=all(part.complete for part in parts),
    )


def past_and_day(symbols: Sequence[str] = SYMBOLS, shards: int = 2) -> tuple[list[Candle], list[ClosedCandle]]:
    """The past (for MongoDB), and the day's entries in order with revisions among them.

    Each shard has a stretch of the symbols, as a connection has.
    """
    past: list[Candle] = []
    closed: list[tuple[int, int, Candle]] = []
    for number, symbol in enumerate(symbols):
        minutes = minute_candles(symbol, [PAST_OPEN_MS, OPEN_MS])
        for candle in [*minutes, *grouped(minutes, 5)]:
            if candle.start_ms < OPEN_MS:
                past.append(candle)
            else:
                closed.append((candle.end_ms + GRACE_MS, number * shards // len(symbols), candle))
    rng, entries = np.random.default_rng(SEED), list[ClosedCandle]()
    closed.sort(key=lambda entry: entry[0])
    for index, (at_ms, shard, candle) in enumerate(closed):
        entries.append(ClosedCandle(shard, f"{at_ms}-{(1 << 20) + 2 * index}", candle))
        if rng.random() < 0.05:
            revised = replace(candle, rev=1, close=candle.high, ticks=candle.ticks + 1)
            entries.append(ClosedCandle(shard, f"{at_ms}-{(1 << 20) + 2 * index + 1}", revised))
    return past, entries


def publish_closed(client: redis.Redis, keys: Keys, entries: Sequence[ClosedCandle]) -> None:
    """Append them to their streams."""
    pipeline = client.pipeline(transaction=False)
    for entry in entries:
        body = orjson.dumps(entry.candle.as_document())
        pipeline.xadd(keys.closed(entry.shard), {"json": body}, id=entry.entry_id)
    pipeline.execute()
