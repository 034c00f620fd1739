"""The broker of a soak, a process of its own: `/instruments`, WebSockets, and sessions played on request.

    python -m tests.chaos.soak_broker '{"instruments": 9000, "shards": 3, "rounds": 200, "seed": 1}'

Its settings (MARKET_CLOCK before all) come from the environment. `POST /play {"day": "2026-10-06"}`: on that day
every instrument trades `rounds` times, evenly from 09:15 to 15:30. Time is virtual: the broker steps the clock
through nights and session; each step waits until every client has answered a ping sent after the step's frames.
`POST /drop` ends all connections, as the broker does each night when its tokens end. `weekly` of the instruments are
options that expire with each session: the dump of the next day has others in their place.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from typing import Any

from aiohttp import WSMsgType, web

from tests.chaos.overload_feed import Offer, Tape
from tests.shared.fake_broker import HEADER, stock
from utils.market.clock import SteppedClock
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import ist_date, ist_midnight_ms
from utils.runtime.settings import Settings

OPEN_MINUTE, CLOSE_MINUTE = 9 * 60 + 15, 15 * 60 + 30
AFTERWARDS_MS = 15 * 60_000  # until all candles of the session are closed
DUMP_MINUTE = 8 * 60 + 30  # from here on the connector looks for the dump of the day, and not before
LOOK_SECONDS = 0.01
STEP_MS, FAR_STEP_MS = 60_000, 600_000
FAR_MS = 14 * 3_600_000  # before a session, and longer than a stream reaches back: there the steps are larger
HEARTBEAT = b"\x00"
PORT_LINE = "port "


@dataclass(frozen=True, slots=True)
class Sessions:
    """What is played each day."""

    instruments: int
    shards: int
    rounds: int
    seed: int
    weekly: int = 0
    per_frame: int = 500

    def as_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def offer(self) -> Offer:
        return Offer(self.instruments, self.shards, self.seed, "09:15:00", (), self.per_frame)

    def members(self, week: int) -> list[list[Instrument]]:
        """The instruments of each shard that are listed in a week; the options are the last of each."""
        options = self.weekly // self.shards
        return [
            [
                *named[: len(named) - options],
                *(_option(instrument, week) for instrument in named[len(named) - options :]),
            ]
            for named in self.offer.members()
        ]

    def symbols(self, weeks: int) -> list[str]:
        """The symbols listed in so many weeks, shard after shard, as the connector distributes them."""
        by_week = [self.members(week) for week in range(weeks)]
        return [
            symbol
            for shard in range(self.shards)
            for symbol in dict.fromkeys(instrument.symbol for members in by_week for instrument in members[shard])
        ]


def _option(stock_of_its_place: Instrument, week: int) -> Instrument:
    """Its token and symbol come in no other week."""
    number = 100_000 * (week + 1) + (stock_of_its_place.token >> 8)
    return replace(
        stock_of_its_place,
        token=(number << 8) | 2,
        exchange="NFO",
        tradingsymbol=f"NIFTY{number}CE",
        name="NIFTY",
        segment="NFO-OPT",
        instrument_type="CE",
        session_class=SessionClass.INDEX_DERIVATIVE,
    )


def row_of(instrument: Instrument) -> str:
    """In the dump."""
    if instrument.exchange == "NSE":
        return stock(instrument.token, instrument.tradingsymbol)
    return (
        f"{instrument.token},{instrument.token >> 8},{instrument.tradingsymbol},NIFTY,0,,20000,0.05,1,CE,NFO-OPT,NFO"
    )


def at_ms(day: date, minute: float) -> int:
    """A minute of an IST day, epoch ms."""
    return ist_midnight_ms(day) + round(minute * 60_000)


class SoakBroker:
    """The part of Kite's REST and WebSocket that the connector uses."""

    def __init__(self, sessions: Sessions, clock: SteppedClock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._members = sessions.members(0)
        self._shard_of = {members[0].token: shard for shard, members in enumerate(self._members)}
        self._sockets: dict[web.WebSocketResponse, int] = {}
        self._subscribed: dict[web.WebSocketResponse, set[int]] = {}
        self._answered: dict[web.WebSocketResponse, asyncio.Event] = {}
        self._playing: asyncio.Task[None] | None = None
        self._listed_ms = 0  # when the dump was fetched last
        self.played: list[str] = []
        self.frames = self.rounds = self.connections = 0

    def application(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/instruments", self._instruments)
        app.router.add_get("/status", self._status)
        app.router.add_post("/play", self._play)
        app.router.add_post("/drop", self._drop)
        app.router.add_get("/", self._socket)
        return app

    # -- REST -------------------------------------------------------------------------------------------------

    async def _instruments(self, _request: web.Request) -> web.Response:
        rows = [row_of(instrument) for members in self._members for instrument in members]
        self._listed_ms = self._clock.now_ms()
        return web.Response(text="\n".join((HEADER, *rows)), content_type="text/csv")

    async def _status(self, _request: web.Request) -> web.Response:
        counts = {
            "frames": self.frames,
            "rounds": self.rounds,
            "connections": self.connections,
        }
        return web.json_response({"played": self.played, "subscribed": self._is_connected(), **counts})

    async def _play(self, request: web.Request) -> web.Response:
        day = date.fromisoformat((await request.json())["day"])
        self._playing = asyncio.create_task(self._session(day))
        return web.json_response({})

    async def _drop(self, _request: web.Request) -> web.Response:
        for socket in list(self._sockets):
            await socket.close()
        return web.json_response({})

    # -- WebSocket --------------------------------------------------------------------------------------------

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        self._sockets[socket], self._answered[socket], self._subscribed[socket] = -1, asyncio.Event(), set()
        self.connections += 1
        try:
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    self._obey(socket, json.loads(message.data))
                elif message.type == WSMsgType.PONG:
                    self._answered[socket].set()
        finally:
            del self._sockets[socket], self._subscribed[socket]
            self._answered.pop(socket).set()
        return socket

    def _obey(self, socket: web.WebSocketResponse, message: dict[str, Any]) -> None:
        if message["a"] == "subscribe":
            self._subscribed[socket].update(message["v"])
            self._sockets[socket] = self._shard_of.get(message["v"][0], self._sockets[socket])

    async def _send(self, shard: int, frame: bytes) -> None:
        """Sends a frame to the connection of the shard; -1: to all."""
        for socket, of_shard in list(self._sockets.items()):
            if shard in (-1, of_shard) and not socket.closed:
                try:
                    await socket.send_bytes(frame)
                except ConnectionError:
                    continue

    async def _session(self, day: date) -> None:
        begin_ms, length_ms = at_ms(day, OPEN_MINUTE), (CLOSE_MINUTE - OPEN_MINUTE) * 60_000
        tape, rounds = Tape(self._sessions.offer, self._members), self._sessions.rounds
        for morning_ms in sorted({self._next_morning_ms(), at_ms(day, DUMP_MINUTE)}):
            await self._step_to(morning_ms)
            await self._until(lambda since_ms=morning_ms: self._listed_ms >= since_ms and self._is_subscribed())  # type: ignore[misc]
        for index in range(rounds):
            await self._step_to(begin_ms + length_ms * index // rounds)
            for shard, frame in tape.round(self._clock.now_ms() // 1000):
                await self._send(shard, frame)
                self.frames += 1
            self.rounds += 1
        await self._step_to(begin_ms + length_ms + AFTERWARDS_MS)
        self._members = self._sessions.members(len(self.played) + 1)
        self.played.append(day.isoformat())

    def _is_subscribed(self) -> bool:
        """Whether the instruments of this week are subscribed, each shard's on one connection."""
        wanted = [{instrument.token for instrument in members} for members in self._members]
        return len(self._sockets) == len(wanted) and all(
            shard >= 0 and self._subscribed[socket] == wanted[shard] for socket, shard in self._sockets.items()
        )

    def _next_morning_ms(self) -> int:
        """When the next dump is there: its instruments must be subscribed before the market continues."""
        today = ist_date(self._clock.now_ms())
        days = (today, today + timedelta(days=1))
        return next(ms for ms in (at_ms(day, DUMP_MINUTE) for day in days) if ms > self._clock.now_ms())

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits until the condition is true; the market does not move meanwhile."""
        while not condition():
            await asyncio.sleep(LOOK_SECONDS)

    def _is_connected(self) -> bool:
        return sum(shard >= 0 for shard in self._sockets.values()) == self._sessions.shards

    async def _step_to(self, market_ms: int) -> None:
        """A heartbeat each market minute, fewer while `market_ms` is far; each is processed before the next."""
        while (now_ms := self._clock.now_ms()) < market_ms:
            step_ms = STEP_MS if market_ms - now_ms <= FAR_MS else FAR_STEP_MS
            await self._until(self._is_connected)
            self._clock.step_to(min(market_ms, now_ms + step_ms))
            await self._send(-1, HEARTBEAT)
            await self._until_processed()

    async def _until_processed(self) -> None:
        for socket, answered in list(self._answered.items()):
            answered.clear()
            try:
                await socket.ping()
            except ConnectionError:
                continue
            await answered.wait()


async def _serve(sessions: Sessions, clock: SteppedClock) -> None:
    broker = SoakBroker(sessions, clock)
    runner = web.AppRunner(broker.application(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"{PORT_LINE}{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    clock = Settings.load().market_clock
    assert isinstance(clock, SteppedClock), "MARKET_CLOCK names no stepped clock"
    asyncio.run(_serve(Sessions(**json.loads(sys.argv[1])), clock))


if __name__ == "__main__":
    main()
