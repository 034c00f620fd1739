"""What the simulator's REST answers beyond what the official client can show: refusals, limits, login, start."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.contract.simulator_process import ANSWER_SECONDS, ROOT, SimulatorProcess, simulator
from utils.market.instruments import parse_dump

HISTORY = "/instruments/historical/408065"


@pytest.fixture(scope="module")
def exchange() -> Iterator[SimulatorProcess]:
    unlimited = ("--history-per-second", "1000", "--others-per-second", "1000")
    with simulator("--instruments", "60", *unlimited, at="11:00:00", speed=1) as exchange:
        yield exchange


def _post_session(exchange: SimulatorProcess, request_token: str, secret: str) -> requests.Response:
    checksum = hashlib.sha256(f"key{request_token}{secret}".encode()).hexdigest()
    form = {"api_key": "key", "request_token": request_token, "checksum": checksum}
    return requests.post(f"{exchange.http}/session/token", data=form, timeout=ANSWER_SECONDS)


def test_the_login_page_redirects_with_a_request_token(exchange: SimulatorProcess) -> None:
    answer = exchange.get("/connect/login", v=3, api_key="key")
    assert answer.status_code == 302
    assert "request_token=demo-request" in answer.headers["Location"]
    assert _post_session(exchange, "demo-request", "demo-secret").json()["data"]["access_token"] == "demo-token"


@pytest.mark.parametrize(("request_token", "secret"), [("demo-request", "wrong"), ("other", "demo-secret")])
def test_a_wrong_secret_or_request_token_gives_no_token(
    exchange: SimulatorProcess, request_token: str, secret: str
) -> None:
    answer = _post_session(exchange, request_token, secret)
    assert answer.status_code == 403
    assert answer.json()["error_type"] == "TokenException"
    assert "demo-token" not in answer.text


@pytest.mark.parametrize("path", ["/user/profile", "/quote", f"{HISTORY}/day"])
def test_without_a_token_nothing_private_is_shown(exchange: SimulatorProcess, path: str) -> None:
    answer = requests.get(exchange.http + path, headers={"Authorization": "token key:stale"}, timeout=ANSWER_SECONDS)
    assert answer.status_code == 403
    assert answer.json()["error_type"] == "TokenException"


def test_instruments_need_no_token_and_come_gzipped(exchange: SimulatorProcess) -> None:
    with requests.get(f"{exchange.http}/instruments", timeout=ANSWER_SECONDS, stream=True) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Type"].startswith("text/csv")
        assert len(parse_dump(gzip.decompress(answer.raw.read()))) >= 60


@pytest.mark.parametrize(
    ("path", "query", "sentence"),
    [
        (f"{HISTORY}/2minute", {"from": "2026-11-19", "to": "2026-11-20"}, "interval"),
        ("/instruments/historical/77/minute", {"from": "2026-11-19", "to": "2026-11-20"}, "token"),
        (f"{HISTORY}/minute", {"from": "yesterday", "to": "2026-11-20"}, "from"),
        (f"{HISTORY}/minute", {"from": "2026-11-20", "to": "2026-11-19"}, "after"),
        (f"{HISTORY}/minute", {"from": "2026-08-01", "to": "2026-11-20"}, "60 days"),
        (f"{HISTORY}/60minute", {"from": "2025-08-01", "to": "2026-11-20"}, "400 days"),
        (f"{HISTORY}/day", {"from": "2019-08-01", "to": "2026-11-20"}, "2000 days"),
    ],
)
def test_bad_requests_are_input_exceptions(
    exchange: SimulatorProcess, path: str, query: dict[str, str], sentence: str
) -> None:
    answer = exchange.get(path, **query)
    assert answer.status_code == 400
    assert answer.json()["error_type"] == "InputException"
    assert sentence in answer.json()["message"]


def test_history_goes_far_back(exchange: SimulatorProcess) -> None:
    for token in (408065, 738561, 256265):
        for interval, start in (("minute", "2026-10-01"), ("60minute", "2026-01-01"), ("day", "2023-01-01")):
            path = f"/instruments/historical/{token}/{interval}"
            rows = exchange.get(path, **{"from": start, "to": "2026-11-20 23:00:00", "oi": 1}).json()["data"][
                "candles"
            ]
            assert len(rows) > 500
            assert {len(row) for row in rows} == {7}


def test_the_broker_s_limits() -> None:
    with simulator("--instruments", "5", speed=1) as exchange:
        query = {"from": "2026-11-20 09:15:00", "to": "2026-11-20 09:16:00"}
        refused = _burst(lambda: exchange.get(f"{HISTORY}/minute", **query), 3)
        assert refused.json()["error_type"] == "NetworkException"
        _burst(lambda: exchange.get("/quote/ltp", i="NSE:INFY"), 1)
        _burst(lambda: exchange.get("/user/profile"), 10)


def _burst(ask: Callable[[], requests.Response], a_second: int) -> requests.Response:
    """Asks with many threads at once until one is refused: no more than allowed are answered. Returns a refusal.

    A slow machine may need several goes to be too fast for the limit; each allows more only as real time passes.
    """
    began, answers = time.monotonic(), list[requests.Response]()
    with ThreadPoolExecutor(max_workers=12) as pool:
        while not any(answer.status_code == 429 for answer in answers):
            assert time.monotonic() - began < ANSWER_SECONDS, f"none of {len(answers)} was refused"
            answers += pool.map(lambda _: ask(), range(60))
    allowed = a_second * (1 + math.ceil(time.monotonic() - began))
    codes = [answer.status_code for answer in answers]
    assert set(codes) == {200, 429}
    assert codes.count(200) <= allowed, f"{codes.count(200)} were answered, {allowed} allowed"
    return next(answer for answer in answers if answer.status_code == 429)


def test_only_the_named_api_key_comes_in() -> None:
    with simulator("--instruments", "5", "--api-key", "mine") as exchange:
        headers = {"Authorization": "token other:demo-token"}
        assert (
            requests.get(f"{exchange.http}/user/profile", headers=headers, timeout=ANSWER_SECONDS).status_code == 403
        )
        headers = {"Authorization": "token mine:demo-token"}
        assert (
            requests.get(f"{exchange.http}/user/profile", headers=headers, timeout=ANSWER_SECONDS).status_code == 200
        )


def test_the_status_shows_time_and_lag(exchange: SimulatorProcess) -> None:
    status = exchange.status()
    assert status["market_time"].startswith("2026-11-20T11:")
    assert {"frames", "packets", "lag_ms", "worst_lag_ms", "faults", "connections"} <= set(status)


def _refused_start(*options: str, clock: str = "") -> tuple[int, str]:
    environment = {**os.environ, "MARKET_CLOCK": clock}
    command = [sys.executable, "-m", "simulator", *options]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("options", "clock", "sentence"),
    [
        (("--faults", "rain"), "", "'rain' is no fault"),
        (("--instruments", "3"), "", "5 to 27000"),
        (("--session", "someday"), "", "someday"),
        ((), "noon", "'noon' is not"),
    ],
)
def test_a_wrong_option_is_one_sentence_and_exit_2(options: tuple[str, ...], clock: str, sentence: str) -> None:
    code, shown = _refused_start(*options, clock=clock)
    assert code == 2
    assert sentence in shown
    assert len(shown.splitlines()) == 1


def test_a_taken_port_is_one_sentence(exchange: SimulatorProcess) -> None:
    code, shown = _refused_start("--port", str(exchange.port), "--instruments", "5")
    assert code == 1
    assert f"port {exchange.port} cannot be opened" in shown
    assert "Traceback" not in shown


def test_it_prints_its_seed_first_and_its_lag_last(tmp_path: Path) -> None:
    errors = tmp_path / "stderr"
    with simulator("--instruments", "5", "--seed", "99", errors=errors):
        pass
    lines = errors.read_text().splitlines()
    assert "seed 99" in lines[0]
    assert '"worst_lag_ms"' in lines[-1]
