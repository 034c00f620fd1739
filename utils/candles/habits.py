"""How often each instrument of a shard is quoted: its typical gap and its longest of late, learned by looking.

A packet whose times are those of the one before is no quote. Times are market time, ms.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from utils.candles.kernels.layout import Array, Shard
from utils.market.instruments import Instrument, SessionClass

PRIOR_BEATS, RECENT_BEATS = 1, 50  # a habit begins as that of its kind, and is that of the last gaps soon
FORGOTTEN = 0.98  # of the longest gap remains so much with each that follows
LARGE = (SessionClass.EQUITY_FNO, SessionClass.INDEX)
LARGE_UNDERLYINGS = ("NIFTY", "BANKNIFTY")  # of futures
TYPICAL_LARGE_MS, TYPICAL_OTHER_MS = 3_000, 45_000


class Habits:
    """Arrays by row. `look_ms` is between two looks: no gap is seen that is shorter."""

    def __init__(self, look_ms: float) -> None:
        self._look_ms = look_ms
        self._instruments: Sequence[Instrument] = ()
        self.stamps_ms: Array = np.zeros(0, np.int64)
        self.quoted_ms: Array = np.zeros(0, np.int64)
        self.typical_ms: Array = np.zeros(0, np.float64)
        self.longest_ms: Array = np.zeros(0, np.float64)
        self.beats: Array = np.zeros(0, np.int64)

    def look(self, shard: Shard, is_live: bool) -> None:
        """What was quoted since the last look; not `is_live` while a backlog is drained: gaps mean nothing then."""
        latest, times = shard.latest, shard.instruments
        timed = np.maximum(times["trade_ms"], times["exchange_ms"])
        stamps = np.where(latest["timed"] == 0, latest["receive_ms"], timed)
        quoted_ms = np.where(stamps != self.stamps_ms, latest["receive_ms"], self.quoted_ms)
        if is_live:
            since_ms = np.maximum(self.quoted_ms, times["open_ms"])
            is_known = (self.quoted_ms > 0) & (since_ms >= shard.feed[0]["up_since_ms"])
            self._learn(quoted_ms - since_ms, is_known & (quoted_ms < times["close_ms"]))
        self.stamps_ms, self.quoted_ms = stamps, quoted_ms

    def know(self, instruments: Sequence[Instrument]) -> None:
        """Other rows than before, perhaps: habits stay with their symbols."""
        before = {instrument.symbol: row for row, instrument in enumerate(self._instruments)}
        self._instruments = instruments
        old = np.array([before.get(instrument.symbol, -1) for instrument in self._instruments], np.int64)
        for name in ("stamps_ms", "quoted_ms", "longest_ms", "beats"):
            setattr(self, name, np.where(old >= 0, np.append(getattr(self, name), 0)[old], 0))
        presumed = np.array(
            [max(_typical_ms(instrument), self._look_ms) for instrument in self._instruments], np.float64
        )
        self.typical_ms = np.where(old >= 0, np.append(self.typical_ms, 0)[old], presumed)

    def _learn(self, gap: Array, is_whole: Array) -> None:
        """Only gaps between what was looked at, that ended, and lay in today's session on this connection."""
        ended = (gap > 0) & is_whole
        weight = 1.0 / (PRIOR_BEATS + 1 + np.minimum(self.beats, RECENT_BEATS))
        self.typical_ms = self.typical_ms + np.where(ended, weight * (gap - self.typical_ms), 0.0)
        self.longest_ms = np.where(ended, np.maximum(FORGOTTEN * self.longest_ms, gap), self.longest_ms)
        self.beats = self.beats + ended


def is_large(instrument: Instrument) -> bool:
    """Of which it is known without a habit that it is never quiet."""
    is_future = instrument.instrument_type == "FUT" and instrument.session_class is SessionClass.INDEX_DERIVATIVE
    return instrument.session_class in LARGE or (is_future and instrument.name in LARGE_UNDERLYINGS)


def _typical_ms(instrument: Instrument) -> int:
    """Of its kind, until it has a habit of its own."""
    return TYPICAL_LARGE_MS if is_large(instrument) else TYPICAL_OTHER_MS
