"""With the long trend, when momentum turns its way: every condition must hold. SHORT is the mirror of LONG."""

from __future__ import annotations

from strategies._proposal import Direction, Proposal
from utils.indicators import IndicatorValues
from utils.market.candle import Candle

REQUIRED = ("sma_200", "supertrend_direction", "rsi_14", "macd_histogram", "atr_14")

RSI_LONG = 55.0
RSI_SHORT = 45.0
STOP_ATRS = 1.5
TARGET_ATRS = 3.0


def evaluate(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
    """At most one proposal, at the candle's close. What holds most rarely is looked at first."""
    if before.macd_histogram <= 0 < now.macd_histogram:
        long = _long_conditions(candle, now)
        return _proposal(Direction.LONG, 1, candle, now, long) if all(long.values()) else None
    if before.macd_histogram >= 0 > now.macd_histogram:
        short = _short_conditions(candle, now)
        return _proposal(Direction.SHORT, -1, candle, now, short) if all(short.values()) else None
    return None


def _long_conditions(candle: Candle, now: IndicatorValues) -> dict[str, bool]:
    conditions = {
        "close > sma_200": candle.close > now.sma_200,
        "supertrend up": now.supertrend_direction > 0,
        "rsi_14 > 55": now.rsi_14 > RSI_LONG,
        "macd_histogram crosses above 0": True,
    }
    if candle.volume is not None:  # an index has no volume, and so no VWAP
        conditions["close > vwap"] = candle.close > now.vwap
    return conditions


def _short_conditions(candle: Candle, now: IndicatorValues) -> dict[str, bool]:
    conditions = {
        "close < sma_200": candle.close < now.sma_200,
        "supertrend down": now.supertrend_direction < 0,
        "rsi_14 < 45": now.rsi_14 < RSI_SHORT,
        "macd_histogram crosses below 0": True,
    }
    if candle.volume is not None:
        conditions["close < vwap"] = candle.close < now.vwap
    return conditions


def _proposal(
    direction: Direction, sign: int, candle: Candle, now: IndicatorValues, conditions: dict[str, bool]
) -> Proposal:
    return Proposal(
        direction=direction,
        entry=candle.close,
        stop=candle.close - sign * STOP_ATRS * now.atr_14,
        target=candle.close + sign * TARGET_ATRS * now.atr_14,
        conditions=tuple(conditions),
    )
