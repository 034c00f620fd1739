"""The WebSocket end: the handshake with its refusals, and the conversation of one connection."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from aiohttp import WSMsgType, web

from simulator.access import MOST_CONNECTIONS
from simulator.connection import Connection
from simulator.exchange import Exchange
from simulator.recording import Recording
from simulator.replies import refusal

EXCHANGE = web.AppKey("exchange", Exchange)


async def ticker(request: web.Request) -> web.StreamResponse:
    """`/?api_key=…&access_token=…`: 403 for a bad token, 429 for a fourth connection, else the feed."""
    exchange = request.app[EXCHANGE]
    api_key, token = request.query.get("api_key", ""), request.query.get("access_token", "")
    if not exchange.access.is_valid(api_key, token):
        return refusal(403, "TokenException", "Incorrect `api_key` or `access_token`.")
    if exchange.access.connections[api_key] >= MOST_CONNECTIONS:
        return refusal(429, "NetworkException", f"An api key has at most {MOST_CONNECTIONS} connections.")
    if request.headers.get("Upgrade", "").lower() != "websocket":
        return refusal(400, "InputException", "This is the WebSocket end.")
    exchange.access.connections[api_key] += 1
    try:
        return await _converse(exchange, request, api_key)
    finally:
        exchange.access.connections[api_key] -= 1


async def _converse(exchange: Exchange, request: web.Request, api_key: str) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False, max_msg_size=1 << 20, autoping=False)
    connection = Connection(api_key, socket, len(exchange.universe), exchange.clock.now_ms, _recording(exchange))
    connection.abort = lambda: request.transport.abort() if request.transport else None
    # Before the handshake is answered: the next step waits for every client that is connected.
    exchange.connections.append(connection)
    sender: asyncio.Task[None] | None = None
    try:
        await socket.prepare(request)
        sender = asyncio.create_task(connection.send_all())
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                asked = connection.asked(message.data, exchange.universe, exchange.row_of_token)
                if asked is not None:
                    exchange.answer(connection, asked)
            elif message.type is WSMsgType.PONG:
                connection.pong(message.data)
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)
    finally:
        exchange.connections.remove(connection)
        exchange.frames_before += connection.sent_frames
        if sender is not None:
            sender.cancel()
            with suppress(asyncio.CancelledError):
                await sender
        connection.close()
    return socket


def _recording(exchange: Exchange) -> Recording | None:
    if exchange.options.record is None:
        return None
    exchange.connections_seen += 1
    return Recording(exchange.options.record, exchange.connections_seen, exchange.clock.now_ms())
