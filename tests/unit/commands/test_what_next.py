"""What the demo suggests next, and whether it stays for it."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import threading
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands.demo import command as demo_command
from commands.demo import what_next
from commands.demo.plan import SHORT, DemoPlan, make_plan
from commands.demo.run import DemoOptions
from commands.shared.run_environment import RunPlace

DAY = date(2026, 11, 20)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPlace:
    """Of a run with servers of its own."""
    for name in ("REDIS_URL", "MONGO_URL"):
        monkeypatch.delenv(name, raising=False)
    directory = tmp_path / "a demo"
    return RunPlace(directory, "redis://127.0.0.1:1/0", "demo:", "mongodb://127.0.0.1:2", "candlewick_demo")


def _tried(place: RunPlace, monkeypatch: pytest.MonkeyPatch, redis_cli: str | None) -> list[list[str]]:
    """The words of each command, as a shell would have them."""
    monkeypatch.setattr(shutil, "which", lambda _: redis_cli)
    return [shlex.split(command) for command in what_next.commands_to_try(place, "NSE:M&M", "5m", DAY)]


def test_the_commands_name_the_runs_own_servers_keys_and_files(
    place: RunPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.logs.mkdir(parents=True)
    (place.logs / "signals_2026-11-20.jsonl").touch()
    candle, history, signals = _tried(place, monkeypatch, "/usr/bin/redis-cli")
    assert candle == ["redis-cli", "-u", "redis://127.0.0.1:1/0", "hgetall", "demo:candle:NSE:M&M:5m"]
    assert history[-1] == "mongodb://127.0.0.1:2"
    assert "candlewick_demo" in history[2]
    assert "NSE:M&M" in history[2]
    assert signals == ["tail", "-n", "3", str(place.logs / "signals_2026-11-20.jsonl")]


def test_a_file_that_is_not_there_is_not_named(place: RunPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(_tried(place, monkeypatch, "/usr/bin/redis-cli")) == 2


def test_without_redis_cli_python_asks(place: RunPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    candle = _tried(place, monkeypatch, None)[0]
    assert candle[1] == "-c"
    assert "demo:candle:NSE:M&M:5m" in candle[2]
    assert candle[3] == "redis://127.0.0.1:1/0"


def test_a_servers_password_is_not_printed(place: RunPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:secret@host:6379")
    monkeypatch.setenv("MONGO_URL", "mongodb://user:secret@host")
    candle, history = what_next.commands_to_try(place, "NSE:INFY", "5m", DAY)
    assert "$REDIS_URL" in candle
    assert "$MONGO_URL" in history
    assert "secret" not in candle + history


def test_nobody_at_a_terminal_is_not_waited_for() -> None:
    printed: list[str] = []
    what_next.stay(False, printed.append)
    assert printed == []


def test_asked_to_stay_it_stays_until_asked_to_end() -> None:
    printed: list[str] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def print_line(text: str) -> None:
        printed.append(text)
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()

    try:
        what_next.stay(True, print_line)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert printed == ["Redis and MongoDB run until SIGINT or SIGTERM."]


# ---- how much is played


@pytest.mark.parametrize(
    ("options", "stretch", "speed"),
    [
        ([], ("09:07", "10:37"), 40.0),
        (["--full"], ("09:00", "15:45"), 60.0),
        (["--full", "--from", "09:10", "--speed", "100"], ("09:10", "15:45"), 100.0),
        (["--until", "09:30"], ("09:07", "09:30"), 40.0),
    ],
)
def test_an_hour_and_a_half_is_played_unless_more_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, options: list[str], stretch: tuple[str, str], speed: float
) -> None:
    played: list[DemoPlan] = []

    def run_demo(plan: DemoPlan, given: DemoOptions, *_: object) -> int:
        assert not given.stay
        played.append(plan)
        return 0

    monkeypatch.setattr(demo_command, "run_demo", run_demo)
    assert CliRunner().invoke(demo_command.command, options).exit_code == 0
    (plan,) = played
    minutes = [int(text[:2]) * 60 + int(text[3:]) for text in stretch]
    assert plan.until_ms - plan.from_ms == (minutes[1] - minutes[0]) * 60_000
    assert plan.from_ms % 86_400_000 == (minutes[0] - 330) * 60_000  # IST is 5 h 30 ahead
    assert plan.speed == speed


def test_the_default_takes_two_to_three_minutes() -> None:
    plan = make_plan(DAY, SHORT.start, SHORT.until, SHORT.speed, 50, "usual", 1)
    assert 110 <= plan.real_seconds <= 150
