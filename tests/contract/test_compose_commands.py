"""Each process's command and health check of docker-compose.yml, run as they stand there, without containers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from commands.shared.child_process import ChildProcess
from tests.shared.compose_file import LIVE_PROCESSES, REPO, filled_in, services
from tests.shared.guarded_valkey import GuardedValkey, guarded_valkey, passwords
from tests.shared.servers import mongo_server
from utils.keys import Keys
from utils.market.clock import MarketClock, parse_market_clock

HEALTHY_SECONDS = 200.0
UNHEALTHY_SECONDS = 120.0
REPORT_LASTS_MS, GONE = 15_000, -2  # GONE: what PTTL answers for a key that is not there
SPEED = 10.0  # the first candle comes in half a second, not in five
MID_SESSION = parse_market_clock("2026-11-20T11:00:00+05:30@1@0").market_ms

Environment = dict[str, str]

pytestmark = pytest.mark.in_order


def plain_environment(**more: str) -> Environment:
    """Ours without any setting of Candlewick, which a developer's shell may hold."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "NUMBA_CACHE_DIR") if name in os.environ}
    return {**kept, "PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1", **more}


def as_plain_command(command: Sequence[str]) -> list[str]:
    """`python script.py …` as the image would run it from /app: this interpreter, the script by its full path."""
    assert command[0] == "python"
    return [sys.executable, str(REPO / command[1]), *command[2:]]


