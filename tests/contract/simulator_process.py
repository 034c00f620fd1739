"""The simulator as a real process, for tests: started on a free port, always ended."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import requests

from utils.market.clock import MarketClock, parse_market_clock
from utils.market.ist import IST

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60
ANSWER_SECONDS = 60


@dataclass(frozen=True)
class SimulatorProcess:
    """A running simulator: its port, its clock, its token."""

    port: int
    clock: MarketClock
    pid: int
    token: str = "demo-token"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def get(self, path: str, **query: Any) -> requests.Response:
        headers = {"Authorization": f"token key:{self.token}"}
        return requests.get(
            self.http + path, params=query, headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False
        )

    def fault(self, **wanted: Any) -> requests.Response:
        return requests.post(f"{self.http}/simulator/fault", json=wanted, timeout=ANSWER_SECONDS)

    def play(self, **wanted: Any) -> requests.Response:
        return requests.post(f"{self.http}/simulator/play", json=wanted, timeout=ANSWER_SECONDS)

    def status(self) -> dict[str, Any]:
        content: dict[str, Any] = self.get("/simulator/status").json()["data"]
        return content


def clock_text(market_time: str, speed: float) -> str:
    """MARKET_CLOCK for a market time (IST, on 2026-11-20 unless a date is given) that it is now."""
    moment = datetime.fromisoformat(market_time if "T" in market_time else f"2026-11-20T{market_time}")
    return f"{moment.replace(tzinfo=IST).isoformat()}@{speed}@{time.time()}"


@contextmanager
def simulator(
    *options: str,
    at: str = "10:00:00",
    speed: float = 60,
    errors: Path | None = None,
    clock: MarketClock | None = None,
) -> Iterator[SimulatorProcess]:
    """`python -m simulator` with these options; `errors` takes its stderr. A `clock` goes before `at` and `speed`."""
    environment = {**os.environ, "MARKET_CLOCK": str(clock) if clock else clock_text(at, speed)}
    command = [sys.executable, "-m", "simulator", *options]
    stderr = errors.open("wb") if errors else subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=stderr)
    try:
        assert process.stdout is not None
        ready = orjson.loads(process.stdout.readline())
        yield SimulatorProcess(ready["port"], parse_market_clock(ready["market_clock"]), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if errors and not isinstance(stderr, int):
            stderr.close()
