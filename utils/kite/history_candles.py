"""Rows of the broker's history as candles of ours: minutes and days, as far as they are settled. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from utils.kite.history import DERIVATIVES, Row
from utils.market.candle import Candle, Source, TimedBy
from utils.market.instruments import Instrument
from utils.market.ist import MINUTE_MS, ist_date, ist_day, ist_midnight_ms
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import Timeframe, bucket_start_ms

SETTLING_MS = 30_000  # a minute is unreliable for 10 s after its end (kite.trade/forum/discussion/6011)

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]


def settled_until(rows: Sequence[Row], until_ms: int) -> int:
    """Up to when minute rows, asked for at `until_ms`, are surely all there: to the end of the newest settled one.

    What the broker has not written yet looks like minutes without a trade, so today nothing is sure behind that.
    """
    ends = [row[0] + MINUTE_MS for row in rows if row[0] + MINUTE_MS + SETTLING_MS <= until_ms]
    return max([*ends, ist_midnight_ms(ist_date(until_ms))])


def minute_candles(
    rows: Sequence[Row],
    instrument: Instrument,
    timeframe: Timeframe,
    calendar: SessionCalendar,
    until_ms: int,
    doubtful_ms: Collection[int] = (),
) -> list[Candle]:
    """Minute rows as candles of a timeframe of whole minutes, in session-anchored buckets settled by `until_ms`.

    Rows outside continuous trading belong to no candle; a bucket with one of the doubtful minutes in it makes none.
    """
    if not rows:
        return []
    until_ms = settled_until(rows, until_ms)
    at = np.array([row[0] for row in rows], dtype=np.int64)
    opens, closes = _session_bounds(ist_day(at), at, instrument, calendar)
    starts = bucket_start_ms(at, opens, timeframe.length_ms)
    ends = np.minimum(starts + timeframe.length_ms, closes)
    inside = np.flatnonzero((at >= opens) & (at < closes) & (ends <= until_ms))
    if not len(inside):
        return []
    ordered = inside[np.argsort(starts[inside], kind="stable")]
    buckets = _buckets([rows[index] for index in ordered.tolist()], starts[ordered], ends[ordered])
    whole = [bucket for bucket in buckets if not any(bucket[0] <= at_ms < bucket[1] for at_ms in doubtful_ms)]
    return [_candle(instrument, timeframe, *row_values) for row_values in whole]


def _buckets(rows: Sequence[Row], starts: Integers, ends: Integers) -> list[tuple[Any, ...]]:
    """Of rows in the order of their buckets' starts: start, end, open, high, low, close, volume and oi of each."""
    _, open_, high, low, close, volume, oi = (np.array(column) for column in zip(*rows, strict=True))
    first = np.flatnonzero(np.diff(starts, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    columns = (
        starts[first],
        ends[first],
        open_[first],
        np.maximum.reduceat(high, first),
        np.minimum.reduceat(low, first),
        close[last],
        np.add.reduceat(volume, first),
        oi[last],
    )
    return list(zip(*(column.tolist() for column in columns), strict=True))


def day_candles(
    rows: Sequence[Row], instrument: Instrument, timeframe: Timeframe, calendar: SessionCalendar, until_ms: int
) -> list[Candle]:
    """Day rows as `1d` candles, those of the days before `until_ms`: today's is replaced about midnight."""
    candles, today = [], ist_date(until_ms)
    for row in rows:
        session = calendar.for_instrument(instrument, ist_date(row[0]))
        if session is not None and session.date < today:
            candles.append(_candle(instrument, timeframe, session.open_ms, session.day_end_ms, *row[1:]))
    return candles


def _session_bounds(
    days: np.ndarray, at_ms: np.ndarray, instrument: Instrument, calendar: SessionCalendar
) -> tuple[np.ndarray, np.ndarray]:
    """Open and close (epoch ms) of each row's session; a row on a closed day gets an empty one."""
    unique, which = np.unique(days, return_inverse=True)
    firsts = [int(at_ms[which == index][0]) for index in range(len(unique))]
    sessions = [calendar.for_instrument(instrument, ist_date(first)) for first in firsts]
    opens = np.array([session.open_ms if session else 0 for session in sessions], dtype=np.int64)
    closes = np.array([session.close_ms if session else 0 for session in sessions], dtype=np.int64)
    return opens[which], closes[which]


def _candle(
    instrument: Instrument,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: int,
    oi: int,
) -> Candle:
    return Candle(
        symbol=instrument.symbol,
        timeframe=timeframe.name,
        token=instrument.token,
        start_ms=int(start_ms),
        end_ms=int(end_ms),
        open=float(open_),
        high=float(high),
        low=float(low),
        close=float(close),
        volume=None if instrument.is_index else int(volume),
        oi=int(oi) if instrument.session_class in DERIVATIVES else None,
        vwap=None,
        ticks=0,
        complete=True,
        source=Source.HISTORY,
        rev=0,
        timed_by=TimedBy.EXCHANGE,
    )


def is_from_minutes(timeframe: Timeframe) -> bool:
    """Whether minute rows can make it: seconds cannot be had from the broker."""
    return not timeframe.is_day and timeframe.length_ms % MINUTE_MS == 0
