"""What a replay ended with, beside what the live day stored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import redis

from commands.closed_tally import ClosedTally
from commands.closing_figures import StoredCandles, compare_stored, read_live_candles
from utils.keys import Keys
from utils.sessions import DAY_MS, ist_midnight_ms
from utils.stores.mongo import MongoStore


@dataclass(frozen=True, slots=True)
class ReplayFigures:
    """`live` candles of the day are in the live database; `equal` of them came out of the replay the same."""

    said: Mapping[str, int]
    revisions: int
    stored: StoredCandles
    signals_said: int
    signals_stored: int
    live: int
    equal: int

    def lines(self) -> Iterator[str]:
        each = ", ".join(f"{name} {count:,}" for name, count in self.said.items()) or "none"
        yield f"candles   {sum(self.said.values()):,} ({each}), {self.revisions:,} revisions"
        yield f"stored    {self.stored.count.total():,} candles and {self.signals_stored:,} signals in MongoDB"
        yield f"signals   {self.signals_said:,}"
        if self.live:
            yield f"live      {self.equal:,} of the {self.live:,} candles stored live that day came out the same"

    def faults(self) -> Iterator[str]:
        if not self.stored.as_said:
            yield "MongoDB does not hold the candles as they were said."
        if self.signals_said != self.signals_stored:
            yield f"{self.signals_said} signals were said, {self.signals_stored} are in MongoDB."


def gather_replay_figures(
    client: redis.Redis,
    keys: Keys,
    live: MongoStore,
    own: MongoStore,
    tally: ClosedTally,
    symbols: Sequence[str],
    timeframes: Sequence[str],
    day: date,
) -> ReplayFigures:
    """Reads Redis and both databases. RedisError, StoreError."""
    tally.read_on(client, keys)
    from_ms = ist_midnight_ms(day)
    to_ms = from_ms + DAY_MS
    replayed = list(read_live_candles(own, symbols, timeframes, from_ms, to_ms))
    by_id = {one.id: one for one in replayed}
    before = list(read_live_candles(live, symbols, timeframes, from_ms, to_ms))
    return ReplayFigures(
        said=tally.candles,
        revisions=tally.revisions.total(),
        stored=compare_stored(replayed, tally),
        signals_said=int(client.xlen(keys.signals())),
        signals_stored=len(own.signals_between(from_ms, to_ms)),
        live=len(before),
        equal=sum(by_id.get(one.id) == one for one in before),
    )
