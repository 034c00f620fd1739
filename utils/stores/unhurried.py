"""Bringing documents to MongoDB a moment later, when whoever waits for the same candles has them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from utils.stores.archive import WriteDocuments
from utils.stores.mongo import Document, Refusal

WAIT_SECONDS = 0.8
IDLE_SECONDS = 2.0


class Unhurried:
    """A write that waits after a quiet time: candles close in crowds, and then signals need the cores more.

    One write after the other, as after an outage of MongoDB, goes without a pause. What the write raises is raised.
    """

    def __init__(
        self,
        write: WriteDocuments,
        sleep: Callable[[float], None] = time.sleep,
        now_seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._sleep = sleep
        self._now_seconds = now_seconds
        self._wrote_at = float("-inf")

    def __call__(self, documents: Sequence[Document]) -> list[Refusal]:
        if self._now_seconds() - self._wrote_at > IDLE_SECONDS:
            self._sleep(WAIT_SECONDS)
        try:
            return self._write(documents)
        finally:
            self._wrote_at = self._now_seconds()
