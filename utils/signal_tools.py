"""What the shards of a signal worker work with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from utils.instruments import Instrument
from utils.kite_history import KiteHistory
from utils.sessions import SessionCalendar
from utils.settings import Settings
from utils.signal_file import SignalFile
from utils.signal_progress import MakeEngine
from utils.stores.mongo import MongoStore
from utils.stores.signal_store import SignalStore
from utils.warmup_thread import WarmupTurn


@dataclass(frozen=True, slots=True)
class SignalTools:
    """What all shards of a worker have in common. `symbols_of` names each shard's instruments."""

    settings: Settings
    symbols_of: Mapping[int, Collection[str]]
    make_engine: MakeEngine
    calendar: SessionCalendar
    instruments: dict[str, Instrument]  # by symbol, those known so far
    store: SignalStore
    mongo: MongoStore
    file: SignalFile
    history: Callable[[], KiteHistory | None]
    turn: WarmupTurn = field(default_factory=WarmupTurn)
    counts: Counter[str] = field(default_factory=Counter)

    def look_up(self) -> Mapping[str, Instrument]:
        """The instruments, as the connector made them known. RedisError."""
        self.instruments.update(self.store.instruments())
        return self.instruments
