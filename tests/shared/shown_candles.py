"""What the live view shows of an engine's state, as objects: made from the state arrays one by one."""

from __future__ import annotations

from typing import Any

from tests.shared.engine_candles import CandleRow, candle_of
from utils.candles.engine import CandleEngine
from utils.kite.frames import price_divisor
from utils.market.candle import Candle
from utils.market.ist import iso_ist


def shown_candles(engine: CandleEngine) -> list[tuple[Candle, bool]]:
    """Of each instrument and timeframe the open candle, without one the last closed (True), if there is any."""
    shard, found = engine.shard, []
    for row, instrument in enumerate(engine.instruments):
        for column, frame in enumerate(engine.timeframes):
            is_open = bool(shard.open[row, column]["present"])
            record = (shard.open if is_open else shard.last)[row, column]
            if record["present"]:
                found.append((candle_of(CandleRow._make(record.tolist()), instrument, frame.name), not is_open))
    return found


def candle_hash(candle: Candle, closed: bool) -> dict[str, str]:
    """The fields of its hash: those of its document, without what is absent."""
    document = {**candle.as_document(), "complete": _word(candle.complete), "closed": _word(closed)}
    return {
        name: value if isinstance(value, str) else repr(value)
        for name, value in document.items()
        if value is not None and name not in ("_id", "k")
    }


def tick_hash(engine: CandleEngine, row: int) -> dict[str, str]:
    """The fields of the hash of an instrument's latest tick that this tick itself has."""
    instrument, tick = engine.instruments[row], engine.shard.latest[row]
    prices = {
        "last_price": "price",
        "average_price": "average",
        "day_open": "day_open",
        "day_high": "day_high",
        "day_low": "day_low",
        "previous_close": "previous_close",
        "bid": "bid",
        "ask": "ask",
    }
    numbers = {"volume": "cum", "last_quantity": "quantity", "oi": "oi"} if tick["has_volume"] else {}
    times = {"last_trade_time": "trade_ms", "exchange_time": "exchange_ms"} if tick["timed"] else {}
    found: dict[str, Any] = {
        "token": instrument.token,
        "symbol": instrument.symbol,
        **{to: int(tick[name]) / price_divisor(instrument.token) for to, name in prices.items() if tick[name]},
        **{to: int(tick[name]) for to, name in numbers.items()},
        **{to: iso_ist(int(tick[name])) for to, name in times.items() if tick[name]},
        "received": iso_ist(int(tick["receive_ms"])),
        "t": int(tick["receive_ms"]),
    }
    return {name: value if isinstance(value, str) else repr(value) for name, value in found.items()}


def _word(value: bool) -> str:
    return "true" if value else "false"
