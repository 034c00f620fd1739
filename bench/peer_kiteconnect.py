"""The official client's parser with the aggregator of a tutorial: what one would write in an afternoon.

Frames are passed to `_on_message`, as by the socket: kiteconnect parses every packet into a dict and
calls `on_ticks`, as documented. The aggregator keeps a dict a token and timeframe. Its hours are those of the process
(kiteconnect gives naive local times), so the process must run in India's time zone.
"""

from __future__ import annotations

from typing import Any

from kiteconnect import KiteTicker

from bench.candle_sets import CandleSet

MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60}
OPEN_MINUTE = 9 * 60 + 15


class TutorialAggregator:
    """Ticks in, candles out; a volume is the difference of the day's cumulative one."""

    def __init__(self, symbols: dict[int, str]) -> None:
        self._symbols = symbols
        self._volumes: dict[int, int] = {}
        self._open: dict[tuple[int, str], dict[str, Any]] = {}
        self.closed: list[dict[str, Any]] = []
        self._ticker = KiteTicker("key", "token")
        self._ticker.on_ticks = self.on_ticks

    def receive(self, frame: bytes) -> None:
        """As the WebSocket would."""
        self._ticker._on_message(None, frame, True)

    def on_ticks(self, ws: Any, ticks: list[dict[str, Any]]) -> None:
        for tick in ticks:
            token, price, traded = tick["instrument_token"], tick["last_price"], tick["last_trade_time"]
            before = self._volumes.get(token)
            self._volumes[token] = tick["volume_traded"]
            minute = traded.hour * 60 + traded.minute - OPEN_MINUTE
            if before is None or minute < 0:
                continue
            quantity = tick["volume_traded"] - before
            for timeframe, length in MINUTES.items():
                self._take(token, timeframe, minute // length, traded, price, quantity)

    def _take(self, token: int, timeframe: str, bucket: int, traded: Any, price: float, quantity: int) -> None:
        candle = self._open.get((token, timeframe))
        if candle is not None and candle["bucket"] == bucket:
            candle["high"] = max(candle["high"], price)
            candle["low"] = min(candle["low"], price)
            candle["close"] = price
            candle["volume"] += quantity
            return
        if candle is not None:
            self.closed.append(candle)
        self._open[token, timeframe] = {
            "token": token,
            "timeframe": timeframe,
            "bucket": bucket,
            "day": traded.date(),
            "open": price,
            "high": price,
            "low": price,
            "close": price,
            "volume": quantity,
        }

    def candles(self, open_ms: int) -> CandleSet:
        """What closed so far; `open_ms` is the session's open."""
        return {
            (
                self._symbols[closed_candle["token"]],
                closed_candle["timeframe"],
                open_ms + closed_candle["bucket"] * MINUTES[closed_candle["timeframe"]] * 60_000,
            ): (
                closed_candle["open"],
                closed_candle["high"],
                closed_candle["low"],
                closed_candle["close"],
                float(closed_candle["volume"]),
            )
            for closed_candle in self.closed
        }
