"""What came of closed candles and is not in file and hashes yet: whoever acts on a signal waits for neither."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from utils.indicators.values import LatestValues
from utils.journal.entries import EntryId
from utils.market.signal import Pair, Signal
from utils.signals.state import Taken
from utils.stores.signal_store import SignalStore


@dataclass(slots=True)
class Unwritten:
    """`sent` signals may not be published yet, and only what is published belongs into the file."""

    sent: list[Signal] = field(default_factory=list)
    said: list[Signal] = field(default_factory=list)
    latest: dict[Pair, LatestValues] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.sent) + len(self.said) + len(self.latest)

    def add(self, taken: Taken) -> None:
        self.sent += [signal for _, signal in taken.fired]
        self.latest.update({(one.symbol, one.timeframe): one for one in taken.latest})

    def note_said(self) -> None:
        """All that was sent."""
        self.said += self.sent
        self.sent = []

    def take_said(self) -> list[Signal]:
        """For the file."""
        said, self.said = self.said, []
        return said

    def take_latest(self) -> list[LatestValues]:
        """For the hashes."""
        latest, self.latest = list(self.latest.values()), {}
        return latest


class ValuesWriter:
    """A shard's latest values into their hashes, as long as no other worker's newer ones are there."""

    def __init__(self, store: SignalStore, shard: int) -> None:
        self._store = store
        self._shard = shard
        self._view: object | None = None
        self._has_all_to_write = False

    def write(
        self, latest: Sequence[LatestValues], every: Callable[[], Sequence[LatestValues]], position: EntryId
    ) -> None:
        """`latest`, true for `position`. None of them while newer ones are there; `every` row when we are as far.

        RedisError.
        """
        if not latest:
            return
        view = self._store.values_view(self._shard, position)
        is_another = self._view is not None and view is not self._view
        if view is None:
            self._has_all_to_write = True
            return
        rows = every() if self._has_all_to_write or is_another else latest
        self._view, self._has_all_to_write = view, False
        self._store.write_values(self._shard, rows, position)
