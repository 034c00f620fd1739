"""The exchange: the day, the connections and the fault switches; plays the day to every connection."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import orjson

from simulator.access import Access
from simulator.connection import Asked, Connection
from simulator.faults import Fault
from simulator.frame_faults import FrameFaults
from simulator.jumps import Market
from simulator.market_day import MarketDay, Sending
from simulator.packet_faults import PacketFaults
from simulator.packing import Mode, pack
from simulator.recording import record_universe
from simulator.universe import Universe
from utils.journal.entries import HEARTBEAT
from utils.market.clock import MarketClock
from utils.market.ist import ist_date, ist_midnight_ms
from utils.market.sessions import SessionCalendar

HEARTBEATS_A_REAL_SECOND = 20
MESSAGE_EVERY_SECONDS = 120
LONGEST_SLEEP_SECONDS = 0.25
SENDINGS_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Options:
    """The options of a run."""

    seed: int
    faults: frozenset[Fault]
    record: Path | None
    history_per_second: float = 3.0
    others_per_second: float = 10.0
    market: Market = Market.CALM


class PlayOrder:
    """Until when a stepped exchange has to play, and how many times faster than real time (0: no limit)."""

    def __init__(self) -> None:
        self.until_ms = 0
        self.speed = 0.0
        self._changed = asyncio.Event()

    def play_until(self, until_ms: int, speed: float) -> None:
        """ValueError for a speed below 0."""
        if not 0 <= speed < float("inf"):
            raise ValueError(f"the speed {speed} is below 0")
        self.until_ms, self.speed = until_ms, speed
        self._changed.set()

    async def wait(self, now_ms: int) -> None:
        """Returns when there is an order to play beyond `now_ms`."""
        while self.until_ms <= now_ms:
            self._changed.clear()
            await self._changed.wait()


@dataclass(slots=True)
class Figures:
    """Counts so far; a lag is the real ms from when a sending was due until it was sent."""

    sendings: int = 0
    packets: int = 0
    worst_lag_ms: float = 0.0
    last_lag_ms: float = 0.0


class Exchange:
    """One market for all connections."""

    def __init__(
        self, universe: Universe, calendar: SessionCalendar, clock: MarketClock, access: Access, options: Options
    ) -> None:
        self.universe = universe
        self.calendar = calendar
        self.clock = clock
        self.access = access
        self.options = options
        self.figures = Figures()
        self.connections: list[Connection] = []
        self.connections_seen = 0
        self.frames_before = 0
        self.row_of_token = universe.row_of_token()
        self.row_of_symbol = universe.row_of_symbol()
        self.packet_faults = PacketFaults(options.faults, universe)
        self.frame_faults = FrameFaults(options.faults, options.seed)
        self.switched: Counter[str] = Counter()
        if options.record is not None:
            record_universe(options.record, universe)
        self.day = self._open_day(ist_date(clock.now_ms()))
        self.order = PlayOrder()
        self._due: deque[Sending] = deque()
        self._from_ms = 0
        self._beat_s = 0
        self._beat_real = 0.0

    def _open_day(self, day: date) -> MarketDay:
        self.packet_faults.start_day()
        market_day = MarketDay(self.universe, self.calendar, day, self.packet_faults, self.options.market)
        market_day.skip_to(self.clock.now_ms())
        return market_day

    @property
    def frames_sent(self) -> int:
        """Binary frames handed to sockets, heartbeats included, on connections open and closed."""
        return self.frames_before + sum(connection.sent_frames for connection in self.connections)

    def close(self) -> None:
        self.day.close()

    # ------------------------------------------------------------------ playing

    def begin(self) -> None:
        """Sets the beginning of sending: packets due before are in the cached packets only."""
        self._from_ms = self.clock.now_ms()

    async def play(self) -> None:
        """Runs until cancelled: sends what is due, and sleeps until the next sending is."""
        self.begin()
        while True:
            await self.refill()
            self.send_due(SENDINGS_AT_ONCE)
            self._beat(self.clock.now_ms())
            await asyncio.sleep(self._pause_seconds())

    def send_due(self, most: int | None = None) -> None:
        """Sends what is due by now, in order; at most `most` sendings."""
        now_ms = self.clock.now_ms()
        while self._due and self._due[0].due_ms <= now_ms and most != 0:
            self._send(self._due.popleft(), now_ms)
            most = None if most is None else most - 1

    def next_ms(self) -> int:
        """Market time of the next thing to send, packets or a heartbeat; after now."""
        now_ms = self.clock.now_ms()
        next_second_ms = (now_ms // 1000 + 1) * 1000
        return min(next_second_ms, max(self._due[0].due_ms, now_ms + 1)) if self._due else next_second_ms

    def beat_each_second(self) -> None:
        """A heartbeat for each market second."""
        if self.clock.now_ms() % 1000 == 0:
            self._send_heartbeat(self.clock.now_ms() // 1000)

    async def until_received(self) -> None:
        """Returns when every client has received all that was sent to it."""
        for connection in list(self.connections):
            await connection.until_received()

    def _pause_seconds(self) -> float:
        """Real seconds until the next sending or heartbeat."""
        now_ms = self.clock.now_ms()
        beat = self.clock.real_seconds(((self._beat_s + 1) * 1000 - now_ms) / 1000)
        pause = max(beat, self._beat_real + 1 / HEARTBEATS_A_REAL_SECOND - time.monotonic())
        if self._due:
            pause = min(pause, self.clock.real_seconds((self._due[0].due_ms - now_ms) / 1000))
        return min(max(pause, 0.0), LONGEST_SLEEP_SECONDS)

    async def refill(self) -> None:
        """Queues the packets of the next minute, once the clock has reached it."""
        while not self._due:
            coming = self.day.next_minute_when(self.clock.now_ms())
            if coming is None:
                break
            self._due.extend(self.day.sendings(await asyncio.wrap_future(coming)))
        if not self._due and ist_date(self.clock.now_ms()) > self.day.tape.day:
            self.day.close()
            self.day = self._open_day(self.day.tape.day + timedelta(days=1))
        while self._due and self._due[0].due_ms < self._from_ms:
            self.day.last_sent.update(self._due.popleft().packets)

    def _send(self, sending: Sending, now_ms: int) -> None:
        self.day.last_sent.update(sending.packets)
        for connection in self.connections:
            frame = pack(sending.packets, connection.modes)
            if not frame:
                continue
            self.figures.packets += int.from_bytes(frame[:2], "big")
            for sent in self.frame_faults.touched(frame, sending.due_ms):
                connection.enqueue(sent)
        self.figures.sendings += 1
        self.figures.last_lag_ms = (now_ms - sending.due_ms) / self.clock.speed
        self.figures.worst_lag_ms = max(self.figures.worst_lag_ms, self.figures.last_lag_ms)

    def _beat(self, now_ms: int) -> None:
        """A heartbeat each market second, though not more than twenty a real second."""
        real = time.monotonic()
        if now_ms // 1000 <= self._beat_s or real - self._beat_real < 1 / HEARTBEATS_A_REAL_SECOND:
            return
        self._beat_real = real
        self._send_heartbeat(now_ms // 1000)

    def _send_heartbeat(self, second: int) -> None:
        with_messages = second // MESSAGE_EVERY_SECONDS > self._beat_s // MESSAGE_EVERY_SECONDS > 0
        self._beat_s = second
        for connection in self.connections:
            connection.enqueue(HEARTBEAT)
            connection.flush()
            for text in _messages(self._beat_s) if with_messages else ():
                connection.enqueue(text)

    # ------------------------------------------------------------------ connections

    def answer(self, connection: Connection, asked: Asked) -> None:
        """Sends the cached packets of the instruments just subscribed, in the mode now wanted."""
        if asked.error:
            connection.enqueue(orjson.dumps({"type": "error", "data": asked.error}).decode())
        modes = np.zeros_like(connection.modes)
        modes[asked.rows] = connection.modes[asked.rows]
        frame = pack(self.day.last_sent.of_rows(np.flatnonzero(modes != Mode.NONE)), modes)
        if frame:
            connection.enqueue(frame)

    # ------------------------------------------------------------------ switches

    def stall(self, seconds: float) -> None:
        """Present connections stay open, but nothing is sent on them for so many market seconds."""
        for connection in self.connections:
            connection.stalled_until_ms = self.clock.now_ms() + round(seconds * 1000)

    def drop(self) -> None:
        """Aborts every TCP connection, without a closing handshake."""
        for connection in list(self.connections):
            connection.abort()

    def expire(self) -> None:
        """Invalidates all tokens, as the broker does each morning, and drops the connections."""
        self.access.expire()
        self.drop()


def _messages(second: int) -> list[str]:
    order = {"order_id": str(second), "status": "COMPLETE", "tradingsymbol": "INFY", "exchange": "NSE", "quantity": 1}
    messages = [{"type": "message", "data": f"Market notice {second}"}, {"type": "order", "data": order}]
    return [orjson.dumps(message).decode() for message in messages]


def market_start_ms(day: date) -> int:
    """09:14:30 IST of the day: the start of the clock when none is given."""
    return ist_midnight_ms(day) + (9 * 3600 + 14 * 60 + 30) * 1000
