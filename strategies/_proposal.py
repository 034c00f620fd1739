"""What a strategy answers with."""

from __future__ import annotations

from dataclasses import dataclass

from utils.market.signal import Direction

__all__ = ["Direction", "Proposal"]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Prices in the quote currency; `conditions` are those that were met, as a person would put them."""

    direction: Direction
    entry: float
    stop: float
    target: float
    conditions: tuple[str, ...]
