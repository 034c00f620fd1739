"""The closed candle as it leaves the pipeline, and its one written form (JSON, stream, MongoDB)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from utils.keys import candle_id
from utils.market.ist import iso_ist


class Source(StrEnum):
    """Where a candle's numbers come from."""

    LIVE = "live"
    HISTORY = "history"
    OFFICIAL = "official"


class TimedBy(StrEnum):
    """Whose clock put the trades into the candle: `receive` is all that ltp and quote mode allow."""

    EXCHANGE = "exchange"
    RECEIVE = "receive"


# To look a text up costs a fifth of what to call the enum does: a minute's end has thousands.
_SOURCES = {str(source): source for source in Source}
_CLOCKS = {str(clock): clock for clock in TimedBy}


@dataclass(frozen=True, slots=True)
class Candle:
    """One candle of one instrument. Prices in the quote currency; `start_ms` inclusive, `end_ms` exclusive.

    volume and vwap are None where there is no volume (indices, ltp mode), oi where the packets carry none.
    `previous_close` is that of the day before as the exchange gave it on the candle's day (after a split, adjusted).
    """

    symbol: str
    timeframe: str
    token: int
    start_ms: int
    end_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: int | None
    oi: int | None
    vwap: float | None
    ticks: int
    complete: bool
    source: Source
    rev: int
    timed_by: TimedBy
    previous_close: float | None = field(default=None, compare=False)  # it is not the candle's own

    @property
    def id(self) -> str:
        return candle_id(self.symbol, self.timeframe, self.start_ms)

    def as_document(self) -> dict[str, Any]:
        """Flat and JSON-safe; `k` is `_id` again, `t` the start in epoch ms (STORES: only such keys sort fast)."""
        return {
            "_id": self.id,
            "k": self.id,
            "t": self.start_ms,
            "symbol": self.symbol,
            "timeframe": self.timeframe,
            "token": self.token,
            "start": iso_ist(self.start_ms),
            "end": iso_ist(self.end_ms),
            "end_t": self.end_ms,
            "open": self.open,
            "high": self.high,
            "low": self.low,
            "close": self.close,
            "volume": self.volume,
            "oi": self.oi,
            "vwap": self.vwap,
            "ticks": self.ticks,
            "complete": self.complete,
            "source": str(self.source),
            "rev": self.rev,
            "timed_by": str(self.timed_by),
            "previous_close": self.previous_close,
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Candle:
        return cls(
            symbol=document["symbol"],
            timeframe=document["timeframe"],
            token=document["token"],
            start_ms=document["t"],
            end_ms=document["end_t"],
            open=document["open"],
            high=document["high"],
            low=document["low"],
            close=document["close"],
            volume=document["volume"],
            oi=document["oi"],
            vwap=document["vwap"],
            ticks=document["ticks"],
            complete=document["complete"],
            source=_SOURCES[document["source"]],
            rev=document["rev"],
            timed_by=_CLOCKS[document["timed_by"]],
            previous_close=document.get("previous_close"),
        )
