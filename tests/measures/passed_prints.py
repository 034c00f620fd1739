"""Bad prints that got into a candle: a misprinted price stands in a candle that has another one without the print.

The same session is played to the engine twice, with its misprinted packets and without them. What is compared are
the candles as they ended; `for_a_while` counts prints that stood in a published candle and were taken back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tests.measures.engine_day import EngineCandles, EngineDay
from tests.measures.played_day import PlayedDay

PRICES = ("open", "high", "low", "close")
FARTHEST_S = 60


@dataclass(frozen=True)
class Passed:
    """Of `sent` misprinted packets with a price above 0, the positions (in Told) of those that a candle holds."""

    sent: int
    at: list[int]
    for_a_while: int

    @property
    def share(self) -> float:
        return len(self.at) / max(1, self.sent)

    def __str__(self) -> str:
        return (
            f"{len(self.at)} of {self.sent} bad prints passed (1 in {self.sent // max(1, len(self.at)):,}), "
            f"{self.for_a_while} more for a while"
        )


def passed_prints(played: PlayedDay, engine: EngineDay, without: EngineDay) -> Passed:
    """`without` is the engine's day without the misprinted packets."""
    told = played.told
    prints = np.flatnonzero(told.misprinted & (told.price > 0))
    ended = _wrong_prices(engine.final, without.final)
    published = _wrong_prices(engine.published, without.final)
    passed = [at for at in prints.tolist() if _stands_in(played, at, ended)]
    shown = [at for at in prints.tolist() if _stands_in(played, at, published)]
    return Passed(len(prints), passed, len(set(shown) - set(passed)))


def _wrong_prices(candles: EngineCandles, clean: EngineCandles) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """By (row, price): start and end of the candles that have it, and that have another without the prints."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    place = np.searchsorted(clean.keys[order := np.argsort(clean.keys)], candles.keys)
    place = order[np.minimum(place, len(order) - 1)]
    is_there = clean.keys[place] == candles.keys
    for name in PRICES:
        values = getattr(candles, name)
        for at in np.flatnonzero(~is_there | (getattr(clean, name)[place] != values)).tolist():
            span = (int(candles.start_ms[at]), int(candles.end_ms[at]))
            found.setdefault((int(candles.row[at]), int(values[at])), []).append(span)
    return found


def _stands_in(played: PlayedDay, at: int, wrong: dict[tuple[int, int], list[tuple[int, int]]]) -> bool:
    told = played.told
    when_ms = int(told.exchange_s[at]) * 1000
    spans = wrong.get((int(told.row[at]), int(told.price[at])), [])
    return any(start - FARTHEST_S * 1000 <= when_ms < end + FARTHEST_S * 1000 for start, end in spans)
