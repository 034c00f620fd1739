"""Whose hours a set of instruments keeps: few, however many instruments there are. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from utils.instruments import Instrument, SessionClass, classes_of_exchange


class Kept(NamedTuple):
    """A class at some places, the narrowest first, its exchange last."""

    session_class: SessionClass
    places: tuple[str, ...]

    @property
    def exchange(self) -> str:
        return self.places[-1]

    def __str__(self) -> str:
        return f"{self.exchange} {self.session_class}"


def hours_kept(symbols: Iterable[str], known: Mapping[str, Instrument]) -> list[Kept]:
    """Of instruments that are not known, by their symbols (`NSE:INFY`), all that their exchange may keep."""
    found: dict[Kept, None] = {}
    for symbol in symbols:
        instrument = known.get(symbol)
        if instrument is None:
            exchange = symbol.partition(":")[0]
            found |= dict.fromkeys(Kept(one, (exchange,)) for one in classes_of_exchange(exchange))
        elif instrument.hours_class is not None:
            found[Kept(instrument.hours_class, instrument.places)] = None
    return list(found)


def without_hours(symbols: Iterable[str]) -> list[str]:
    """Those of exchanges whose trading hours nobody knows."""
    return [symbol for symbol in symbols if not classes_of_exchange(symbol.partition(":")[0])]
