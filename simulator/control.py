"""Endpoints that no broker has: the state of the simulator, and faults on demand."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from simulator.exchange import Exchange
from simulator.replies import refusal, success
from simulator.ticker import EXCHANGE
from utils.market.clock import SteppedClock
from utils.market.ist import iso_ist


def status_of(exchange: Exchange) -> dict[str, Any]:
    """Market time, frames and packets sent, lag in real ms, faults counted by kind."""
    now_ms, figures = exchange.clock.now_ms(), exchange.figures
    return {
        "market_time": iso_ist(now_ms),
        "market_ms": now_ms,
        "seed": exchange.options.seed,
        "instruments": len(exchange.universe),
        "connections": len(exchange.connections),
        "frames": exchange.frames_sent,
        "packets": figures.packets,
        "lag_ms": round(figures.last_lag_ms, 1),
        "worst_lag_ms": round(figures.worst_lag_ms, 1),
        "faults": dict(exchange.packet_faults.counted + exchange.frame_faults.counted + exchange.switched),
    }


async def status(request: web.Request) -> web.Response:
    return success(status_of(request.app[EXCHANGE]))


async def fault(request: web.Request) -> web.Response:
    """POST `{"name": "stall", "seconds": S}`, `{"name": "drop" or "expire"}`, `{"name": "accept", "token": T}`."""
    exchange = request.app[EXCHANGE]
    try:
        wanted = orjson.loads(await request.read())
        name = str(wanted["name"])
        _switch(exchange, name, wanted)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        return refusal(400, "InputException", f"This fault cannot be switched: {error!r}")
    exchange.switched[name] += 1
    return success(status_of(exchange))


async def play(request: web.Request) -> web.Response:
    """POST `{"until_ms": T, "speed": S}`: a stepped exchange plays on to T, S times real time at most (0: any)."""
    exchange = request.app[EXCHANGE]
    if not isinstance(exchange.clock, SteppedClock):
        return refusal(
            400, "InputException", "The clock of this exchange runs by itself: MARKET_CLOCK is not stepped."
        )
    try:
        wanted = orjson.loads(await request.read())
        exchange.order.play_until(int(wanted["until_ms"]), float(wanted.get("speed", 0)))
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        return refusal(400, "InputException", f"This cannot be played: {error!r}")
    return success(status_of(exchange))


def _switch(exchange: Exchange, name: str, wanted: dict[str, Any]) -> None:
    if name == "stall":
        exchange.stall(float(wanted["seconds"]))
    elif name == "drop":
        exchange.drop()
    elif name == "expire":
        exchange.expire()
    elif name == "accept":
        exchange.access.accept(str(wanted["token"]))
    else:
        raise ValueError(f"{name!r} is none of stall, drop, expire, accept")
