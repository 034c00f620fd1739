"""Whether an instrument's past is on the price scale of its present: no split or bonus in between.

The exchange gives the close of the day before in each packet, adjusted for what happened overnight. It is compared
with the close that we know; a move that no price band allows is a jump, and what lies before it is of no use. Pure.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

from utils.market.candle import Candle
from utils.market.hours_kept import places_of
from utils.market.instruments import CASH_EXCHANGES, OPTION_TYPES, Instrument, SessionClass
from utils.market.ist import ist_date, ist_day, ist_midnight_ms
from utils.market.sessions import SessionCalendar

# How far a price may move in a session (share of the base price). Two closes of one session, the exchange's and our
# last trade, are never further apart.
# Cash: bands of 2, 5, 10 and 20 %; stocks with derivatives: a dynamic band of 10 %, relaxed by 5 % while it is traded
# at, nseindia.com/trade/price-band-operating-range-flex-faqs. Indices: market-wide circuits at 10, 15 and 20 %.
# Futures: nseindia.com/products/content/derivatives/equities/price_bands.htm (10 %), currency 3 and 5 % (contract
# specifications), MCX 4, 6 and 9 % and on by 3 (its circulars). An option's band follows its delta: none here.
BANDS = {
    SessionClass.EQUITY: 0.20,
    SessionClass.EQUITY_FNO: 0.10,
    SessionClass.INDEX: 0.20,
    SessionClass.EQUITY_DERIVATIVE: 0.10,
    SessionClass.INDEX_DERIVATIVE: 0.10,
    SessionClass.CURRENCY: 0.05,
    SessionClass.COMMODITY: 0.15,
}
WIDEST = 0.20  # of a session that we did not see, and of a first price against the close before
WIDEST_OF_INDEX = 0.50  # one of volatility has no circuit; India VIX moves by a quarter over some nights
CLOSES_APART = 0.15  # so far at most an average of the last half hour lies from our last trade of the same session
ROUNDING = 0.01  # prices are rounded to ticks, bands as well
MOST_MISSED = 20  # sessions; behind so many any price may be right
LATE_MS = 30 * 60_000  # a series that ended so long before the close missed the rest of that session
BANDLESS = ""


class Last(NamedTuple):
    """The end of a series: start (epoch ms) and close of its last candle."""

    start_ms: int
    close: float


@dataclass(frozen=True, slots=True)
class Jump:
    """From `day` (ISO, IST) on prices are on another scale. `close` is the last one before, `exchange_close` the same
    as the exchange gives it now, or the first price where it gives none. `after` is the day of the jump before it."""

    symbol: str
    day: str
    close: float
    exchange_close: float
    after: str = ""
    is_marked: bool = False

    @property
    def after_ms(self) -> int:
        return ist_midnight_ms(date.fromisoformat(self.after)) if self.after else 0

    @property
    def from_ms(self) -> int:
        return ist_midnight_ms(date.fromisoformat(self.day))

    @property
    def ratio(self) -> float:
        """What prices from before have to be multiplied by."""
        return self.exchange_close / self.close

    def as_text(self) -> str:
        """For the health report: `NSE:INFY|2026-07-01|5000|1000`."""
        return f"{self.symbol}|{self.day}|{self.close:g}|{self.exchange_close:g}"

    def as_fields(self) -> dict[str, Any]:
        """What the candles from before it are marked with in MongoDB."""
        return {"rescaled_on": self.day, "rescaled_by": round(self.ratio, 6)}


class PriceScale:
    """Finds jumps. An instrument that `know` was not given has the class that its name shows."""

    def __init__(self, calendar: SessionCalendar | None = None) -> None:
        """Without a calendar every weekday is a session."""
        self._calendar = calendar
        self.classes: dict[str, str] = {}

    def know(self, instruments: Iterable[Instrument]) -> None:
        """Their classes; an option has none."""
        for instrument in instruments:
            self.classes[instrument.symbol] = BANDLESS if instrument.is_option else str(instrument.session_class)

    def jump(self, last: Last, candle: Candle) -> Jump | None:
        """What lies between the end of a series and its next candle."""
        if ist_day(candle.start_ms) <= ist_day(last.start_ms) or last.close <= 0:
            return None
        kind = self._class_of(candle.symbol)
        if kind is None or not _is_jump(kind, last.close, candle, 0):
            return None
        missed = self._missed(kind, last, candle)
        if missed > MOST_MISSED or (missed and not _is_jump(kind, last.close, candle, missed)):
            return None
        exchange_close = _scale_of(candle)
        return Jump(candle.symbol, ist_date(candle.start_ms).isoformat(), last.close, exchange_close)

    def last_jump(self, candles: Iterable[Candle]) -> tuple[Jump | None, int]:
        """Of a series in order: its last jump, and the start (epoch ms) of the first candle behind it."""
        found, from_ms, last = None, 0, None
        for candle in candles:
            if last is not None and (jump := self.jump(last, candle)) is not None:
                found, from_ms = jump, candle.start_ms
            last = Last(candle.start_ms, candle.close)
        return found, from_ms

    def _class_of(self, symbol: str) -> SessionClass | None:
        known = self.classes.get(symbol)
        if known is None:
            exchange, _, name = symbol.partition(":")
            if exchange in CASH_EXCHANGES:
                return SessionClass.EQUITY
            return None if name.endswith(OPTION_TYPES) else SessionClass.COMMODITY
        return SessionClass(known) if known else None

    def _missed(self, kind: SessionClass, last: Last, candle: Candle) -> int:
        """Sessions between, and the rest of the last one's own where the series ended early."""
        from_day, until = ist_date(last.start_ms), ist_date(candle.start_ms)
        days = (from_day + timedelta(days=count) for count in range(1, (until - from_day).days))
        places = places_of(candle.symbol)
        missed = sum(self._trades(kind, day, places) for day in days)
        session = self._calendar.session(kind, from_day, places=places) if self._calendar else None
        end_ms = last.start_ms + candle.end_ms - candle.start_ms
        return missed + (session is not None and end_ms < session.close_ms - LATE_MS)

    def _trades(self, kind: SessionClass, day: date, places: tuple[str, ...]) -> bool:
        if self._calendar is None:
            return day.weekday() < calendar.SATURDAY
        return self._calendar.session(kind, day, places=places) is not None


def _is_jump(kind: SessionClass, close: float, candle: Candle, missed: int) -> bool:
    """One odd number is none: where the exchange gives its close the traded prices have to bear it out."""
    given, prices = candle.previous_close, (candle.open, candle.close)
    widest = WIDEST_OF_INDEX if kind is SessionClass.INDEX else WIDEST
    if given is None:
        return not any(_is_within(widest, close, price, missed) for price in prices)
    if _is_within(BANDS[kind] if missed else min(BANDS[kind], CLOSES_APART), close, given, missed):
        is_cash = kind in (SessionClass.EQUITY, SessionClass.EQUITY_FNO, SessionClass.INDEX)
        return is_cash and not any(_is_within(widest, given, price, 0) for price in prices)
    return all(abs(price - given) * close < abs(price - close) * given for price in prices)


def _is_within(band: float, base: float, price: float, missed: int) -> bool:
    lowest = (1 - band) * (1 - WIDEST) ** missed * (1 - ROUNDING)
    highest = (1 + band) * (1 + WIDEST) ** missed * (1 + ROUNDING)
    return lowest * base <= price <= highest * base


def _scale_of(candle: Candle) -> float:
    """The exchange's close of the day before, unless it gives none or the day's first price is of another scale."""
    given = candle.previous_close
    return given if given is not None and _is_within(WIDEST, given, candle.open, 0) else candle.open
