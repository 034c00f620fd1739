"""`/quote`, `/quote/ohlc`, `/quote/ltp`: the last packets sent, in the broker's JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np
from aiohttp import web

from simulator.contracts import Shape
from simulator.exchange import Exchange
from simulator.replies import success
from simulator.ticker import EXCHANGE
from utils.market.ist import IST

CIRCUIT = 0.2


async def quote(request: web.Request) -> web.Response:
    return success(_each(request, _full))


async def ohlc(request: web.Request) -> web.Response:
    return success(_each(request, _short_ohlc))


async def ltp(request: web.Request) -> web.Response:
    return success(_each(request, _short))


def _each(request: web.Request, write: Any) -> dict[str, Any]:
    """The rows asked for as `i` (symbols or tokens); unknown ones are left out, as the broker does."""
    exchange, found = request.app[EXCHANGE], {}
    for name in request.query.getall("i", []):
        by_token = exchange.row_of_token.get(int(name)) if name.isascii() and name.isdigit() else None
        row = exchange.row_of_symbol.get(name, by_token)
        if row is not None:
            found[name] = write(exchange, row)
    return found


def _record(exchange: Exchange, row: int) -> np.void:
    last = exchange.day.last_sent
    record: np.void = (last.indices if _is_index(exchange, row) else last.tradables)[row]
    return record


def _is_index(exchange: Exchange, row: int) -> bool:
    return bool(exchange.universe.shapes[row] == Shape.INDEX)


def _short(exchange: Exchange, row: int) -> dict[str, Any]:
    price = int(_record(exchange, row)["last_price"]) / int(exchange.universe.divisor[row])
    return {"instrument_token": int(exchange.universe.tokens[row]), "last_price": price}


def _short_ohlc(exchange: Exchange, row: int) -> dict[str, Any]:
    record, divisor = _record(exchange, row), int(exchange.universe.divisor[row])
    names = {"open": "day_open", "high": "day_high", "low": "day_low", "close": "previous_close"}
    return {**_short(exchange, row), "ohlc": {to: int(record[name]) / divisor for to, name in names.items()}}


def _full(exchange: Exchange, row: int) -> dict[str, Any]:
    record, divisor = _record(exchange, row), int(exchange.universe.divisor[row])
    close = int(record["previous_close"]) / divisor
    answer = {
        **_short_ohlc(exchange, row),
        "timestamp": _text(int(record["exchange_time"])),
        "net_change": int(record["last_price"]) / divisor - close,
        "lower_circuit_limit": round(close * (1 - CIRCUIT), 2),
        "upper_circuit_limit": round(close * (1 + CIRCUIT), 2),
    }
    return answer if _is_index(exchange, row) else {**answer, **_tradable(record, divisor)}


def _tradable(record: np.void, divisor: int) -> dict[str, Any]:
    counts = ("last_quantity", "buy_quantity", "sell_quantity", "volume", "oi", "oi_day_high", "oi_day_low")
    return {
        **{name: int(record[name]) for name in counts},
        "last_trade_time": _text(int(record["last_trade_time"])),
        "average_price": int(record["average_price"]) / divisor,
        "depth": {"buy": _levels(record["bids"], divisor), "sell": _levels(record["asks"], divisor)},
    }


def _levels(levels: Any, divisor: int) -> list[dict[str, Any]]:
    return [
        {"price": int(level["price"]) / divisor, "quantity": int(level["quantity"]), "orders": int(level["orders"])}
        for level in levels
    ]


def _text(at_s: int) -> str:
    return datetime.fromtimestamp(at_s, IST).strftime("%Y-%m-%d %H:%M:%S")
