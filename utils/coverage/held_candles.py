"""What is held of a day: how many candles of an instrument and timeframe there are, and where some lack. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from utils.market.candle import Candle
from utils.market.ist import iso_ist
from utils.market.sessions import Session
from utils.market.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class Coverage:
    """`expected` counts the buckets of the session that are over, `gaps` are stretches of them without a candle.

    A gap need not be a loss: where nobody traded there is no candle. `incomplete` candles saw an outage.
    """

    symbol: str
    timeframe: str
    session: Session
    candles: int
    incomplete: int
    expected: int
    first_ms: int | None
    last_ms: int | None
    gaps: tuple[tuple[int, int], ...]

    def as_document(self) -> dict[str, Any]:
        """Flat and JSON-safe, for MongoDB; `first` and `last` are the starts of candles."""
        day = self.session.date.isoformat()
        key = f"{self.symbol}|{self.timeframe}|{day}"
        return {
            "_id": key,
            "k": key,
            "t": self.session.open_ms,
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "day": day,
            "candles": self.candles,
            "incomplete": self.incomplete,
            "expected": self.expected,
            "first": iso_ist(self.first_ms) if self.first_ms is not None else None,
            "last": iso_ist(self.last_ms) if self.last_ms is not None else None,
            "gaps": [f"{iso_ist(begin)}/{iso_ist(end)}" for begin, end in self.gaps],
        }


def coverage_of(
    symbol: str, timeframe: Timeframe, session: Session, candles: Sequence[Candle], until_ms: int
) -> Coverage:
    """Of the day's candles of one instrument and timeframe, as far as their buckets end by `until_ms`."""
    held = {
        candle.start_ms: candle
        for candle in candles
        if session.open_ms <= candle.start_ms and candle.end_ms <= until_ms
    }
    buckets = [bucket for bucket in buckets_of(timeframe, session) if bucket[1] <= until_ms]
    return Coverage(
        symbol=symbol,
        timeframe=timeframe.name,
        session=session,
        candles=len(held),
        incomplete=sum(not candle.complete for candle in held.values()),
        expected=len(buckets),
        first_ms=min(held, default=None),
        last_ms=max(held, default=None),
        gaps=tuple(_joined([bucket for bucket in buckets if bucket[0] not in held])),
    )


def buckets_of(timeframe: Timeframe, session: Session) -> list[tuple[int, int]]:
    """[start, end) of each bucket, epoch ms: anchored at the open, the last one cut at the close; `1d` is one."""
    if timeframe.is_day:
        return [(session.open_ms, session.day_end_ms)]
    starts = range(session.open_ms, session.close_ms, timeframe.length_ms)
    return [(start, min(start + timeframe.length_ms, session.close_ms)) for start in starts]


def _joined(buckets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Those that touch, as one stretch."""
    joined: list[tuple[int, int]] = []
    for start, end in buckets:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
