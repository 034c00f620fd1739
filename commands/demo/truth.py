"""How many candles equal the simulator's tape, trade by trade.

Snapshots hide trades (two a second at most are sent of all that happen), so not every candle can: what a candle can
not know is its true open, close or extreme when no packet showed it. The count shows how near snapshots come.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simulator.tape import Tape
from simulator.truth import TrueCandle, truth_candles
from utils.keys import candle_id
from utils.market.candle import Candle
from utils.market.timeframes import Timeframe


@dataclass(slots=True)
class TruthCount:
    """Of one timeframe: `true` candles are on the tape; `equal` of them are stored the same to the last digit.

    `volume_equal` counts those whose volume is right, whatever the prices; `missing` are on the tape alone,
    `extra` in the store alone.
    """

    true: int = 0
    equal: int = 0
    volume_equal: int = 0
    missing: int = 0
    extra: int = 0

    def as_dict(self) -> dict[str, int]:
        return {
            "true": self.true,
            "equal": self.equal,
            "volume_equal": self.volume_equal,
            "missing": self.missing,
            "extra": self.extra,
        }


def compare_with_tape(
    tape: Tape, timeframes: Sequence[Timeframe], stored: Iterable[Candle], from_ms: int, until_ms: int
) -> dict[str, TruthCount]:
    """By timeframe. Only candles that start and end within [from_ms, until_ms] are judged: the others were cut."""
    by_id = {
        document.id: document
        for document in stored
        if _is_within(document.start_ms, document.end_ms, from_ms, until_ms)
    }
    counts = {timeframe.name: TruthCount() for timeframe in timeframes}
    for row, instrument in enumerate(tape.universe.instruments):
        divisor = int(tape.universe.divisor[row])
        for timeframe in timeframes:
            count = counts[timeframe.name]
            for true in truth_candles(tape, row, timeframe):
                if _is_within(true.start_ms, true.end_ms, from_ms, until_ms):
                    candle = by_id.pop(candle_id(instrument.symbol, timeframe.name, true.start_ms), None)
                    _judge(count, true, candle, divisor)
    for candle in by_id.values():
        counts[candle.timeframe].extra += 1
    return counts


def _is_within(start_ms: int, end_ms: int, from_ms: int, until_ms: int) -> bool:
    return from_ms <= start_ms and end_ms <= until_ms


def _judge(count: TruthCount, true: TrueCandle, candle: Candle | None, divisor: int) -> None:
    count.true += 1
    if candle is None:
        count.missing += 1
        return
    prices = (candle.open, candle.high, candle.low, candle.close)
    is_volume_equal = (candle.volume or 0) == true.volume
    count.volume_equal += is_volume_equal
    true_prices = tuple(price / divisor for price in (true.open, true.high, true.low, true.close))
    count.equal += is_volume_equal and prices == true_prices


def total(counts: Mapping[str, TruthCount]) -> TruthCount:
    """All timeframes together."""
    return TruthCount(
        true=sum(tally.true for tally in counts.values()),
        equal=sum(tally.equal for tally in counts.values()),
        volume_equal=sum(tally.volume_equal for tally in counts.values()),
        missing=sum(tally.missing for tally in counts.values()),
        extra=sum(tally.extra for tally in counts.values()),
    )
