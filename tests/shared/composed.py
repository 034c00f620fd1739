"""A compose project that is really run: the engine, the containers, and the exchange that is put beside them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from simulator.universe import build_universe
from tests.shared.compose_file import LIVE_PROCESSES, REPLAY, REPO
from utils.market.clock import MarketClock, parse_market_clock
from utils.market.sessions import SessionCalendar

PROJECT = "candlewick-test"
PASSWORD = "ofthistest"
MID_SESSION = parse_market_clock("2026-11-20T11:00:00+05:30@1@0").market_ms
SEED = 7
SPEED = 10.0
# As many as the exchange has by itself: at ten times real speed one of a thousand packets a second is a bad one soon.
INSTRUMENTS = 200
SHARDS = 3
STAND_IN_MARK = "/etc/compose-engine"  # images that stand in for the official ones print there what they are
FAULTS = "late,duplicate,malformed,badprint,crossed"


def engine_command() -> list[str] | str:
    """How to call docker here, or why it cannot be."""
    if os.environ.get("COMPOSE_TEST", "") != "1":
        return "takes minutes: run it with make compose-test"
    if (
        shutil.which("docker")
        and subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0
    ):
        return ["docker"]
    local = Path(os.environ.get("COMPOSE_ENGINE", REPO.parent / "shared/tools/compose-engine/engine"))
    if not local.is_file():
        return "there is no Docker engine here"
    started = subprocess.run([local, "start"], capture_output=True, text=True, check=False)
    return [str(local), "docker"] if started.returncode == 0 else f"the engine did not start: {started.stderr}"


@dataclass
class Composed:
    """One compose project."""

    docker: list[str]
    files: list[Path]
    environment: dict[str, str]

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """A docker command; the test fails with all it printed when it fails."""
        done = subprocess.run(
            [*self.docker, *arguments], env=self.environment, cwd=REPO, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0 or not check, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        files = [part for path in self.files for part in ("--file", str(path))]
        return self.run("compose", "--project-name", PROJECT, *files, *arguments, check=check)

    def shell(self, text: str) -> str:
        """The lines of a page, in the folder of the compose file, as a person types them there; what they print."""
        directory = self.files[0].parent
        here = {"COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_FILE": ":".join(map(str, self.files))}
        docker = f'docker() {{ {shlex.join(["command", *self.docker])} "$@"; }}\n'
        lines = docker + text.replace("candlewick_", f"{PROJECT}_")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            env={**self.environment, **here}, cwd=directory, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def container(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        content: list[dict[str, Any]] = json.loads(self.run("inspect", self.container(service)).stdout)
        return content[0]

    def exit_code(self, service: str, *command: str) -> int:
        return self.compose("exec", "--no-TTY", service, *command, check=False).returncode


def overlay(is_stand_in: bool, clock: MarketClock) -> dict[str, Any]:
    """What the test adds: an exchange, and for a stand-in of MongoDB, which knows no users, a URL without one."""
    universe = build_universe(INSTRUMENTS, SEED, SessionCalendar.load(), date(2026, 11, 20))
    settings = {
        "API_KEY": "key",
        "ACCESS_TOKEN": "demo-token",
        "INSTRUMENTS": ",".join(instrument.symbol for instrument in universe.instruments),
        "CONNECTIONS": str(SHARDS),
        "TIMEFRAMES": "5s,1m",
        "KITE_API_URL": "http://exchange:8000",
        "KITE_WS_URL": "ws://exchange:8000",
        "MARKET_CLOCK": str(clock),
    }
    mongo = {"MONGO_URL": "mongodb://mongo:27017"} if is_stand_in else {}
    command = ["python", "-m", "simulator", "--host", "0.0.0.0", "--port", "8000"]
    command += ["--seed", str(SEED), "--faults", FAULTS]
    exchange = {"image": "candlewick-demo", "command": command, "environment": {"MARKET_CLOCK": str(clock)}}
    exchange["networks"] = ["internet"]
    live = {name: {"environment": {**settings, **mongo}} for name in (*LIVE_PROCESSES, REPLAY)}
    return {"services": {**live, "demo": {"environment": mongo}, "exchange": {**exchange, "init": True}}}
