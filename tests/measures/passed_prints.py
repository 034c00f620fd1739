"""Bad prints that got into a candle: a misprinted price is in a candle that has another price without the print.

The same session is played to the engine twice, with its misprinted packets and without them, and the final candles
are compared. `for_a_while` counts prints that were in a published candle and that a later revision removed.
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
    """`at`: positions in SentPackets of the prints that a candle has, of `sent` misprinted packets with a price."""

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
    sent = played.sent
    prints = np.flatnonzero(sent.misprinted & (sent.price > 0))
    ended = _wrong_prices(engine.final, without.final)
    published = _wrong_prices(engine.published, without.final)
    passed = [at for at in prints.tolist() if _is_in(played, at, ended)]
    shown = [at for at in prints.tolist() if _is_in(played, at, published)]
    return Passed(len(prints), passed, len(set(shown) - set(passed)))


def _wrong_prices(candles: EngineCandles, clean: EngineCandles) -> dict[tuple[int, int], list[tuple[int, int]]]:
    """By (row, price): spans (start ms, end ms) of candles with that price that differ from the clean ones."""
    found: dict[tuple[int, int], list[tuple[int, int]]] = {}
    index = np.searchsorted(clean.keys[order := np.argsort(clean.keys)], candles.keys)
    index = order[np.minimum(index, len(order) - 1)]
    is_there = clean.keys[index] == candles.keys
    for name in PRICES:
        values = getattr(candles, name)
        for at in np.flatnonzero(~is_there | (getattr(clean, name)[index] != values)).tolist():
            span = (int(candles.start_ms[at]), int(candles.end_ms[at]))
            found.setdefault((int(candles.row[at]), int(values[at])), []).append(span)
    return found


def _is_in(played: PlayedDay, at: int, wrong: dict[tuple[int, int], list[tuple[int, int]]]) -> bool:
    sent = played.sent
    when_ms = int(sent.exchange_s[at]) * 1000
    spans = wrong.get((int(sent.row[at]), int(sent.price[at])), [])
    return any(start - FARTHEST_S * 1000 <= when_ms < end + FARTHEST_S * 1000 for start, end in spans)
