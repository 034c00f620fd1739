"""A small broker of the tests' own: Kite's REST and WebSocket written from its documentation, with its own frames.

It runs in a thread of the test, plays a seeded tape at the pace of a market clock, and keeps what it really sent.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from tests.e2e.plain_market import Second, cached_packets, dump_csv, history_rows, seconds_of
from tests.reference.inputs import Entry

HEARTBEAT = b"\x00"


@dataclass(frozen=True)
class Manners:
    """What a broker may do, and this one does on demand. Times are IST, lengths market seconds."""

    name: str
    start: str = "09:13:30"
    first_trade: str = "09:15"
    until: str = "09:35"
    speed: float = 120.0
    heartbeat_each_real_second: bool = False
    cached_quote_on_subscribe: bool = False
    first_packet_after_seconds: float = 0.0
    preopen_volume: int = 0
    depth: str = "book"
    exchange_time_ahead_seconds: int = 0
    seed: int = 1


@dataclass
class PlainBroker:
    """`sent` holds what each connection was given, as journal entries: its subscribe as a mark, then its frames.

    `live_from_s` is the first market second whose packets the newest connection got as they happened; what was
    before stood in its cached packets.
    """

    manners: Manners
    real_zero: float
    day: dict[int, Second]
    port: int = 0
    live_from_s: int = 0
    sent: list[list[Entry]] = field(default_factory=list)
    messages: list[dict[str, object]] = field(default_factory=list)
    history_calls: int = 0
    _next_s: int = 0

    def now_ms(self) -> int:
        market = seconds_of(self.manners.start) + (time.time() - self.real_zero) * self.manners.speed
        return round(market * 1000)

    @property
    def clock(self) -> str:
        """For MARKET_CLOCK."""
        return f"2026-11-20T{self.manners.start}+05:30@{self.manners.speed:g}@{self.real_zero:.3f}"

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
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.sent.append([])
        feed = asyncio.create_task(self._feed(socket, self.sent[-1]))
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await self._obey(socket, self.sent[-1], json.loads(message.data))
        feed.cancel()
        return socket

    async def _obey(self, socket: web.WebSocketResponse, sent: list[Entry], message: dict[str, object]) -> None:
        self.messages.append(message)
        manners = self.manners
        if message["a"] == "subscribe":
            named = [{"token": token} for token in message["v"]]  # type: ignore[attr-defined]
            mark = json.dumps({"mark": "subscribed", "mode": "full", "instruments": named}).encode()
            sent.append(Entry(self.now_ms(), 0, "m", mark))
            if manners.cached_quote_on_subscribe:
                await self._send(socket, sent, _frame(cached_packets(self.day, self._next_s, manners, quote=True)))
        elif message["a"] == "mode":
            self.live_from_s = self._next_s
            if not manners.first_packet_after_seconds:
                await self._send(socket, sent, _frame(cached_packets(self.day, self._next_s, manners, quote=False)))

    async def _send(self, socket: web.WebSocketResponse, sent: list[Entry], frame: bytes) -> None:
        before = sent[-1]
        ms = max(self.now_ms(), before.ms)
        sent.append(Entry(ms, before.counter + 1 if ms == before.ms else 0, "f", frame))
        await socket.send_bytes(frame)

    async def _feed(self, socket: web.WebSocketResponse, sent: list[Entry]) -> None:
        """Each market second its frame, or a heartbeat."""
        self._next_s, self.live_from_s, beat_at = self.now_ms() // 1000, 0, 0.0
        while not socket.closed:
            wait_ms = self._next_s * 1000 + 400 - self.now_ms()
            if wait_ms > 0:
                await asyncio.sleep(wait_ms / 1000 / self.manners.speed)
                continue
            at_s, self._next_s = self._next_s, self._next_s + 1
            packets = self._packets_of(at_s)
            if packets:
                await self._send(socket, sent, _frame(packets))
            elif sent and (not self.manners.heartbeat_each_real_second or time.monotonic() - beat_at >= 1):
                beat_at = time.monotonic()
                await self._send(socket, sent, HEARTBEAT)

    def _packets_of(self, at_s: int) -> list[bytes]:
        is_live = self.live_from_s and at_s >= self.live_from_s + self.manners.first_packet_after_seconds
        return self.day[at_s].packets if is_live and at_s in self.day else []


def _frame(packets: list[bytes]) -> bytes:
    return len(packets).to_bytes(2, "big") + b"".join(len(one).to_bytes(2, "big") + one for one in packets)


@contextmanager
def plain_broker(manners: Manners, day: dict[int, Second], real_zero: float) -> Iterator[PlainBroker]:
    """A running one on a free port."""
    broker = PlainBroker(manners, real_zero, day)
    loop = asyncio.new_event_loop()
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
    ready.set()
    loop.run_forever()
    loop.run_until_complete(runner.cleanup())
    loop.close()
