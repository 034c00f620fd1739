"""A TCP proxy that misbehaves on request: it resets, delays, cuts in the middle of a message, swallows replies.

    with Proxies() as proxies:
        proxy = proxies.open("candle_worker-redis", target_port)
        proxy.reset(); proxy.delay(0.2); proxy.cut_after(17); proxy.swallow(); proxy.refuse(); proxy.heal()

All proxies of a round run in one thread. A fault lasts until `heal`; `reset` and `cut_after` happen once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any, Protocol, Self, TypeVar

T = TypeVar("T")
CHUNK = 1 << 16
HOST = "127.0.0.1"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Answerer(Protocol):
    """Reads what a client sends, and may answer in the server's place."""

    def process(self, data: bytes) -> tuple[bytes, bytes]:
        """Bytes in; (bytes to forward to the server, bytes to return to the client). Keeps incomplete messages."""


class AnswererFactory(Protocol):
    def __call__(self, proxy: Proxy) -> Answerer: ...


class Proxy:
    """One listening port in front of one server. Its methods may be called from any thread."""

    def __init__(
        self, name: str, target_port: int, loop: asyncio.AbstractEventLoop, answers: AnswererFactory | None
    ) -> None:
        self.name = name
        self.port = 0
        self.answers_errors = False
        self.connections_made = self.bytes_passed = self.bytes_swallowed = 0
        self.ports_to_server: set[int] = set()  # by which the server knows what comes through this proxy
        self._target_port = target_port
        self._loop = loop
        self._answers = answers
        self._delay_seconds = 0.0
        self._refuses = False
        self._cut_after: int | None = None
        self._open: set[_Pair] = set()
        self._server: asyncio.Server | None = None

    def reset(self) -> None:
        """Every connection ends with a TCP reset."""
        self._loop.call_soon_threadsafe(self._reset_all)

    def delay(self, seconds: float) -> None:
        """Delays every piece of data, in both directions."""
        self._delay_seconds = seconds

    def cut_after(self, count: int) -> None:
        """After `count` more bytes of any connection, that connection is reset in mid-message."""
        self._cut_after = count

    def swallow(self) -> None:
        """On the connections open now, the server's bytes are dropped; the client's still pass."""
        for pair in list(self._open):
            pair.swallows = True

    def refuse(self) -> None:
        """Resets present connections, and new ones at once."""
        self._refuses = True
        self.reset()

    def answer_errors(self) -> None:
        """Only for a proxy that was opened with `answers`."""
        assert self._answers is not None
        self.answers_errors = True

    def heal(self) -> None:
        """Ends all faults, except on swallowed connections, which stay so until they end."""
        self._delay_seconds, self._refuses, self._cut_after, self.answers_errors = 0.0, False, None, False

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self._reset_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._refuses:
                raise ConnectionRefusedError
            server = await asyncio.open_connection(HOST, self._target_port)
        except OSError:
            _abort(writer)
            return
        self.connections_made += 1
        self.ports_to_server.add(server[1].get_extra_info("sockname")[1])
        pair = _Pair(self, (reader, writer), server, self._answers(self) if self._answers else None)
        self._open.add(pair)
        try:
            await pair.run()
        finally:
            self._open.discard(pair)

    def _reset_all(self) -> None:
        for pair in list(self._open):
            pair.abort()

    def allowance(self, length: int) -> int | None:
        """The bytes of a piece that still pass when a cut is due; None when no cut is due."""
        if self._cut_after is None:
            return None
        allowed, self._cut_after = min(self._cut_after, length), self._cut_after - length
        if self._cut_after > 0:
            return None
        self._cut_after = None
        return allowed

    @property
    def delay_seconds(self) -> float:
        return self._delay_seconds


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Pair:
    """A client's connection and the one to the server that belongs to it."""

    def __init__(self, proxy: Proxy, client: Stream, server: Stream, answerer: Answerer | None) -> None:
        self.swallows = False
        self._proxy = proxy
        self._client, self._server = client, server
        self._answerer = answerer

    async def run(self) -> None:
        upwards = asyncio.create_task(self._pump(self._client[0], self._server[1], is_up=True))
        downwards = asyncio.create_task(self._pump(self._server[0], self._client[1], is_up=False))
        await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_COMPLETED)
        for task in (upwards, downwards):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, OSError):
                await task
        for _, writer in (self._client, self._server):
            with contextlib.suppress(OSError):
                writer.close()

    def abort(self) -> None:
        for _, writer in (self._client, self._server):
            _abort(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_up: bool) -> None:
        while data := await reader.read(CHUNK):
            if self._proxy.delay_seconds:
                await asyncio.sleep(self._proxy.delay_seconds)
            if not is_up and self.swallows:
                self._proxy.bytes_swallowed += len(data)
                continue
            if is_up and self._answerer is not None:
                data, reply = self._answerer.process(data)
                if reply:
                    self._client[1].write(reply)
            allowed = self._proxy.allowance(len(data))
            if allowed is not None:
                writer.write(data[:allowed])
                await writer.drain()
                await asyncio.sleep(0.01)  # or the reset would overtake what was still to pass
                self.abort()
                return
            self._proxy.bytes_passed += len(data)
            writer.write(data)
            await writer.drain()


def _abort(writer: asyncio.StreamWriter) -> None:
    raw = writer.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport: Any = writer.transport
    transport.abort()


class Proxies:
    """The thread that all proxies run in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self.opened: dict[str, Proxy] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        for proxy in self.opened.values():
            self._call(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def open(self, name: str, target_port: int, answers: AnswererFactory | None = None) -> Proxy:
        """A new proxy; `answers` makes an answerer for each of its connections."""
        proxy = Proxy(name, target_port, self._loop, answers)
        self._call(proxy.listen())
        self.opened[name] = proxy
        return proxy

    def _call(self, step: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(step, self._loop).result(10)
