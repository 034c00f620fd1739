"""What the shards of a signal worker share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from utils.kite.history import KiteHistory
from utils.market.instruments import Instrument
from utils.market.sessions import SessionCalendar
from utils.runtime.settings import Settings
from utils.signals.state import MakeEngine
from utils.signals.warmup_thread import WarmupTurn
from utils.stores.mongo import MongoStore
from utils.stores.signal_store import SignalStore


@dataclass(frozen=True, slots=True)
class SignalContext:
    """Settings, stores and what is known of the instruments. `symbols_of` names each shard's instruments."""

    settings: Settings
    symbols_of: Mapping[int, Collection[str]]
    make_engine: MakeEngine
    calendar: SessionCalendar
    instruments: dict[str, Instrument]  # by symbol, those known so far that did not expire
    store: SignalStore
    mongo: MongoStore
    history: Callable[[], KiteHistory | None]
    turn: WarmupTurn = field(default_factory=WarmupTurn)
    counts: Counter[str] = field(default_factory=Counter)

    def look_up(self) -> Mapping[str, Instrument]:
        """The instruments that are watched now, as the connector made them known. RedisError."""
        watched = self.store.instruments()
        self.instruments.update(watched)
        return watched

    def forget(self, symbols: Iterable[str]) -> None:
        """Instruments that come no more."""
        for symbol in symbols:
            self.instruments.pop(symbol, None)
