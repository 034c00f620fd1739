"""Zerodha's own clients, unmodified and from another process, against the simulator."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.tape import Tape
from simulator.universe import build_universe
from tests.contract.simulator_process import ROOT, SimulatorProcess, simulator
from utils.market.sessions import SessionCalendar

SCRIPT = Path(__file__).with_name("official_clients.py")
INDEX, STOCK, SMALL, RUPEE = 256265, 408065, 13081 * 256 + 1, 2000 * 256 + 3
SEED = 4
ALL_OF_INDEX = ('{"full": [256265]}', '{"256265": 1000000}')  # until it is ended


def _run(*arguments: str) -> dict[str, Any]:
    environment = {**os.environ, "TZ": "UTC"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorProcess]:
    with simulator("--instruments", "100", "--seed", str(SEED), at="10:29:00", speed=30) as exchange:
        yield exchange


@pytest.fixture(scope="module")
def rest(exchange: SimulatorProcess) -> dict[str, Any]:
    return _run("rest", str(exchange.port))


@pytest.fixture(scope="module")
def ticks(exchange: SimulatorProcess) -> dict[str, Any]:
    modes = {"full": [INDEX, STOCK, RUPEE], "quote": [SMALL, 260105], "ltp": [738561, 15083 * 256 + 1]}
    wanted = {INDEX: 110, STOCK: 30, RUPEE: 15, SMALL: 4, 260105: 110, 738561: 10}
    return _run("ticker", str(exchange.port), "demo-token", json.dumps(modes), json.dumps(wanted))


@pytest.fixture(scope="module")
def tape() -> Tape:
    calendar, day = SessionCalendar.load(), date(2026, 11, 20)
    return Tape(build_universe(100, SEED, calendar, day), calendar, day)


def test_session_and_profile(rest: dict[str, Any]) -> None:
    assert rest["refused"].startswith("403")
    assert rest["session"]["access_token"] == "demo-token"
    assert rest["profile"]["user_id"] == rest["session"]["user_id"] == "DEMO01"


def test_instruments(rest: dict[str, Any], tape: Tape) -> None:
    by_symbol = {f"{row['exchange']}:{row['tradingsymbol']}": row for row in rest["instruments"]}
    assert {instrument.symbol for instrument in tape.universe.instruments} <= set(by_symbol)
    assert by_symbol["NSE:INFY"]["instrument_token"] == STOCK
    assert by_symbol["NFO:INFY26NOVFUT"]["expiry"] == "2026-11-23"
    assert {row["exchange"] for row in rest["nfo"]} == {"NFO"}


def test_history(rest: dict[str, Any], tape: Tape) -> None:
    minutes = rest["minute"]
    row = tape.universe.row_of_token()[STOCK]
    trades = tape.full_day(row)
    first_minute = [
        t for t in zip(trades.ms, trades.price, trades.quantity, strict=True) if 0 <= t[0] - 1795146300000 < 60_000
    ]
    today = next(minute for minute in minutes if minute["date"].startswith("2026-11-20 09:15"))
    prices = [price for _, price, _ in first_minute]
    expected = [prices[0], max(prices), min(prices), prices[-1]]
    assert [round(today[name] * 100) for name in ("open", "high", "low", "close")] == expected
    assert today["volume"] == sum(quantity for _, _, quantity in first_minute)
    assert minutes[0]["date"] == "2026-11-19 09:15:00+05:30"
    assert all(minute["low"] <= minute["open"] <= minute["high"] for minute in minutes)
    assert [record["date"][:10] for record in rest["day"]][-2:] == ["2026-11-19", "2026-11-20"]
    assert all("oi" in record for record in rest["day"])
    assert rest["too long"].startswith("400")
    assert rest["too often"].startswith("429")


def test_quotes(rest: dict[str, Any], tape: Tape) -> None:
    prices = _prices(tape, STOCK)
    quote = rest["quote"]["NSE:INFY"]
    assert round(quote["last_price"] * 100) in prices
    assert quote["depth"]["buy"][0]["price"] < quote["depth"]["sell"][0]["price"]
    assert quote["ohlc"]["low"] <= quote["last_price"] <= quote["ohlc"]["high"]
    assert rest["quote"]["NSE:NIFTY 50"]["instrument_token"] == INDEX
    assert set(rest["ohlc"]["NSE:INFY"]) == {"instrument_token", "last_price", "ohlc"}
    assert round(rest["ltp"]["NSE:INFY"]["last_price"] * 100) in prices


def _prices(tape: Tape, token: int) -> set[int]:
    return set(tape.full_day(tape.universe.row_of_token()[token]).price.tolist())


def _of(ticks: dict[str, Any], token: int, mode: str) -> list[dict[str, Any]]:
    return [tick for tick in ticks["ticks"] if tick["instrument_token"] == token and tick["mode"] == mode]


def _traded(tape: Tape, token: int, until_ms: int) -> tuple[int, int, int]:
    """(last price, volume, last trade's second) of the trades before `until_ms`, added up one by one."""
    price = volume = last_s = 0
    trades = tape.full_day(tape.universe.row_of_token()[token])
    for ms, trade_price, quantity in zip(
        trades.ms.tolist(), trades.price.tolist(), trades.quantity.tolist(), strict=True
    ):
        if ms < until_ms:
            price, volume, last_s = trade_price, volume + quantity, ms // 1000
    return price, volume, last_s


def _ranges(prices: list[int]) -> list[tuple[int, int]]:
    """(low, high) before the first trade, after the first, and so on."""
    return [(min(prices[:count], default=0), max(prices[:count], default=0)) for count in range(len(prices) + 1)]


@pytest.mark.parametrize(("token", "divisor"), [(STOCK, 100), (RUPEE, 10_000_000)])
def test_full_ticks_are_the_tape(ticks: dict[str, Any], tape: Tape, token: int, divisor: int) -> None:
    """Volume and trade time are those after some trade, the price is that trade's or comes before its volume, and the
    day range is of this tick or a little older: a trade behind, or as in the tick before."""
    full = _of(ticks, token, "full")
    assert len(full) > 10
    trades = tape.full_day(tape.universe.row_of_token()[token])
    volumes, prices, times = np.cumsum(trades.quantity).tolist(), trades.price.tolist(), trades.ms.tolist()
    ranges, before, leading = _ranges(prices), volumes.index(full[0]["volume_traded"]) + 1, 0
    for tick in full[1:]:
        second, price = tick["exchange_timestamp"], round(tick["last_price"] * divisor)
        sent = volumes.index(tick["volume_traded"]) + 1
        assert tick["last_trade_time"] == times[sent - 1] // 1000 <= second
        assert sent == len(times) or times[sent] >= (second - 8) * 1000, "a trade is sent within 8 s"
        coming = [
            seen_price for seen_price, ms in zip(prices[sent:], times[sent:], strict=True) if ms < (second + 1) * 1000
        ]
        assert price == prices[sent - 1] or (sent == before and price in coming)
        leading += price != prices[sent - 1]
        shown = tuple(round(tick["ohlc"][name] * divisor) for name in ("low", "high"))
        assert shown in {ranges[sent], ranges[sent - 1], ranges[before]}
        assert tick["depth"]["buy"][0]["price"] < tick["depth"]["sell"][0]["price"]
        before = sent
    assert leading < len(full) / 4


def test_index_ticks_are_the_tape(ticks: dict[str, Any], tape: Tape) -> None:
    full = _of(ticks, INDEX, "full")
    seconds = [tick["exchange_timestamp"] for tick in full]
    assert len(seconds) > 100
    assert seconds[1:] == list(range(seconds[1], seconds[1] + len(seconds) - 1)), "one each second"
    for tick in full:
        assert round(tick["last_price"] * 100) == _traded(tape, INDEX, tick["exchange_timestamp"] * 1000 + 1000)[0]


def test_quote_and_ltp_ticks(ticks: dict[str, Any], tape: Tape) -> None:
    quotes = _of(ticks, SMALL, "quote")
    assert len(quotes) > 2
    assert all(later["volume_traded"] >= tick["volume_traded"] for tick, later in pairwise(quotes))
    assert {round(tick["last_price"] * 100) for tick in quotes} <= _prices(tape, SMALL)
    assert "depth" not in quotes[0]
    assert len(_of(ticks, 260105, "quote")) > 100
    assert {round(tick["last_price"] * 100) for tick in _of(ticks, 738561, "ltp")} <= _prices(tape, 738561)


def test_each_subscription_is_answered_at_once(ticks: dict[str, Any]) -> None:
    first = ticks["ticks"][:2]
    assert {tick["instrument_token"] for tick in ticks["ticks"][:3]} == {INDEX, STOCK, RUPEE}
    assert {tick["mode"] for tick in first} == {"quote"}, "subscribing alone is quote mode"


def test_text_messages(ticks: dict[str, Any]) -> None:
    assert {order["status"] for order in ticks["orders"]} == {"COMPLETE"}
    assert any(json.loads(text)["type"] == "message" for text in ticks["messages"])


def test_a_bad_token_is_403(exchange: SimulatorProcess) -> None:
    found = _run("ticker", str(exchange.port), "wrong-token", *ALL_OF_INDEX)
    assert found["ticks"] == []
    assert "403" in found["closes"][0][1]


def test_a_fourth_connection_is_429(exchange: SimulatorProcess) -> None:
    arguments = [sys.executable, str(SCRIPT), "ticker", str(exchange.port), "demo-token", *ALL_OF_INDEX]
    three = [
        subprocess.Popen(arguments, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(3)
    ]
    try:
        _wait_for_connections(exchange, 3)
        found = _run("ticker", str(exchange.port), "demo-token", *ALL_OF_INDEX)
        assert "429" in found["closes"][0][1]
    finally:
        for process in three:
            process.kill()
            process.wait()
    _wait_for_connections(exchange, 0)


def _wait_for_connections(exchange: SimulatorProcess, how_many: int) -> None:
    deadline = time.monotonic() + 90
    while exchange.status()["connections"] != how_many:
        assert time.monotonic() < deadline, f"there were never {how_many} connections"
        time.sleep(0.05)
