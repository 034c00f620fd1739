"""The closing figures of a demo: gathered from the stores, shown to a person, written for a script."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from commands.demo.plan import DemoPlan
from commands.demo.truth import TruthCount, compare_with_tape, total
from commands.shared.closed_tally import ClosedTally
from commands.shared.closing_figures import StoredCandles, compare_stored, read_live_candles, rejected_by_reason
from simulator.tape import Tape
from utils.keys import Keys
from utils.market.ist import DAY_MS
from utils.market.timeframes import Timeframe
from utils.stores.mongo import MongoStore


@dataclass(frozen=True, slots=True)
class Figures:
    """What was held at the end."""

    packets: int
    trades: int
    timeframes: tuple[str, ...]
    published: Mapping[str, int]
    revisions: Mapping[str, int]
    twice: int
    stored: StoredCandles
    truth: Mapping[str, TruthCount]
    signals_published: int
    signals_stored: int
    rejected: Mapping[str, int]

    def faults(self) -> Iterator[str]:
        """What is not stored as it was published, in sentences."""
        wrongs = (
            (self.stored.missing, "were published but are not in MongoDB"),
            (self.stored.different, "are not in MongoDB as they were last published"),
            (self.stored.unknown, "are in MongoDB but were never published"),
        )
        for count, what in wrongs:
            if count:
                each = ", ".join(f"{name} {number:,}" for name, number in sorted(count.items()))
                yield f"{count.total():,} candles {what} ({each})."
        if self.twice:
            yield f"{self.twice:,} entries of the closed streams repeat what was published before."
        if self.signals_published != self.signals_stored:
            yield f"{self.signals_published} signals were published, {self.signals_stored} are in MongoDB."
        if not self.packets:
            yield "Not one packet arrived."

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "packets": self.packets,
            "trades": self.trades,
            "candles": {name: self._timeframe(name) for name in self.timeframes},
            "said_twice": self.twice,
            "equal_truth": total(self.truth).as_dict(),
            "signals": {"stream": self.signals_published, "stored": self.signals_stored},
            "rejected": dict(self.rejected),
        }

    def _timeframe(self, name: str) -> dict[str, int]:
        held = {"stored": self.stored.count[name], "closed": self.published.get(name, 0)}
        return {**held, "revisions": self.revisions.get(name, 0), **self.truth[name].as_dict()}


def gather_figures(
    client: redis.Redis,
    keys: Keys,
    store: MongoStore,
    tally: ClosedTally,
    worker: Mapping[str, str],
    plan: DemoPlan,
    timeframes: Sequence[Timeframe],
    tape: Tape,
) -> Figures:
    """Reads everything once more. `worker` is the candle worker's last health report. RedisError, StoreError."""
    tally.read_on(client, keys)
    names = tuple(timeframe.name for timeframe in timeframes)
    symbols = [instrument.symbol for instrument in tape.universe.instruments]
    day_end_ms = tape.midnight_ms + DAY_MS
    candles = list(read_live_candles(store, symbols, names, tape.midnight_ms, day_end_ms))
    return Figures(
        packets=int(worker.get("packets", 0)),
        trades=int(worker.get("trades", 0)),
        timeframes=names,
        published=tally.candles,
        revisions=tally.revisions,
        twice=tally.twice,
        stored=compare_stored(candles, tally),
        truth=compare_with_tape(tape, timeframes, candles, plan.from_ms, plan.until_ms),
        signals_published=sum(int(client.xlen(keys.signals(shard))) for shard in tally.shards),
        signals_stored=len(store.signals_between(tape.midnight_ms, day_end_ms)),
        rejected=rejected_by_reason(worker),
    )
