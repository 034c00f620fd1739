"""The size of a soak, and the sizes of Redis, journal and MongoDB that follow from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from tests.chaos.soak_bounds import Bounds, Limits
from tests.chaos.soak_broker import CLOSE_MINUTE, OPEN_MINUTE, Sessions
from utils.market.timeframes import parse_timeframes

FIRST_DAY = date(2026, 10, 5)  # a Monday, with ten trading days in the two weeks from it
JOURNAL_DAYS, STREAM_HOURS = 2, 18.0  # a session is gone before the next one begins, and not before it is sampled
TRIM_HOURS = 1.75  # market time that a node of a stream may span: a hundred heartbeats, one a minute
LEAST_CLOSED_ENTRIES = 10_000  # the least CLOSED_MAX_ENTRIES


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is played: `rounds` trades of each instrument a session, a session each `days_apart` days or later.

    `weekly` of the instruments expire with each session, and others come: a multiple of the shards, as `instruments`.
    """

    sessions: int
    instruments: int
    shards: int
    rounds: int
    seed: int
    timeframes: str = "15m,1h,1d"
    weekly: int = 0
    days_apart: int = 1
    bounds: Bounds = field(default_factory=Bounds)

    @property
    def feed(self) -> Sessions:
        return Sessions(self.instruments, self.shards, self.rounds, self.seed, self.weekly)

    @property
    def live_hashes(self) -> int:
        """The live hashes of all instruments: a tick, and for each timeframe a candle and indicator values."""
        return self.instruments * (1 + 2 * len(parse_timeframes(self.timeframes)))

    @property
    def candles_a_session(self) -> int:
        minutes = CLOSE_MINUTE - OPEN_MINUTE
        lengths = [
            timeframe.length_ms // 60_000 for timeframe in parse_timeframes(self.timeframes) if not timeframe.is_day
        ]
        return self.instruments * (sum(-(-minutes // length) for length in lengths) + ("1d" in self.timeframes))

    @property
    def closed_max_entries(self) -> int:
        """The entries of a session in each shard: the streams are full after the first one."""
        return max(LEAST_CLOSED_ENTRIES, self.candles_a_session // self.shards)

    @property
    def limits(self) -> Limits:
        return Limits(
            self.shards, self.closed_max_entries, STREAM_HOURS, TRIM_HOURS, JOURNAL_DAYS + 1, self.candles_a_session
        )
