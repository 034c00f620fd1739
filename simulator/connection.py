"""One client's WebSocket: its subscriptions, its queue of messages, and the task that sends them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import orjson
from aiohttp import web

from simulator.packing import Mode, Modes
from simulator.recording import Recording
from simulator.universe import Universe

MOST_WAITING_BYTES = 64 << 20
MOST_INSTRUMENTS = 3_000
MODES = {"ltp": Mode.LTP, "quote": Mode.QUOTE, "full": Mode.FULL}


@dataclass(frozen=True, slots=True)
class Asked:
    """A client's text message, read: the rows it is about, and the error to answer, if any."""

    rows: list[int]
    mode: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Ping:
    """A WebSocket ping in the queue of messages."""

    number: int


class Connection:
    """Sends messages in the order queued. A client that does not read is dropped, as the broker does."""

    def __init__(
        self,
        api_key: str,
        socket: web.WebSocketResponse,
        rows: int,
        clock: Callable[[], int],
        record: Recording | None,
    ) -> None:
        self.api_key = api_key
        self.modes: Modes = np.zeros(rows, dtype=np.uint8)
        self.stalled_until_ms = 0
        self.sent_frames = 0
        self.sent_bytes = 0
        self._socket = socket
        self._clock = clock
        self._record = record
        self._waiting: asyncio.Queue[bytes | str | _Ping] = asyncio.Queue()
        self._waiting_bytes = 0
        self._pings = self._pongs = 0
        self._pong_came = asyncio.Event()
        self.abort: Callable[[], None] = lambda: None

    def enqueue(self, message: bytes | str) -> None:
        """Queues a frame (bytes) or a text message, unless the connection is stalled."""
        if self._clock() < self.stalled_until_ms:
            return
        self._waiting_bytes += len(message)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self.abort()
            return
        self._waiting.put_nowait(message)

    async def send_all(self) -> None:
        """Sends queued messages until the socket is closed."""
        while True:
            message = await self._waiting.get()
            try:
                await self._send(message)
            except (ConnectionError, RuntimeError):
                return

    async def until_received(self) -> None:
        """Returns when the client has answered a ping after all messages sent before, or at once when stalled."""
        if self._clock() < self.stalled_until_ms:
            return
        self._pings += 1
        self._waiting.put_nowait(_Ping(self._pings))
        wanted = self._pings
        while self._pongs < wanted:
            self._pong_came.clear()
            await self._pong_came.wait()

    def pong(self, number: bytes) -> None:
        """Notes the client's answer to a ping."""
        if number.isdigit():
            self._pongs = max(self._pongs, int(number))
            self._pong_came.set()

    async def _send(self, message: bytes | str | _Ping) -> None:
        if isinstance(message, _Ping):
            await self._socket.ping(str(message.number).encode())
            return
        self._waiting_bytes -= len(message)
        if isinstance(message, str):
            await self._socket.send_str(message)
            return
        if self._record is not None:
            self._record.frame(self._clock(), message)
        self.sent_frames += 1
        self.sent_bytes += len(message)
        await self._socket.send_bytes(message)

    def flush(self) -> None:
        if self._record is not None:
            self._record.flush()

    def close(self) -> None:
        self._pongs = self._pings
        self._pong_came.set()
        if self._record is not None:
            self._record.close()

    def asked(self, text: str, universe: Universe, row_of_token: dict[int, int]) -> Asked | None:
        """Applies a client's message; None when there is nothing to answer."""
        action, mode, tokens = _understood(text)
        rows = [row_of_token[token] for token in tokens if token in row_of_token]
        if not rows or not action:
            return None
        if self._record is not None:
            self._record.subscribed(self._clock(), mode, [int(universe.tokens[row]) for row in rows])
        if action == "unsubscribe":
            self.modes[rows] = Mode.NONE
            return None
        fresh = [row for row in dict.fromkeys(rows) if self.modes[row] == Mode.NONE]
        room = MOST_INSTRUMENTS - int(np.count_nonzero(self.modes))
        refused = set(fresh[max(room, 0) :])
        rows = [row for row in rows if row not in refused]
        self.modes[rows] = MODES[mode]
        error = f"{len(refused)} instruments refused: a connection has {MOST_INSTRUMENTS} at most." if refused else ""
        return Asked(rows, mode, error)


def _understood(text: str) -> tuple[str, str, list[int]]:
    """(action, mode, tokens) of `{"a": …, "v": …}`; action is empty for anything else. Tokens must be numbers."""
    try:
        message = orjson.loads(text)
        action, value = message["a"], message["v"]
        mode, listed = (value[0], value[1]) if action == "mode" else ("quote", value)
        tokens = [instrument for instrument in listed if isinstance(instrument, int)]
    except (orjson.JSONDecodeError, KeyError, TypeError, IndexError):
        return "", "", []
    if action == "unsubscribe":
        return action, action, tokens
    known = action in ("subscribe", "mode") and mode in MODES
    return (action, mode, tokens) if known else ("", "", [])
