"""What an engine gave as candles: decoded from what is published, or made from the records one by one."""

from __future__ import annotations

import collections
from dataclasses import dataclass
from typing import Any

import orjson

from utils.candles.encoding import ClosedRecords
from utils.candles.engine_output import EngineOutput
from utils.candles.kernels.layout import CANDLE
from utils.journal.entries import EntryId
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


@dataclass(frozen=True, slots=True)
class EngineCandle:
    """A candle that closed, or a revision of one: number `index` of what the entry `source` caused."""

    source: EntryId
    number: int
    candle: Candle


def engine_candles(output: EngineOutput) -> list[EngineCandle]:
    """What is published of an engine's output, decoded."""
    return [
        EngineCandle(EntryId(ms, counter), index, Candle.from_document(orjson.loads(content)))
        for records in output.records
        for (ms, counter, index), content in zip(records.sources(), records.as_json(), strict=True)
    ]


def candles_of(records: ClosedRecords) -> list[Candle]:
    """The candles of the records, made without the encoder."""
    rows, before = records.candles.tolist(), records.heads["previous_close"].tolist()
    return [
        candle_of(CandleRow._make(values), *records.rows.at(place), previous_close)
        for place, values, previous_close in zip(records.places, rows, before, strict=True)
    ]
