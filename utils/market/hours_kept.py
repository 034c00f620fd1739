"""Whose hours a set of instruments keeps: few, however many instruments there are. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from utils.market.instruments import CASH_EXCHANGES, Instrument, SessionClass, classes_of_exchange
from utils.market.sessions import SessionCalendar

# `KAPAS27FEBFUT`, `NIFTY26DEC25000CE`, and weekly `NIFTY26D0825000CE`: underlying, expiry, kind.
_CONTRACT = re.compile(r"(.+?)\d\d(?:[A-Z]{3}(?:FUT|[\d.]+[CP]E)|[1-9OND]\d\d[\d.]+[CP]E)")


class Kept(NamedTuple):
    """A class at some places, the narrowest first, its exchange last."""

    session_class: SessionClass
    places: tuple[str, ...]

    @property
    def exchange(self) -> str:
        return self.places[-1]

    def __str__(self) -> str:
        return f"{self.exchange} {self.session_class}"


def hours_kept(symbols: Iterable[str], known: Mapping[str, Instrument], calendar: SessionCalendar) -> list[Kept]:
    """Of instruments that are not known, by their symbols (`NSE:INFY`), all that their exchange may keep."""
    found: dict[Kept, None] = {}
    for symbol in symbols:
        instrument = known.get(symbol)
        places = instrument.places if instrument is not None else places_of(symbol)
        *narrow, exchange = places
        kept_at = (*calendar.narrowed(tuple(narrow)), exchange)
        if instrument is None:
            found |= dict.fromkeys(Kept(session_class, kept_at) for session_class in classes_of_exchange(exchange))
        elif instrument.hours_class is not None:
            found[Kept(instrument.hours_class, kept_at)] = None
    return list(found)


def places_of(symbol: str) -> tuple[str, ...]:
    """As in `Instrument.places`, as far as the symbol of a contract shows them.

    >>> places_of("MCX:KAPAS27FEBFUT"), places_of("NSE:INFY")
    (('MCX:KAPAS', 'MCX-FUT', 'MCX'), ('NSE',))
    """
    exchange, _, tradingsymbol = symbol.partition(":")
    contract = _CONTRACT.fullmatch(tradingsymbol)
    if contract is None or exchange in CASH_EXCHANGES:
        return (exchange,)
    return f"{exchange}:{contract[1]}", f"{exchange}-{'FUT' if tradingsymbol.endswith('FUT') else 'OPT'}", exchange


def without_hours(symbols: Iterable[str]) -> list[str]:
    """Those of exchanges whose trading hours nobody knows."""
    return [symbol for symbol in symbols if not classes_of_exchange(symbol.partition(":")[0])]
