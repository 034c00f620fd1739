"""What the packets of a shard show of the feed, for the health report: accepted, on time, and from whom.

Frames that come may hold wrong numbers: this shows whether they can be right. Looked at once a second, from the
state arrays, after the entries were processed; nothing here has an effect on a candle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection

import numpy as np

from utils.candles.class_watch import ClassWatch
from utils.candles.encoding import Rows
from utils.candles.kernels.layout import DELAYS, Array, Count, Reason, Shard
from utils.market.class_facts import as_text
from utils.market.sessions import SessionCalendar

FEWEST_LOOKS, MOST_LOOKS = 60, 300  # of the window in which shares are measured: a minute, if enough came in it
FEWEST_PACKETS = 200
FEWEST_DELAYS = 20
FULL_AFTER_MS = 60_000  # a subscription begins in quote mode and is full a moment later
FULL_AFTER_REAL_MS = 5_000  # and no sooner than so much real time

Fields = dict[str, str | int]


class FeedContent:
    """One shard's; a new one whenever the shard is taken over or its state is loaded again."""

    def __init__(
        self, shard: int, symbols: Collection[str], speed: float, is_full: bool, calendar: SessionCalendar
    ) -> None:
        """`symbols`: those asked for, in full mode or not; rows of others are of an earlier subscription."""
        self._shard = shard
        self._is_full = is_full
        self._full_after_ms = max(FULL_AFTER_MS, FULL_AFTER_REAL_MS * speed)
        self._window: deque[Array] = deque(maxlen=MOST_LOOKS)
        self._classes = ClassWatch(calendar, symbols, speed)
        self._up_since_ms = -1
        self._delays_before = 0

    def look(self, state: Shard, rows: Rows, at_ms: int, is_live: bool) -> Fields:
        """`at_ms` is the shard's own time; not `is_live` while a backlog is drained: gaps mean nothing then."""
        fields = self._shares(state) | {"untimed": self._untimed(state, at_ms)}
        median_ms = self._median_delay(state)
        if median_ms is not None:
            fields[f"delay_ms_{self._shard}"] = median_ms
        return fields | {"classes": as_text(self._classes.look(state, rows, at_ms, is_live))}

    def _shares(self, state: Shard) -> Fields:
        """Counts of the window's packets: `recent_packets`, `recent_trades`, …, `recent_rejected_<reason>`."""
        now = np.concatenate((state.counts, state.rejected))
        self._window.append(now)
        while len(self._window) > FEWEST_LOOKS and (now - self._window[1])[Count.PACKETS] >= FEWEST_PACKETS:
            self._window.popleft()
        recent = (now - self._window[0]).tolist()
        names = [count.name.lower() for count in Count] + [f"rejected_{reason.name.lower()}" for reason in Reason]
        return {f"recent_{name}": count for name, count in zip(names, recent, strict=True)}

    def _untimed(self, state: Shard, at_ms: int) -> int:
        """Instruments that come without a time of their own, though full mode was asked for."""
        feed, latest = state.feed[0], state.latest
        if not self._is_full or not feed["up"] or at_ms - feed["up_since_ms"] < self._full_after_ms:
            return 0
        return int(np.count_nonzero((latest["receive_ms"] >= feed["up_since_ms"]) & (latest["timed"] == 0)))

    def _median_delay(self, state: Shard) -> int | None:
        """Receipt minus exchange time in ms; None while there are too few since the subscription.

        The first packet of each instrument is cached, and may be of yesterday: so many are left out.
        """
        feed = state.feed[0]
        if feed["up_since_ms"] != self._up_since_ms:
            self._up_since_ms, self._delays_before = int(feed["up_since_ms"]), int(feed["delays"])
        count = int(feed["delays"])
        fresh = min(DELAYS, count - self._delays_before - len(state.instruments))
        if fresh < FEWEST_DELAYS:
            return None
        return int(np.median(state.delays[np.arange(count - fresh, count) % DELAYS]))
