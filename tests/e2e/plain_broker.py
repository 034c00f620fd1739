"""A small broker of the tests' own: Kite's REST and WebSocket written from its documentation, with its own frames.

It runs in a thread of the test, plays a seeded tape, and records what it sent. Time is virtual: it steps the clock
second by second, and each step waits until the client has answered a ping sent after the frames.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.e2e.plain_market import Second, cached_packets, dump_csv, history_rows
from tests.reference.inputs import Entry
from utils.market.clock import SteppedClock

HEARTBEAT = b"\x00"


@dataclass(frozen=True)
class Manners:
    """Behaviours that a broker may show, configurable. Times are IST, lengths market seconds."""

    name: str
    start: str = "09:13:30"
    first_trade: str = "09:15"
    until: str = "09:35"
    heartbeat_every_seconds: int = 1
    cached_quote_on_subscribe: bool = False
    first_packet_after_seconds: float = 0.0
    preopen_volume: int = 0
    depth: str = "book"
    exchange_time_ahead_seconds: int = 0
    seed: int = 1


@dataclass
class PlainBroker:
    """`sent`: what each connection was sent, as journal entries: its subscribe as a mark, then its frames.

    `live_from_s`: the first market second whose packets the newest connection got as they happened. Earlier seconds
    were in its cached packets.
    """

    manners: Manners
    clock: SteppedClock
    day: dict[int, Second]
    loop: asyncio.AbstractEventLoop
    port: int = 0
    live_from_s: int = 0
    sent: list[list[Entry]] = field(default_factory=list)
    messages: list[dict[str, object]] = field(default_factory=list)
    history_calls: int = 0
    _until_s: int = 0
    _sockets: list[web.WebSocketResponse] = field(default_factory=list)
    _pong: asyncio.Event = field(default_factory=asyncio.Event)

    def play_until(self, second: int) -> None:
        """Plays until that market second is over. Called from the test's thread."""

        def order() -> None:
            self._until_s = second

        self.loop.call_soon_threadsafe(order)

    # -- REST -------------------------------------------------------------------------------------------------

    async def instruments(self, _request: web.Request) -> web.Response:
        return web.Response(text=dump_csv(), content_type="text/csv")

    async def profile(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "success", "data": {"user_id": "AB1234", "user_name": "Plain"}})

    async def historical(self, request: web.Request) -> web.Response:
        self.history_calls += 1
        rows = history_rows(int(request.match_info["token"]), request.match_info["interval"], request.query)
        return web.json_response({"status": "success", "data": {"candles": rows}})

    # -- WebSocket --------------------------------------------------------------------------------------------

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        if request.query.get("access_token") != "plain_token" or request.query.get("api_key") != "plain_key":
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self.sent.append([])
        self._sockets.append(socket)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await self._obey(socket, self.sent[-1], json.loads(message.data))
            elif message.type == WSMsgType.PONG:
                self._pong.set()
        self._sockets.remove(socket)
        self._pong.set()
        return socket

    async def _obey(self, socket: web.WebSocketResponse, sent: list[Entry], message: dict[str, object]) -> None:
        self.messages.append(message)
        manners = self.manners
        if message["a"] == "subscribe":
            named = [{"token": token} for token in message["v"]]  # type: ignore[attr-defined]
            mark = json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode()
            sent.append(Entry(self.clock.now_ms(), 0, "m", mark))
            if manners.cached_quote_on_subscribe:
                await self._send(socket, sent, _frame(cached_packets(self.day, self._next_s, manners, quote=True)))
        elif message["a"] == "mode":
            self.live_from_s = self._next_s
            if not manners.first_packet_after_seconds:
                await self._send(socket, sent, _frame(cached_packets(self.day, self._next_s, manners, quote=False)))

    async def _send(self, socket: web.WebSocketResponse, sent: list[Entry], frame: bytes) -> None:
        before = sent[-1]
        ms = max(self.clock.now_ms(), before.ms)
        sent.append(Entry(ms, before.counter + 1 if ms == before.ms else 0, "f", frame))
        await socket.send_bytes(frame)

    async def play(self) -> None:
        """Sends a frame or a heartbeat each market second; the client receives it before the next second begins."""
        while True:
            if not self._sockets or self._next_s >= self._until_s:
                await asyncio.sleep(0.01)
                continue
            at_s = self._next_s
            self.clock.step_to(at_s * 1000 + 400)
            await self._send_second(self._sockets[-1], self.sent[-1], at_s)
            await self._until_received(self._sockets[-1])

    @property
    def _next_s(self) -> int:
        """The market second that is played next."""
        return (self.clock.now_ms() - 400) // 1000 + 1

    async def _send_second(self, socket: web.WebSocketResponse, sent: list[Entry], at_s: int) -> None:
        packets = self._packets_of(at_s)
        if packets:
            await self._send(socket, sent, _frame(packets))
        elif sent and at_s % self.manners.heartbeat_every_seconds == 0:
            await self._send(socket, sent, HEARTBEAT)

    async def _until_received(self, socket: web.WebSocketResponse) -> None:
        self._pong.clear()
        await socket.ping()
        await self._pong.wait()

    def _packets_of(self, at_s: int) -> list[bytes]:
        is_live = self.live_from_s and at_s >= self.live_from_s + self.manners.first_packet_after_seconds
        return self.day[at_s].packets if is_live and at_s in self.day else []


def _frame(packets: list[bytes]) -> bytes:
    return len(packets).to_bytes(2, "big") + b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


@contextmanager
def plain_broker(manners: Manners, day: dict[int, Second], clock: SteppedClock) -> Iterator[PlainBroker]:
    """A running broker on a free port; it waits for `play_until`."""
    loop = asyncio.new_event_loop()
    broker = PlainBroker(manners, clock, day, loop)
    ready = threading.Event()
    thread = threading.Thread(target=_serve, args=(loop, broker, ready), daemon=True)
    thread.start()
    assert ready.wait(60), "the plain broker did not start"
    try:
        yield broker
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)


def _serve(loop: asyncio.AbstractEventLoop, broker: PlainBroker, ready: threading.Event) -> None:
    asyncio.set_event_loop(loop)
    app = web.Application()
    app.router.add_get("/instruments", broker.instruments)
    app.router.add_get("/user/profile", broker.profile)
    app.router.add_get("/instruments/historical/{token}/{interval}", broker.historical)
    app.router.add_get("/", broker.socket)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    loop.run_until_complete(runner.setup())
    site = web.TCPSite(runner, "127.0.0.1", 0)
    loop.run_until_complete(site.start())
    broker.port = runner.addresses[0][1]
    playing = loop.create_task(broker.play())
    ready.set()
    loop.run_forever()
    playing.cancel()
    loop.run_until_complete(runner.cleanup())
    loop.close()
