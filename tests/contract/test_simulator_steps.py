"""A stepped exchange: its clock stands until an order comes, and continues when everyone took what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.contract.simulator_process import SimulatorProcess, simulator
from utils.market.clock import SteppedClock, new_stepped_clock

TEN_IST_MS = 1_795_149_000_000  # 2026-11-20 10:00 IST
TOKENS = [256265, 408065]
SECONDS_TO_WAIT = 120.0

Socket = aiohttp.ClientWebSocketResponse


@dataclass(frozen=True)
class Stepped:
    """A running exchange and the clock that it steps."""

    exchange: SimulatorProcess
    clock: SteppedClock


@pytest.fixture
def stepped(tmp_path: Path) -> Iterator[Stepped]:
    clock = new_stepped_clock(tmp_path / "clock", TEN_IST_MS)
    with simulator("--instruments", "20", clock=clock) as exchange:
        yield Stepped(exchange, clock)


@asynccontextmanager
async def subscribed(stepped: Stepped) -> AsyncIterator[Socket]:
    """A client that has its cached packets; it answers pings as long as it reads."""
    url = f"{stepped.exchange.ws}/?api_key=key&access_token={stepped.exchange.token}"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json({"a": "mode", "v": ["full", TOKENS]})
        assert len(await next_frame(socket)) > 1
        yield socket


async def next_frame(socket: Socket) -> bytes:
    return bytes(await socket.receive_bytes(timeout=SECONDS_TO_WAIT))


async def order(stepped: Stepped, until_ms: int) -> None:
    answer = await asyncio.to_thread(stepped.exchange.play, until_ms=until_ms)
    assert answer.status_code == 200, answer.text


async def received_until(stepped: Stepped, socket: Socket, until_ms: int) -> list[tuple[int, bytes]]:
    """(market time at receipt, frame), up to the heartbeat of `until_ms`, a whole second."""
    found: list[tuple[int, bytes]] = []
    while not (found and found[-1] == (until_ms, b"\0")):
        frame = await next_frame(socket)
        found.append((stepped.clock.now_ms(), frame))
    return found


async def played(stepped: Stepped, *orders_ms: int) -> list[tuple[int, bytes]]:
    """What a client receives while it is played to each of these in turn, the last one a whole second."""
    async with subscribed(stepped) as socket:
        reading = asyncio.create_task(received_until(stepped, socket, orders_ms[-1]))
        for until_ms in orders_ms:
            await order(stepped, until_ms)
            while stepped.clock.now_ms() < until_ms:
                await asyncio.sleep(0)
        return await reading


def test_the_clock_stands_until_an_order_and_after_it(stepped: Stepped) -> None:
    assert stepped.exchange.status()["market_ms"] == stepped.clock.now_ms() == TEN_IST_MS
    asyncio.run(played(stepped, TEN_IST_MS + 5_000))
    assert stepped.exchange.status()["market_ms"] == stepped.clock.now_ms() == TEN_IST_MS + 5_000


def test_a_frame_is_received_at_the_market_time_of_its_sending(stepped: Stepped) -> None:
    received = asyncio.run(played(stepped, TEN_IST_MS + 60_000))
    beats = [at_ms for at_ms, frame in received if len(frame) == 1]
    assert beats == list(range(TEN_IST_MS + 1_000, TEN_IST_MS + 61_000, 1_000))
    assert len([frame for _, frame in received if len(frame) > 1]) > 40


def test_one_order_or_many_make_the_same_day(tmp_path: Path) -> None:
    days = []
    for name, orders_ms in (("one", [60_000]), ("many", [1, 900, 17_000, 17_001, 60_000])):
        clock = new_stepped_clock(tmp_path / name, TEN_IST_MS)
        with simulator("--instruments", "20", clock=clock) as exchange:
            days.append(asyncio.run(played(Stepped(exchange, clock), *(TEN_IST_MS + ms for ms in orders_ms))))
    assert days[0] == days[1]


def test_a_client_that_does_not_read_holds_the_market(stepped: Stepped) -> None:
    async def talk() -> tuple[int, list[tuple[int, bytes]]]:
        async with subscribed(stepped) as socket:
            await order(stepped, TEN_IST_MS + 10_000)
            await asyncio.to_thread(stepped.exchange.status)  # a moment in which a market that runs would continue
            stood_at_ms = stepped.clock.now_ms()
            return stood_at_ms, await received_until(stepped, socket, TEN_IST_MS + 10_000)

    stood_at_ms, received = asyncio.run(talk())
    assert stood_at_ms <= TEN_IST_MS + 1_000, "the market went on without the client"
    assert received[-1][0] == TEN_IST_MS + 10_000


def test_a_stall_silences_open_connections_and_no_others(stepped: Stepped) -> None:
    end_ms = TEN_IST_MS + 90_000

    async def talk() -> list[list[tuple[int, bytes]]]:
        async with subscribed(stepped) as frozen:
            answer = await asyncio.to_thread(stepped.exchange.fault, name="stall", seconds=60)
            assert answer.status_code == 200, answer.text
            async with subscribed(stepped) as fresh:
                both = asyncio.gather(*(received_until(stepped, socket, end_ms) for socket in (frozen, fresh)))
                await order(stepped, end_ms)
                return await both

    of_frozen, of_fresh = asyncio.run(talk())
    beats = [[at_ms for at_ms, frame in received if frame == b"\0"] for received in (of_frozen, of_fresh)]
    assert beats[1] == list(range(TEN_IST_MS + 1_000, end_ms + 1, 1_000))
    assert beats[0] == [at_ms for at_ms in beats[1] if at_ms >= TEN_IST_MS + 60_000]
    assert min(at_ms for at_ms, _ in of_frozen) >= TEN_IST_MS + 60_000
    assert [len(frame) > 1 for _, frame in of_frozen].count(True) > 10, "packets come again"


def test_an_exchange_whose_clock_runs_refuses_orders() -> None:
    with simulator("--instruments", "20") as exchange:
        answer = exchange.play(until_ms=TEN_IST_MS)
    assert answer.status_code == 400
    assert "MARKET_CLOCK is not stepped" in answer.json()["message"]


@pytest.mark.parametrize("wanted", [{}, {"until_ms": "soon"}, {"until_ms": TEN_IST_MS, "speed": -1}])
def test_an_order_that_cannot_be_played_is_refused(stepped: Stepped, wanted: dict[str, object]) -> None:
    answer = stepped.exchange.play(**wanted)
    assert answer.status_code == 400
    assert "cannot be played" in answer.json()["message"]
