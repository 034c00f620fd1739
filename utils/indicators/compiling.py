"""Compiles the indicator kernels, or reads them from the cache: before a worker holds anything."""

from __future__ import annotations

from utils.indicators.table import IndicatorTable
from utils.market.candle import Candle, Source, TimedBy
from utils.runtime.garbage_collection import long_lived_objects


@long_lived_objects()
def compile_indicator_kernels() -> None:
    """Send one candle through a table."""
    candle = Candle("", "1m", 0, 0, 1, 1.0, 1.0, 1.0, 1.0, 1, None, None, 1, True, Source.LIVE, 0, TimedBy.EXCHANGE)
    IndicatorTable().update([candle])


if __name__ == "__main__":
    compile_indicator_kernels()
