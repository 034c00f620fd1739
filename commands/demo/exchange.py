"""The simulator as a process of its own, asked over HTTP like the broker."""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import requests

from commands.demo.plan import DemoPlan
from commands.shared.child_process import ChildProcess, StartError
from commands.shared.run_environment import RunPlace
from utils.market.instruments import Instrument, parse_dump

READY_SECONDS = 240.0
ORDER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Exchange:
    """A running simulator."""

    process: ChildProcess
    port: int

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def play(self, until_ms: int, speed: float) -> None:
        """Steps on to `until_ms` (epoch ms of market time), `speed` times real time at most. RequestException."""
        order = {"until_ms": until_ms, "speed": speed}
        requests.post(f"{self.api_url}/simulator/play", json=order, timeout=ORDER_SECONDS).raise_for_status()

    def instruments(self) -> list[Instrument]:
        """Its whole universe, from `/instruments`."""
        answer = requests.get(f"{self.api_url}/instruments", timeout=30)
        answer.raise_for_status()
        return parse_dump(answer.content)


def start_exchange(
    plan: DemoPlan, place: RunPlace, environment: Mapping[str, str], record: Path | None
) -> ChildProcess:
    """Starts it; `wait_for_exchange` returns when the exchange answers."""
    options = ["--port", "0", "--session", str(plan.session), "--instruments", str(plan.instruments)]
    options += ["--seed", str(plan.seed), "--faults", plan.faults]
    if record is not None:
        options += ["--record", str(record)]
    place.work.mkdir(parents=True, exist_ok=True)
    return ChildProcess(
        "simulator",
        [sys.executable, "-m", "simulator", *options],
        log_path=place.logs / "simulator.out",
        environment=environment,
        directory=place.work,
        pipe_stdout=True,
    )


def wait_for_exchange(process: ChildProcess) -> Exchange:
    """Reads the line `{"port": N}` that the simulator prints when it is ready. StartError when it does not come."""
    line = _first_line(process, READY_SECONDS)
    try:
        return Exchange(process, int(json.loads(line)["port"]))
    except (ValueError, KeyError, TypeError):
        raise StartError(f"The simulator printed no port but {line[:200]!r}: {process.last_lines()}") from None


def _first_line(process: ChildProcess, seconds: float) -> str:
    stdout = process.popen.stdout
    assert stdout is not None
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if select.select([stdout], [], [], 0.2)[0]:
            line = stdout.readline().decode(errors="replace")
            if not line:
                raise StartError(f"The simulator ended before it was ready: {process.last_lines()}")
            if line.strip():
                return line
    raise StartError(f"The simulator was not ready within {seconds:g} s: {process.last_lines()}")
