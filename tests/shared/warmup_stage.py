"""A warm-up between real stores, for tests: what is held, who is asked, and the rows that come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis

from tests.shared.closed_candles import ClosedCandle, publish_closed
from tests.shared.history_broker import CALENDAR, INFY, at
from tests.shared.servers import EmbeddedServer
from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.kite.history import KiteHistory
from utils.market.entry_limit import UntilTimeOfDay
from utils.market.timeframes import Timeframe, parse_timeframe
from utils.signals.engine import SignalEngine
from utils.signals.warmup import Cut, WarmUp
from utils.stores.mongo import MongoStore
from utils.stores.signal_store import SignalStore

TIMEFRAMES = {name: parse_timeframe(name) for name in ("1m", "5m", "1d")}


@dataclass
class Stage:
    store: SignalStore
    mongo: MongoStore
    publish: Callable[[list[ClosedCandle]], None]
    progress: list[tuple[int, int, int]] = field(default_factory=list)


@pytest.fixture
def stage(client: redis.Redis, mongo: EmbeddedServer) -> Iterator[Stage]:
    keys, store = Keys(), MongoStore(mongo.url, "test")
    yield Stage(SignalStore(client, keys, 1, 1_000), store, lambda entries: publish_closed(client, keys, entries))
    store.close()


def warm(
    stage: Stage, history: KiteHistory | None, cut_text: str, names: Sequence[str], after: str = "0-0"
) -> tuple[SignalEngine, list[Any]]:
    engine = SignalEngine([], UntilTimeOfDay(1440))
    cut = Cut({0: EntryId.parse(after)}, at(cut_text))
    chosen: dict[str, Timeframe] = {name: TIMEFRAMES[name] for name in names}
    warm_up = WarmUp(stage.store, stage.mongo, history, CALENDAR, lambda *done: stage.progress.append(done))
    result = warm_up.run(engine, [INFY], chosen, [(INFY.symbol, name) for name in names], cut)
    return engine, [result.done, result.again]
