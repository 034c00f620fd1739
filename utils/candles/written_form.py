"""From a row of the state arrays to the candle that is written out: integers become prices here."""

from __future__ import annotations

import collections
from typing import Any

from utils.candles.kernels.layout import CANDLE
from utils.kite.frames import price_divisor
from utils.market.candle import Candle, Source, TimedBy
from utils.market.instruments import Instrument

CandleRow: Any = collections.namedtuple("CandleRow", CANDLE.names or ())  # type: ignore[misc]


def candle_of(row: Any, instrument: Instrument, timeframe: str, previous_close: int = 0) -> Candle:
    """The candle of one CANDLE record (as a CandleRow); a previous close of 0 is none."""
    divisor = price_divisor(instrument.token)
    volume = row.end_cum - row.base if row.has_volume else None
    return Candle(
        symbol=instrument.symbol,
        timeframe=timeframe,
        token=instrument.token,
        start_ms=row.start_ms,
        end_ms=row.end_ms,
        open=row.open / divisor,
        high=row.high / divisor,
        low=row.low / divisor,
        close=row.close / divisor,
        volume=volume,
        oi=row.oi if row.has_oi else None,
        vwap=row.turnover / volume / divisor if volume else None,
        ticks=row.ticks,
        complete=bool(row.complete),
        source=Source.LIVE,
        rev=row.rev,
        timed_by=TimedBy.RECEIVE if row.by_receive else TimedBy.EXCHANGE,
        previous_close=previous_close / divisor if previous_close else None,
    )