@dataclass
class Stack:
    """The three processes with the environments of the compose file, between the test's servers and its exchange."""

    directory: Path
    valkey: GuardedValkey
    mongo_port: int
    exchange: ChildProcess
    exchange_port: int
    clock: MarketClock
    running: dict[str, ChildProcess]

    def environment_of(self, name: str) -> Environment:
        """As in the compose file, but for what only exists between containers: host names, /data, MongoDB's users."""
        stated = services()[name]["environment"]
        ours = {key: filled_in(str(value), passwords()) for key, value in stated.items()}
        ours["REDIS_URL"] = ours["REDIS_URL"].replace("@redis:6379", f"@127.0.0.1:{self.valkey.port}")
        ours["MONGO_URL"] = f"mongodb://127.0.0.1:{self.mongo_port}"
        with_broker = {} if name == "candle-worker" else {"API_KEY": "key", "ACCESS_TOKEN": "demo-token"}
        moved = {key: re.sub(r"^/data\b", str(self.directory / "data"), value) for key, value in ours.items()}
        return plain_environment(
            **{**moved, **with_broker},
            INSTRUMENTS="NSE:NIFTY 50,NSE:INFY,NSE:RELIANCE",
            TIMEFRAMES="5s,1m",
            KITE_API_URL=f"http://127.0.0.1:{self.exchange_port}",
            KITE_WS_URL=f"ws://127.0.0.1:{self.exchange_port}",
            MARKET_CLOCK=str(self.clock),
        )

    def start(self, name: str) -> None:
        self.running[name] = ChildProcess(
            name,
            as_plain_command(services()[name]["command"]),
            log_path=self.directory / f"{name}.out",
            environment=self.environment_of(name),
            directory=self.directory,
        )

    def ask_health(self, name: str) -> subprocess.CompletedProcess[str]:
        """One run of the service's health check. One that takes longer than the compose file gives it leaves with
        124: Docker would call the container unhealthy, and ask again.
        """
        check = services()[name]["healthcheck"]
        command = as_plain_command(check["test"][1:])
        try:
            return subprocess.run(
                command,
                env=self.environment_of(name),
                cwd=self.directory,
                capture_output=True,
                text=True,
                timeout=float(check["timeout"].removesuffix("s")),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", "no answer in time")

    def await_health(self, name: str, exit_code: int, seconds: float) -> str:
        """Polls the health check until it leaves with `exit_code`; returns what it printed."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self.ask_health(name)
            logged = answer.stdout + answer.stderr
            if answer.returncode == exit_code:
                return logged
            process = self.running.get(name)
            wrote = process.last_lines() if process else ""
            assert time.monotonic() < deadline, (
                f"{name}: exit {answer.returncode} after {seconds:g} s\n{logged}\n{wrote}"
            )
            time.sleep(0.5)


def start_exchange(directory: Path, clock: MarketClock) -> tuple[ChildProcess, int]:
    exchange = ChildProcess(
        "simulator",
        [sys.executable, "-m", "simulator", "--instruments", "60", "--seed", "7", "--faults", "none"],
        log_path=directory / "simulator.out",
        environment=plain_environment(MARKET_CLOCK=str(clock)),
        directory=directory,
        pipe_stdout=True,
    )
    assert exchange.popen.stdout is not None
    line = exchange.popen.stdout.readline()
    assert line, exchange.last_lines()
    return exchange, int(json.loads(line)["port"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    directory = tmp_path_factory.mktemp("compose")
    clock = MarketClock(MID_SESSION, SPEED, time.time_ns() // 1_000_000)
    with ExitStack() as ending:
        valkey = ending.enter_context(guarded_valkey(directory))
        mongo = ending.enter_context(mongo_server(directory))
        exchange, port = start_exchange(directory, clock)
        ending.callback(exchange.end)
        running: dict[str, ChildProcess] = {}
        ending.callback(lambda: [process.end() for process in running.values()])
        yield Stack(directory, valkey, mongo.port, exchange, port, clock, running)


def test_nothing_is_healthy_before_it_runs(stack: Stack) -> None:
    for name in LIVE_PROCESSES:
        stack.await_health(name, 1, UNHEALTHY_SECONDS)


@pytest.mark.timeout(660)
def test_every_command_runs_and_becomes_healthy(stack: Stack) -> None:
    for name in LIVE_PROCESSES:
        stack.start(name)
    for name in LIVE_PROCESSES:
        stack.await_health(name, 0, HEALTHY_SECONDS)


def test_together_they_bring_candles_and_indicator_values(stack: Stack) -> None:
    deadline = time.monotonic() + HEALTHY_SECONDS
    with stack.valkey.client("reader") as client:
        while not (client.exists("candle:NSE:INFY:5s") and client.exists("indicators:NSE:INFY:5s")):
            assert time.monotonic() < deadline, {
                process.name: process.last_lines() for process in stack.running.values()
            }
            time.sleep(0.2)
    assert [name for name, process in stack.running.items() if not process.is_alive] == []


def test_the_connector_is_unhealthy_when_no_frame_comes(stack: Stack) -> None:
    stack.exchange.kill()
    logged = stack.await_health("connector", 1, UNHEALTHY_SECONDS)
    assert logged.strip()
    assert stack.running["connector"].is_alive


def test_every_command_ends_in_time_when_asked(stack: Stack) -> None:
    for name in LIVE_PROCESSES:
        process = stack.running[name]
        assert process.end(float(services()[name]["stop_grace_period"].removesuffix("s"))), process.last_lines()
        assert process.exit_code == 0, process.last_lines()


def _let_its_report_run_out(stack: Stack, name: str) -> None:
    """Sooner than by itself: that it would is seen."""
    report = Keys().health(name.replace("-", "_"))
    with stack.valkey.client("default") as client:
        left_ms: Any = client.pttl(report)
        assert left_ms == GONE or 0 < left_ms <= REPORT_LASTS_MS, f"{report} runs out after {left_ms} ms"
        client.pexpire(report, 1)


def test_a_process_that_has_ended_is_unhealthy(stack: Stack) -> None:
    for name in LIVE_PROCESSES:
        assert not stack.running[name].is_alive
        _let_its_report_run_out(stack, name)
        stack.await_health(name, 1, UNHEALTHY_SECONDS)


def test_no_process_wanted_more_than_its_user_may(stack: Stack) -> None:
    assert stack.valkey.refusals() == []


def test_settings_reach_the_processes_by_the_names_they_read(stack: Stack) -> None:
    known = set(subprocess.check_output(_PRINT_SETTINGS, cwd=REPO, env=plain_environment(), text=True).split())
    for name in LIVE_PROCESSES:
        stated: Mapping[str, object] = services()[name]["environment"]
        assert {key for key in stated if not key.endswith("_PASSWORD")} <= known


_PRINT_SETTINGS = [
    sys.executable,
    "-c",
    "from utils.runtime.settings import Settings; print(*(name.upper() for name in Settings.model_fields))",
]
