"""The simulator as one aiohttp server: WebSocket at `/`, REST beside it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

from aiohttp import web

from simulator import control, quotes, rest
from simulator.exchange import Exchange
from simulator.play import played
from simulator.ticker import EXCHANGE, ticker


def build_app(exchange: Exchange) -> web.Application:
    app = web.Application(middlewares=[rest.gate])
    app[EXCHANGE] = exchange
    app[rest.LIMITS] = rest.limits(exchange.options)
    app.add_routes(
        [
            web.get("/", ticker),
            web.get("/connect/login", rest.login),
            web.get("/simulator/logged-in", rest.logged_in),
            web.post("/session/token", rest.session_token),
            web.delete("/session/token", rest.invalidate_token),
            web.get("/user/profile", rest.profile),
            web.get("/instruments", rest.instruments),
            web.get("/instruments/{exchange}", rest.instruments),
            web.get("/instruments/historical/{token}/{interval}", rest.historical),
            web.get("/quote", quotes.quote),
            web.get("/quote/ohlc", quotes.ohlc),
            web.get("/quote/ltp", quotes.ltp),
            web.get("/simulator/status", control.status),
            web.post("/simulator/fault", control.fault),
            web.post("/simulator/play", control.play),
        ]
    )
    return app


async def serve(exchange: Exchange, host: str, port: int, ready: Callable[[int], None]) -> None:
    """Serves and plays until SIGTERM or SIGINT; calls `ready` with the port. OSError: the port is in use."""
    runner = web.AppRunner(build_app(exchange), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        asked_to_stop = _stop_signals()
        site = web.TCPSite(runner, host, port)
        await site.start()
        ready(runner.addresses[0][1])
        await _until(asked_to_stop, asyncio.create_task(played(exchange)))
    finally:
        exchange.drop()
        exchange.close()
        await runner.cleanup()


def _stop_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def _until(stop: asyncio.Event, playing: asyncio.Task[None]) -> None:
    """Returns at `stop`; raises the error of a play that failed."""
    asked = asyncio.create_task(stop.wait())
    await asyncio.wait({playing, asked}, return_when=asyncio.FIRST_COMPLETED)
    asked.cancel()
    if playing.done():
        playing.result()
    playing.cancel()
