"""A small broker for the connector's tests: it sends the bytes it is given, and remembers what it received.

with FakeBroker(instruments) as broker:
    broker.send(frame)          # to every open connection
    broker.connections[-1].messages
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from aiohttp import WSMsgType, web

T = TypeVar("T")
HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)


def stock(token: int, symbol: str) -> str:
    """A row of the instruments dump."""
    return f"{token},{token >> 8},{symbol},{symbol} LTD,0,,0,0.05,1,EQ,NSE,NSE"


@dataclass
class Connection:
    """One accepted WebSocket, from the broker's side."""

    token: str
    opened_at: float
    socket: web.WebSocketResponse
    messages: list[dict[str, Any]] = field(default_factory=list)
    is_open: bool = True

    def subscribed(self) -> list[int]:
        return [token for message in self.messages if message["a"] == "subscribe" for token in message["v"]]

    def modes(self) -> dict[int, str]:
        modes = [message["v"] for message in self.messages if message["a"] == "mode"]
        return {token: mode for mode, tokens in modes for token in tokens}


class FakeBroker:
    """Speaks `/instruments` and the WebSocket on one port of 127.0.0.1, in a thread of its own."""

    def __init__(
        self, rows: Sequence[str], port: int = 0, tls: ssl.SSLContext | None = None, heartbeat_seconds: float = 0.2
    ) -> None:
        self.rows = list(rows)
        self.port = port
        self.accepted_tokens: set[str] | None = None
        self.refuse_next: deque[int] = deque()
        self.refusals: dict[str, tuple[int, str, str]] = {}  # by path (`/` is the socket): status, type, message
        self.user_id: str | None = None
        self.attempts: list[float] = []
        self.connections: list[Connection] = []
        self.sent: list[bytes | str] = []
        self.is_frozen = False
        self.dumps_served = 0
        self._tls = tls
        self._heartbeat_seconds = heartbeat_seconds
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(self, *_details: object) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def api_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return self.api_url.replace("http", "ws", 1)

    def send(self, *payloads: bytes | str) -> None:
        """To every open connection, and into `sent` when there is one."""
        self._call(self._send(payloads))

    def drop_all(self) -> None:
        """Cuts every connection, without a word."""
        self._call(self._drop())

    def _call(self, step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(60)

    async def _start(self) -> None:
        application = web.Application()
        application.router.add_get("/instruments", self._instruments)
        application.router.add_get("/user/profile", self._profile)
        application.router.add_get("/instruments/historical/{token}/{interval}", self._history)
        application.router.add_get("/", self._socket)
        self._runner = web.AppRunner(application, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=self._tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        self._heart = asyncio.create_task(self._beat())

    async def _stop(self) -> None:
        self._heart.cancel()
        await self._drop()
        await self._runner.cleanup()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat_seconds)
            if not self.is_frozen:
                await self._send((b"\x00",))

    async def _send(self, payloads: Sequence[bytes | str]) -> None:
        open_ones = [connection for connection in self.connections if connection.is_open]
        for payload in payloads:
            for connection in open_ones:
                await (
                    connection.socket.send_bytes(payload)
                    if isinstance(payload, bytes)
                    else connection.socket.send_str(payload)
                )
            if open_ones:
                self.sent.append(payload)

    async def _drop(self) -> None:
        for connection in self.connections:
            if (
                connection.is_open
                and connection.socket._req is not None
                and connection.socket._req.transport is not None
            ):
                connection.socket._req.transport.abort()
                connection.is_open = False

    async def _instruments(self, _request: web.Request) -> web.Response:
        self.dumps_served += 1
        if "/instruments" in self.refusals:
            return self._refusal("/instruments")
        return web.Response(text="\n".join((HEADER, *self.rows)), content_type="text/csv")

    async def _profile(self, _request: web.Request) -> web.Response:
        """Only of a broker that a test gave a user, or a refusal."""
        if "/user/profile" in self.refusals:
            return self._refusal("/user/profile")
        if self.user_id is None:
            return web.Response(status=404)
        return web.json_response({"status": "success", "data": {"user_id": self.user_id}})

    async def _history(self, _request: web.Request) -> web.Response:
        """No rows, unless a test refuses them."""
        if "/instruments/historical" in self.refusals:
            return self._refusal("/instruments/historical")
        return web.json_response({"status": "success", "data": {"candles": []}})

    def _refusal(self, path: str) -> web.Response:
        status, error_type, message = self.refusals[path]
        typed = {"error_type": error_type} if error_type else {}
        return web.json_response({"status": "error", "message": message, "data": None, **typed}, status=status)

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        self.attempts.append(time.monotonic())
        token = request.query.get("access_token", "")
        if "/" in self.refusals:
            return self._refusal("/")
        if self.refuse_next:
            return web.Response(status=self.refuse_next.popleft())
        if self.accepted_tokens is not None and token not in self.accepted_tokens:
            return web.Response(status=403)
        socket = web.WebSocketResponse(autoping=True)
        await socket.prepare(request)
        connection = Connection(token, time.monotonic(), socket)
        self.connections.append(connection)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                connection.messages.append(json.loads(message.data))
        connection.is_open = False
        return socket
