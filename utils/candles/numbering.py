"""Numbers of what comes of one entry: the same whenever it is published."""

from __future__ import annotations

from typing import Any

import numpy as np

from utils.candles.closed_form import number_events
from utils.candles.kernels.layout import Array
from utils.journal.entries import ZERO_ID, EntryId


class Numbering:
    """Counts what one entry causes: each event gets the same number, however often it is published."""

    def __init__(self) -> None:
        self._event, self._events = ZERO_ID, 0
        self._rejection, self._rejections = ZERO_ID, 0

    def next_events(self, heads: Array) -> Array:
        """int64 (m,), for m EVENT_HEADs."""
        nths = np.zeros(len(heads), np.int64)
        number_events(heads, nths, *self._event, self._events)
        self._event = EntryId(int(heads["ms"][-1]), int(heads["counter"][-1]))
        self._events = int(nths[-1])
        return nths

    def next_rejection(self, source: EntryId) -> tuple[EntryId, int]:
        self._rejections = self._rejections + 1 if source == self._rejection else 0
        self._rejection = source
        return source, self._rejections

    def as_list(self) -> list[object]:
        return [str(self._event), self._events, str(self._rejection), self._rejections]

    @classmethod
    def from_list(cls, values: list[Any]) -> Numbering:
        numbering = cls()
        numbering._event, numbering._events = EntryId.parse(values[0]), int(values[1])
        numbering._rejection, numbering._rejections = EntryId.parse(values[2]), int(values[3])
        return numbering
