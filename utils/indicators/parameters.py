"""What each indicator is made with, and after how many candles it can be trusted."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import NamedTuple

from utils.indicators.values import INDICATOR_NAMES

WILDER_SETTLES = 10  # in periods: what is left of the seed then is (1 - 1/n)^(10 n), 5e-5 of it
EMA_SETTLES = 4  # in periods: (1 - 2/(n+1))^(4 n), 3e-4 of it


class KernelParameters(NamedTuple):
    """The same, in the form that a kernel takes."""

    sma_short: int
    sma_long: int
    ema: int
    rsi: int
    macd_fast: int
    macd_slow: int
    macd_signal: int
    atr: int
    supertrend: int
    supertrend_multiplier: float


@dataclass(frozen=True, slots=True)
class IndicatorParameters:
    """Periods in candles. The numbers in the names of `IndicatorValues` are these defaults: change both together."""

    sma_short: int = 20
    sma_long: int = 200
    ema: int = 9
    rsi: int = 14
    macd_fast: int = 12
    macd_slow: int = 26
    macd_signal: int = 9
    atr: int = 14
    supertrend: int = 10
    supertrend_multiplier: float = 3.0

    def __post_init__(self) -> None:
        if self.macd_fast > self.macd_slow:
            raise ValueError(f"macd_fast {self.macd_fast} is longer than macd_slow {self.macd_slow}: swap them")
        if self.sma_short > self.sma_long:
            raise ValueError(f"sma_short {self.sma_short} is longer than sma_long {self.sma_long}: swap them")
        if min(self.for_kernel()) <= 0:
            raise ValueError("every indicator parameter must be above 0")

    def for_kernel(self) -> KernelParameters:
        return KernelParameters(**asdict(self))

    def settled_after(self) -> tuple[int, ...]:
        """Candles until each is warm, in the order of INDICATOR_NAMES: 10 n for Wilder's averages, 4 n for EMAs."""
        macd = EMA_SETTLES * self.macd_slow
        bars = {
            "sma_20": self.sma_short,
            "sma_200": self.sma_long,
            "ema_9": EMA_SETTLES * self.ema,
            "rsi_14": WILDER_SETTLES * self.rsi,
            "macd": macd,
            "macd_signal": macd + EMA_SETTLES * self.macd_signal,
            "macd_histogram": macd + EMA_SETTLES * self.macd_signal,
            "atr_14": WILDER_SETTLES * self.atr,
            "supertrend": WILDER_SETTLES * self.supertrend,
            "supertrend_direction": WILDER_SETTLES * self.supertrend,
            "vwap": 1,
        }
        return tuple(bars[name] for name in INDICATOR_NAMES)

    @property
    def bars_to_settle(self) -> int:
        """Candles until all of them are warm."""
        return max(self.settled_after())


DEFAULT_PARAMETERS = IndicatorParameters()
