"""The simulator's WebSocket, spoken to byte by byte: heartbeats, answers, switches, recording, pace."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from simulator.exchange import HEARTBEATS_A_REAL_SECOND
from simulator.recording import read_recording
from tests.contract.simulator_process import SimulatorProcess, simulator
from utils.kite.frames import segment_of, split_frame

INDEX, STOCK = 256265, 408065
SECONDS_TO_WAIT = 60.0

Socket = aiohttp.ClientWebSocketResponse


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorProcess]:
    with simulator("--instruments", "60", at="11:00:00", speed=20) as exchange:
        yield exchange


def _talk(exchange: SimulatorProcess, talk: Callable[[Socket], Awaitable[Any]], token: str = "") -> Any:
    async def connected() -> Any:
        url = f"{exchange.ws}/?api_key=key&access_token={token or exchange.token}"
        async with aiohttp.ClientSession() as session, session.ws_connect(url, max_msg_size=1 << 26) as socket:
            return await asyncio.wait_for(talk(socket), 3 * SECONDS_TO_WAIT)

    return asyncio.run(connected())


async def _subscribe(socket: Socket, mode: str, tokens: list[int]) -> None:
    await socket.send_json({"a": "mode", "v": [mode, tokens]})


async def _binary(socket: Socket) -> bytes:
    """The next binary frame."""
    while True:
        message = await socket.receive(SECONDS_TO_WAIT)
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        if message.type is aiohttp.WSMsgType.BINARY:
            return bytes(message.data)


async def _frame(socket: Socket) -> list[bytes]:
    """The packets of the next frame that is no heartbeat."""
    frame = b"\0"
    while len(frame) == 1:
        frame = await _binary(socket)
    return list(split_frame(frame))


async def _for_a_while(socket: Socket, seconds: float) -> list[tuple[float, bytes]]:
    """What comes in a stretch of real time: (arrival, binary frame)."""
    end, found = time.monotonic() + seconds, []
    while time.monotonic() < end:
        try:
            message = await socket.receive(max(end - time.monotonic(), 0.01))
        except TimeoutError:
            break
        if message.type is aiohttp.WSMsgType.BINARY:
            found.append((time.monotonic(), bytes(message.data)))
    return found


async def _binaries(socket: Socket, count: int) -> list[bytes]:
    return [await _binary(socket) for _ in range(count)]


def test_heartbeats_are_one_byte_and_not_too_many(exchange: SimulatorProcess) -> None:
    began = time.monotonic()
    frames = _talk(exchange, lambda socket: _binaries(socket, 30))
    assert set(frames) == {b"\0"}
    assert time.monotonic() - began > (30 - 2) / HEARTBEATS_A_REAL_SECOND


def test_subscribing_alone_is_answered_in_quote_mode(exchange: SimulatorProcess) -> None:
    async def talk(socket: Socket) -> list[bytes]:
        await socket.send_json({"a": "subscribe", "v": [STOCK, INDEX]})
        return await _frame(socket)

    assert sorted(len(packet) for packet in _talk(exchange, talk)) == [28, 44]


@pytest.mark.parametrize(("mode", "lengths"), [("ltp", [8, 8]), ("quote", [28, 44]), ("full", [32, 184])])
def test_a_mode_is_answered_in_that_mode_each_time(exchange: SimulatorProcess, mode: str, lengths: list[int]) -> None:
    async def talk(socket: Socket) -> list[list[bytes]]:
        found = []
        for _ in range(2):
            await _subscribe(socket, mode, [STOCK, INDEX])
            packets = await _frame(socket)
            while len(packets) < 2:
                packets = await _frame(socket)
            found.append(packets)
        return found

    for packets in _talk(exchange, talk):
        assert sorted(len(packet) for packet in packets) == lengths


def test_the_answer_before_the_open_is_yesterday_s(tmp_path: Path) -> None:
    async def talk(socket: Socket) -> list[bytes]:
        await _subscribe(socket, "full", [STOCK])
        return await _frame(socket)

    with simulator("--instruments", "60", at="08:45:00", speed=1) as early:
        (packet,) = _talk(early, talk)
    midnight_s = 1795113000  # 2026-11-20T00:00:00+05:30
    assert midnight_s - 86_400 < int.from_bytes(packet[44:48], "big") < midnight_s
    assert int.from_bytes(packet[16:20], "big") > 0


def test_an_order_update_comes_on_every_socket_subscribed_or_not() -> None:
    async def order(socket: Socket) -> dict[str, Any]:
        while True:
            message = await socket.receive(SECONDS_TO_WAIT)
            if message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] == "order":
                return dict(json.loads(message.data)["data"])

    async def both(exchange: SimulatorProcess) -> list[dict[str, Any]]:
        url = f"{exchange.ws}/?api_key=key&access_token={exchange.token}"
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url) as first,
            session.ws_connect(url) as second,
        ):
            await _subscribe(second, "full", [STOCK])
            return list(await asyncio.gather(order(first), order(second)))

    with simulator("--instruments", "60", at="11:00:00", speed=60) as exchange:
        first, second = asyncio.run(both(exchange))
    assert first == second
    assert first["order_id"]


def test_strings_for_tokens_bring_heartbeats_only(exchange: SimulatorProcess) -> None:
    async def talk(socket: Socket) -> list[bytes]:
        await socket.send_json({"a": "mode", "v": ["full", [str(STOCK)]]})
        await socket.send_str("not even JSON")
        return await _binaries(socket, 20)

    assert set(_talk(exchange, talk)) == {b"\0"}


def test_after_unsubscribing_nothing_comes(exchange: SimulatorProcess) -> None:
    async def talk(socket: Socket) -> list[bytes]:
        await _subscribe(socket, "full", [INDEX])
        for _ in range(3):
            await _frame(socket)
        await socket.send_json({"a": "unsubscribe", "v": [INDEX]})
        await _subscribe(socket, "ltp", [STOCK])
        while _tokens(await _frame(socket)) != {STOCK}:  # its answer: what was asked before is done
            pass
        await socket.send_json({"a": "unsubscribe", "v": [STOCK]})
        return await _binaries(socket, 60)

    frames = _talk(exchange, talk)
    assert all(INDEX not in _tokens(split_frame(frame)) for frame in frames if len(frame) > 1)
    assert b"\0" in frames


def _tokens(packets: Iterable[bytes]) -> set[int]:
    return {int.from_bytes(packet[:4], "big") for packet in packets}


def test_more_than_3000_are_refused_with_a_message() -> None:
    async def talk(socket: Socket) -> tuple[str, int]:
        await _subscribe(socket, "ltp", tokens)
        message = await socket.receive(SECONDS_TO_WAIT)
        while message.type is not aiohttp.WSMsgType.TEXT:
            message = await socket.receive(SECONDS_TO_WAIT)
        return str(message.data), len(await _frame(socket))

    with simulator("--instruments", "3100", at="08:30:00", speed=1) as large:
        lines = large.get("/instruments").text.splitlines()[1:]
        tokens = [int(line.split(",")[0]) for line in lines]
        text, answered = _talk(large, talk)
    error = json.loads(text)
    assert error["type"] == "error"
    assert "3000" in error["data"]
    assert answered == 3000


def test_a_drop_ends_the_connection_without_a_word(exchange: SimulatorProcess) -> None:
    async def talk(socket: Socket) -> int | None:
        await _binary(socket)
        await asyncio.to_thread(exchange.fault, name="drop")
        async for _ in socket:
            pass
        return socket.close_code

    assert _talk(exchange, talk) == 1006


def test_an_expired_token_is_refused_until_a_new_one_is_good() -> None:
    with simulator("--instruments", "5") as exchange:
        assert exchange.get("/user/profile").status_code == 200
        exchange.fault(name="expire")
        assert exchange.get("/user/profile").status_code == 403
        with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
            _talk(exchange, _binary)
        exchange.fault(name="accept", token="fresh")
        assert _talk(exchange, _binary, token="fresh")
        assert exchange.status()["faults"] == {"expire": 1, "accept": 1}


def test_a_wrong_switch_is_explained(exchange: SimulatorProcess) -> None:
    answer = exchange.fault(name="explode")
    assert answer.status_code == 400
    assert "none of stall, drop, expire, accept" in answer.json()["message"]


def test_the_recording_is_what_was_received(tmp_path: Path) -> None:
    async def talk(socket: Socket) -> list[bytes]:
        await _subscribe(socket, "full", [INDEX, STOCK])
        return await _binaries(socket, 250)

    options = ("--instruments", "60", "--record", str(tmp_path), "--faults", "all")
    with simulator(*options, at="11:00:00", speed=100) as exchange:
        received = _talk(exchange, talk)
        started_ms = exchange.clock.market_ms
    recorded = read_recording(tmp_path / "sent-1.frames")
    assert [frame for _, frame in recorded][: len(received)] == received
    times = [market_ms for market_ms, _ in recorded]
    assert times == sorted(times)
    assert times[0] >= started_ms
    facts = json.loads((tmp_path / "sent-1.json").read_text())
    assert [(subscription["mode"], sorted(subscription["tokens"])) for subscription in facts["subscribes"]] == [
        ("full", [INDEX, STOCK])
    ]
    listed = json.loads((tmp_path / "universe.json").read_text())
    assert {instrument["token"] for instrument in listed} >= {INDEX, STOCK}
    assert len(listed) == 60


def test_two_hundred_instruments_at_two_hundred_times_real_speed() -> None:
    """Each second's packets come, in order; how far behind is logged and not hidden."""

    async def talk(socket: Socket) -> list[bytes]:
        await _subscribe(socket, "full", tokens)
        await _frame(socket)
        return [packet for _ in range(600) for packet in await _frame(socket)]

    with simulator("--instruments", "200", at="10:00:00", speed=200) as fast:
        lines = fast.get("/instruments").text.splitlines()[1:]
        tokens = [int(line.split(",")[0]) for line in lines]
        packets = _talk(fast, talk)
        status = fast.status()
    of_index = [p for p in packets if int.from_bytes(p[:4], "big") == INDEX]
    seconds = [int.from_bytes(packet[28:32], "big") for packet in of_index]
    assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
    assert len(seconds) > 200
    assert len({int.from_bytes(p[:4], "big") for p in packets}) > 150
    assert len({segment_of(int.from_bytes(p[:4], "big")) for p in packets}) >= 5
    assert status["worst_lag_ms"] >= status["lag_ms"]
