"""The share of candles that equal the tape, in all and field by field."""

from __future__ import annotations

from dataclasses import dataclass, field

from simulator.truth import TrueCandle, truth_candles
from tests.measures.engine_day import EngineDay
from tests.measures.played_day import PlayedDay
from utils.market.timeframes import Timeframe

FIELDS = ("open", "high", "low", "close", "volume")
MOST_EXAMPLES = 20

Candles = dict[tuple[int, int, int], TrueCandle]
"""By (row of the instrument, index of the timeframe, start in epoch ms)."""


@dataclass
class Unequal:
    """A candle that differs from the tape; `got` is None for a missing one."""

    symbol: str
    timeframe: str
    true: TrueCandle
    got: TrueCandle | None

    def __str__(self) -> str:
        return f"{self.symbol} {self.timeframe} {self.true.start_ms}: tape {_fields(self.true)}, got " + (
            "none" if self.got is None else str(_fields(self.got))
        )


@dataclass
class Share:
    """Of one timeframe: candles on the tape, and how many of them are equal in everything, and in each field."""

    true: int = 0
    equal: int = 0
    missing: int = 0
    extra: int = 0
    by_field: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIELDS, 0))
    examples: list[Unequal] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.equal / self.true if self.true else 1.0

    def field_share(self, name: str) -> float:
        return self.by_field[name] / self.true if self.true else 1.0

    def __str__(self) -> str:
        fields = ", ".join(f"{name} {100 * self.field_share(name):.2f}" for name in FIELDS)
        return (
            f"{self.equal} of {self.true} equal the tape ({100 * self.share:.2f} %), in percent: {fields}; "
            f"{self.missing} missing, {self.extra} extra"
        )


def tape_shares(played: PlayedDay, timeframes: list[Timeframe], got: Candles) -> dict[str, Share]:
    """By timeframe. Only candles that begin and end within what was played are judged."""
    return {frame.name: _share(played, frame, column, got) for column, frame in enumerate(timeframes)}


def engine_candles(engine: EngineDay) -> Candles:
    """The final candles."""
    final = engine.final
    columns = (final.start_ms, final.end_ms, final.open, final.high, final.low, final.close, final.volume)
    candles = [TrueCandle(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]
    keys = zip(final.row.tolist(), final.column.tolist(), final.start_ms.tolist(), strict=True)
    return dict(zip(keys, candles, strict=True))


def _share(played: PlayedDay, timeframe: Timeframe, column: int, got: Candles) -> Share:
    share, seen = Share(), set()
    for row, instrument in enumerate(played.tape.universe.instruments):
        for true in truth_candles(played.tape, row, timeframe):
            if _is_within(played, true):
                seen.add((row, column, true.start_ms))
                _judge(share, instrument.symbol, timeframe.name, true, got.get((row, column, true.start_ms)))
    mine = {key for key, candle in got.items() if key[1] == column and _is_within(played, candle)}
    share.extra = len(mine - seen)
    return share


def _is_within(played: PlayedDay, candle: TrueCandle) -> bool:
    return played.from_ms <= candle.start_ms and candle.end_ms <= played.until_ms


def _judge(share: Share, symbol: str, timeframe: str, true: TrueCandle, got: TrueCandle | None) -> None:
    share.true += 1
    share.missing += got is None
    equal = [got is not None and getattr(got, name) == getattr(true, name) for name in FIELDS]
    for name, is_equal in zip(FIELDS, equal, strict=True):
        share.by_field[name] += is_equal
    share.equal += all(equal)
    if not all(equal) and len(share.examples) < MOST_EXAMPLES:
        share.examples.append(Unequal(symbol, timeframe, true, got))


def _fields(candle: TrueCandle) -> tuple[int, ...]:
    return tuple(getattr(candle, name) for name in FIELDS)
