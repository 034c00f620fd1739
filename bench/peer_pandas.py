"""pandas recomputing an instrument's window at a close: what most tutorials do with a DataFrame of candles."""

from __future__ import annotations

import pandas as pd

from bench.bars import Bars


def frame_of(bars: Bars, row: int, until: int) -> pd.DataFrame:
    """The window as a DataFrame, which such a program has already."""
    high, low, close, volume = bars.window(row, until)
    return pd.DataFrame({"high": high, "low": low, "close": close, "volume": volume})


def recompute(frame: pd.DataFrame) -> dict[str, float]:
    """All values after the last candle. Averages are pandas' own: `ewm` from the first candle, seeded otherwise."""
    close, high, low = frame["close"], frame["high"], frame["low"]
    change = close.diff()
    gain = change.clip(lower=0).ewm(alpha=1 / 14, adjust=False).mean()
    loss = (-change.clip(upper=0)).ewm(alpha=1 / 14, adjust=False).mean()
    macd = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
    signal = macd.ewm(span=9, adjust=False).mean()
    before = close.shift()
    ranges = pd.concat([high - low, (high - before).abs(), (low - before).abs()], axis=1).max(axis=1)
    typical = (high + low + close) / 3
    return {
        "sma_20": float(close.rolling(20).mean().iloc[-1]),
        "sma_200": float(close.rolling(200).mean().iloc[-1]),
        "ema_9": float(close.ewm(span=9, adjust=False).mean().iloc[-1]),
        "rsi_14": float((100 - 100 / (1 + gain / loss)).iloc[-1]),
        "macd": float(macd.iloc[-1]),
        "macd_signal": float(signal.iloc[-1]),
        "macd_histogram": float((macd - signal).iloc[-1]),
        "atr_14": float(ranges.ewm(alpha=1 / 14, adjust=False).mean().iloc[-1]),
        "supertrend": _supertrend(frame, ranges.ewm(alpha=1 / 10, adjust=False).mean()),
        "vwap": float(((typical * frame["volume"]).cumsum() / frame["volume"].cumsum()).iloc[-1]),
    }


def _supertrend(frame: pd.DataFrame, atr: pd.Series) -> float:
    """The usual loop over the rows, on lists."""
    middle = (frame["high"] + frame["low"]) / 2
    uppers, lowers, closes = (middle + 3 * atr).tolist(), (middle - 3 * atr).tolist(), frame["close"].tolist()
    upper, lower, direction = uppers[0], lowers[0], -1
    for at in range(1, len(closes)):
        upper = uppers[at] if uppers[at] < upper or closes[at - 1] > upper else upper
        lower = lowers[at] if lowers[at] > lower or closes[at - 1] < lower else lower
        direction = 1 if closes[at] > upper else -1 if closes[at] < lower else direction
    return float(lower if direction > 0 else upper)
