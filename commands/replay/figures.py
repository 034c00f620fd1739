"""What a replay ended with, beside what the live day stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import redis

from commands.replay.backlog import stream_backlogs
from commands.replay.stored import StoredDay
from commands.shared.closed_tally import ClosedTally
from commands.shared.closing_figures import StoredCandles, compare_stored
from utils.keys import SIGNALS_COLLECTION, Keys
from utils.market.ist import DAY_MS, ist_midnight_ms
from utils.market.timeframes import Timeframe
from utils.stores.mongo import MongoStore

_SYMBOLS_AT_ONCE = 10  # a day of nine thousand is not held in memory


@dataclass(frozen=True, slots=True)
class ReplayFigures:
    """`live` candles of the day are in the live database; `equal` of them came out of the replay the same.

    `uncounted` entries left the closed streams before they were counted; `cut_off` times the signal worker lost some.
    """

    published: Mapping[str, int]
    revisions: int
    stored: StoredCandles
    signals_published: int
    signals_stored: int
    live: int
    equal: int
    uncounted: int = 0
    cut_off: int = 0

    def lines(self) -> Iterator[str]:
        each = ", ".join(f"{name} {count:,}" for name, count in self.published.items()) or "none"
        yield f"candles   {sum(self.published.values()):,} ({each}), {self.revisions:,} revisions"
        yield f"stored    {self.stored.count.total():,} candles and {self.signals_stored:,} signals in MongoDB"
        yield f"signals   {self.signals_published:,}"
        if self.live:
            yield f"live      {self.equal:,} of the {self.live:,} candles stored live that day came out the same"

    def faults(self) -> Iterator[str]:
        if self.uncounted:
            yield f"{self.uncounted:,} closed candles were dropped from their streams before they were counted."
        if self.cut_off:
            yield "The signal worker fell behind what its streams hold: signals of the candles it lost are missing."
        if not self.stored.is_as_published:
            wrong = (self.stored.missing.total(), self.stored.different.total(), self.stored.unknown.total())
            yield (
                "MongoDB differs from the published candles: {:,} are missing, {:,} are different, "
                "{:,} were never published."
            ).format(*wrong)
        if self.signals_published != self.signals_stored:
            yield f"{self.signals_published} signals were published, {self.signals_stored} are in MongoDB."


class ReplayComparison:
    """Both databases of a replayed day: its own, and the live one. The tally has what was published."""

    def __init__(
        self,
        live: MongoStore,
        own: MongoStore,
        tally: ClosedTally,
        symbols: Sequence[str],
        timeframes: Sequence[Timeframe],
        day: date,
    ) -> None:
        """StoreError."""
        self._tally = tally
        self._symbols = sorted({*symbols, *tally.symbols})
        from_ms = ist_midnight_ms(day)
        span = (from_ms, from_ms + DAY_MS, len(self._symbols), tally.candles.total())
        self._own_store = own
        self._live, self._own = StoredDay(live, timeframes, *span), StoredDay(own, timeframes, *span)

    def figures(self, client: redis.Redis, keys: Keys, cut_off: int, check: Callable[[], None]) -> ReplayFigures:
        """Reads everything once more, some symbols at a time; `check` may raise to end it. RedisError, StoreError."""
        stored, live, equal = StoredCandles(Counter(), Counter(), Counter(), Counter()), 0, 0
        for at in range(0, len(self._symbols), _SYMBOLS_AT_ONCE):
            check()
            symbols = self._symbols[at : at + _SYMBOLS_AT_ONCE]
            replayed, before = self._own.candles(symbols), self._live.candles(symbols)
            stored = _together(stored, compare_stored(replayed, self._tally.of(symbols)))
            by_id = {candle.id: candle for candle in replayed} if before else {}
            live += len(before)
            equal += sum(by_id.get(candle.id) == candle for candle in before)
        closed = stream_backlogs(client, [*map(keys.closed, self._tally.shards)])
        signals = stream_backlogs(client, [*map(keys.signals, self._tally.shards)])
        return ReplayFigures(
            published=self._tally.candles,
            revisions=self._tally.revisions.total(),
            stored=stored,
            signals_published=sum(signal.added for signal in signals),
            signals_stored=self._own_store.count(SIGNALS_COLLECTION),
            live=live,
            equal=equal,
            uncounted=sum(closed_candle.added for closed_candle in closed) - self._tally.taken.total(),
            cut_off=cut_off,
        )


def _together(stored: StoredCandles, other: StoredCandles) -> StoredCandles:
    return StoredCandles(
        stored.count + other.count,
        stored.missing + other.missing,
        stored.different + other.different,
        stored.unknown + other.unknown,
    )
