"""polars: candles of all ticks at once, by grouping. Another job (nothing is live), shown as the batch's speed."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bench.candle_sets import CandleSet
from utils.market.instruments import Instrument

LENGTHS_MS = {"1m": 60_000, "5m": 300_000, "15m": 900_000, "1h": 3_600_000}


def frame_of(ticks: NDArray[np.void]) -> pl.DataFrame:
    """The ticks as columns."""
    return pl.DataFrame(
        {
            "row": ticks["row"].copy(),
            "price": ticks["price"] / 100,
            "quantity": ticks["quantity"].copy(),
            "t": ticks["trade_s"] * 1000,
        }
    )


def group(frame: pl.DataFrame, open_ms: int) -> dict[str, pl.DataFrame]:
    """All candles of the four timeframes."""
    return {
        name: frame.group_by("row", ((pl.col("t") - open_ms) // length).alias("bucket"), maintain_order=True).agg(
            pl.col("price").first().alias("open"),
            pl.col("price").max().alias("high"),
            pl.col("price").min().alias("low"),
            pl.col("price").last().alias("close"),
            pl.col("quantity").sum().alias("volume"),
        )
        for name, length in LENGTHS_MS.items()
    }


def candles(frames: dict[str, pl.DataFrame], named: list[Instrument], open_ms: int) -> CandleSet:
    found: CandleSet = {}
    for name, frame in frames.items():
        for row, bucket, first, high, low, last, volume in frame.iter_rows():
            found[named[row].symbol, name, open_ms + bucket * LENGTHS_MS[name]] = (
                first,
                high,
                low,
                last,
                float(volume),
            )
    return found
