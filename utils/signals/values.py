"""A shard's latest indicator values on their way to their hashes: whoever acts on a signal does not wait for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from utils.indicators.values import LatestValues
from utils.journal.entries import EntryId
from utils.market.signal import Pair
from utils.stores.signal_store import SignalStore


class PendingValues:
    """They are written as long as no other worker's newer ones are there."""

    def __init__(self, store: SignalStore, shard: int) -> None:
        self._store = store
        self._shard = shard
        self._latest: dict[Pair, LatestValues] = {}
        self._view: object | None = None
        self._has_all_to_write = False

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, latest: Sequence[LatestValues]) -> None:
        self._latest.update({(row.symbol, row.timeframe): row for row in latest})

    def write(self, every: Callable[[], Sequence[LatestValues]], position: EntryId) -> None:
        """What is pending, true for `position`. None while newer ones are there; `every` row when we are as far.

        RedisError.
        """
        latest, self._latest = list(self._latest.values()), {}
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
