"""Which stretch of the past an instrument lacks, timeframe by timeframe. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta

from utils.indicators import DEFAULT_PARAMETERS
from utils.kite.history_candles import is_from_minutes
from utils.market.candle import Candle
from utils.market.instruments import Instrument
from utils.market.ist import ist_date, ist_midnight_ms
from utils.market.sessions import Session, SessionCalendar
from utils.market.timeframes import Timeframe

BARS_NEEDED = DEFAULT_PARAMETERS.bars_to_settle
BARS_ASKED = BARS_NEEDED + 50
FEWEST_SESSIONS = 5  # what trades now and then has not a candle in every bucket
MOST_SESSIONS = 400  # nothing reaches further back, however long the timeframe


def missing_from(
    instrument: Instrument,
    timeframe: Timeframe,
    held: Sequence[Candle],
    calendar: SessionCalendar,
    cut_ms: int,
) -> int | None:
    """Epoch ms from which the broker must be asked; None when what is held (oldest first) is enough up to the cut, or
    when the broker has nothing of that length.

    Enough is: so many bars as settle every indicator, the newest bucket that ended by the cut among them, and no
    trading day without any candle in between.
    """
    if not (timeframe.is_day or is_from_minutes(timeframe)):
        return None
    newest_end_ms = newest_bucket_end_ms(instrument, timeframe, calendar, cut_ms)
    if len(held) < BARS_NEEDED:
        return history_start_ms(instrument, timeframe, calendar, cut_ms)
    hole = _first_day_without(instrument, held, calendar)
    if hole is not None:
        return hole.open_ms
    return held[-1].end_ms if held[-1].end_ms < newest_end_ms else None


def newest_bucket_end_ms(instrument: Instrument, timeframe: Timeframe, calendar: SessionCalendar, cut_ms: int) -> int:
    """End of the last bucket that was over by the cut; 0 when there was none."""
    for session in _sessions_back(instrument, calendar, ist_date(cut_ms), MOST_SESSIONS):
        end_ms = session.day_end_ms if timeframe.is_day else session.close_ms
        if cut_ms >= end_ms:
            return end_ms
        if not timeframe.is_day and cut_ms >= session.open_ms + timeframe.length_ms:
            full_buckets = (cut_ms - session.open_ms) // timeframe.length_ms
            return session.open_ms + full_buckets * timeframe.length_ms
    return 0


def history_start_ms(instrument: Instrument, timeframe: Timeframe, calendar: SessionCalendar, cut_ms: int) -> int:
    """Start of the session that lies far enough back for BARS_ASKED bars before the cut."""
    bars, start_ms = 0, ist_midnight_ms(ist_date(cut_ms))
    for sessions_back, session in enumerate(_sessions_back(instrument, calendar, ist_date(cut_ms), MOST_SESSIONS)):
        start_ms = session.open_ms
        until_ms = min(cut_ms, session.close_ms)
        if timeframe.is_day:
            bars += session.day_end_ms <= cut_ms
        elif until_ms > session.open_ms:
            bars += -(-(until_ms - session.open_ms) // timeframe.length_ms)
        if bars >= BARS_ASKED and sessions_back >= FEWEST_SESSIONS:
            break
    return start_ms


def _first_day_without(instrument: Instrument, held: Sequence[Candle], calendar: SessionCalendar) -> Session | None:
    dates = {ist_date(candle.start_ms) for candle in held}
    day, last = min(dates), max(dates)
    while day < last:
        session = calendar.for_instrument(instrument, day)
        if session is not None and day not in dates:
            return session
        day += timedelta(days=1)
    return None


def _sessions_back(instrument: Instrument, calendar: SessionCalendar, day: date, most: int) -> Iterator[Session]:
    """The sessions of a day and those before it, the newest first."""
    oldest = day - timedelta(days=2 * most)
    while day > oldest and most:
        session = calendar.for_instrument(instrument, day)
        if session is not None:
            most -= 1
            yield session
        day -= timedelta(days=1)


def with_history(held: Mapping[str, Candle], fetched: Sequence[Candle], left_out: set[str]) -> list[Candle]:
    """By start, what is held before what was fetched, without those that will yet come by the closed stream."""
    by_id = {candle.id: candle for candle in fetched} | dict(held)
    kept = [candle for candle in by_id.values() if candle.id not in left_out]
    return sorted(kept, key=lambda candle: candle.start_ms)[-BARS_ASKED:]
