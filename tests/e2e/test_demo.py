"""`manage.py demo` as a user or a script runs it: real processes, from start to end, and none left behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis

from tests.measures.knowable_candles import known_shares
from tests.measures.played_day import Plan
from tests.shared.console_here import manage_here
from tests.shared.length import length
from tests.shared.servers import mongo_server, valkey_server
from utils.market.timeframes import parse_timeframe

_ROOT = Path(__file__).resolve().parents[2]
_PROCESSES = ("valkey", "nx_27017", "simulator", "connect.py", "candle_worker.py", "signal_worker.py")
_LIVE_SETTINGS = {
    # None of these may be touched, or even read, by a demo.
    "REDIS_PREFIX": "live:",
    "MONGO_DB": "live",
    "JOURNAL_DIR": "/nonexistent/journal",
    "LOG_DIR": "/nonexistent/logs",
    "ACCESS_TOKEN": "livetoken",
    "API_KEY": "livekey",
    "INSTRUMENTS": "NSE:LIVE",
    "KITE_API_URL": "http://127.0.0.1:9",
    "MARKET_CLOCK": "2026-01-01T00:00:00@1@1",
}
# The session of the fixture `demo`, without its faults; what these may cost; and how much of the knowable is found.
_INSTRUMENTS = length(short=8, long=16)
_PLAN = Plan(seed=11, instruments=_INSTRUMENTS, first_minute=9 * 60 + 10, minutes=38)
_LOST, _FOUND = 0.01, 0.97
_FEW = length(short="6", long="10")  # where a demo is begun and ended
_FRAMES = ("1m", "3m", "5m", "15m", "30m", "1h", "1d")


@dataclass(frozen=True)
class _Demo:
    """A demo that ran to its end."""

    directory: Path
    code: int
    printed: str
    figures: dict[str, Any]


def _command(directory: Path, *options: str) -> list[str]:
    figures = ["--json", str(directory / "out" / "figures.json")]
    return [sys.executable, str(_ROOT / "manage.py"), "demo", *figures, *options]


def _environment(directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("REDIS_URL", "MONGO_URL")}
    return kept | _LIVE_SETTINGS | {"TMPDIR": str(directory)}


def _run(directory: Path, *options: str) -> _Demo:
    command = _command(directory, "--directory", str(directory / "run"), *options)
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=directory, env=_environment(directory), timeout=900, check=False
    )
    return _demo(directory, done.returncode, done.stdout + done.stderr)


def _demo(directory: Path, code: int, printed: str) -> _Demo:
    file = directory / "out" / "figures.json"
    return _Demo(directory / "run", code, printed, json.loads(file.read_text()) if file.exists() else {})


@contextmanager
def _started(directory: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    with (directory / "printed").open("w") as printed:
        demo = subprocess.Popen(
            _command(directory, *options),
            stdout=printed,
            stderr=printed,
            text=True,
            cwd=directory,
            env=_environment(directory),
        )
    try:
        yield demo
    finally:
        demo.kill()
        demo.wait()


def _processes_of(directory: Path) -> dict[int, str]:
    """Running processes that work in or on a folder of the test, with their command lines."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        is_ours = where.startswith(f"{directory}/") or (f"{directory}/" in command and "manage.py" not in command)
        if command and is_ours:
            found[int(process.name)] = command
    return found


def _wait_for(condition: Callable[[], bool], what: str, seconds: float = 250.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> _Demo:
    """The first half hour of the default day with the usual faults."""
    directory = tmp_path_factory.mktemp("demo")
    stretch = ("--from", "09:10", "--until", "09:48", "--speed", "1000", "--history-first")
    ran = _run(directory, "--instruments", str(_INSTRUMENTS), *stretch, "--seed", "11")
    print(ran.printed)
    return ran


def test_it_ends_well_and_leaves_no_process_behind(demo: _Demo) -> None:
    assert demo.code == 0, demo.printed
    assert demo.figures["ok"] is True
    assert demo.figures["faults"] == []
    assert _processes_of(demo.directory.parent) == {}


def test_it_prints_where_everything_is(demo: _Demo) -> None:
    for field in ("redis_url", "prefix", "mongo_url", "mongo_db", "logs", "journal"):
        assert demo.figures[field] in demo.printed
    assert "seed 11" in demo.printed
    for name in ("connect", "candle_worker", "signal_worker"):
        assert (demo.directory / "logs" / f"{name}.log").stat().st_size > 0
    assert list((demo.directory / "journal").glob("2026-11-20/ticks-0.journal*"))


def test_it_shows_the_first_live_candle_and_when_it_came(demo: _Demo) -> None:
    (line,) = [line for line in demo.printed.splitlines() if line.startswith("First live candle")]
    prices = " ".join(f"{name} ([0-9,.]+)" for name in "OHLC")
    shown = re.fullmatch(
        rf"First live candle after ([0-9.]+) s: (\S+:.+) (\d+[mhd])  {prices}( volume [0-9,]+)?", line
    )
    assert shown is not None, line
    first_open, high, low, close = (float(text.replace(",", "")) for text in shown.groups()[3:7])
    assert low <= min(first_open, close) <= max(first_open, close) <= high
    assert float(shown[1]) == pytest.approx(demo.figures["first_candle_seconds"], abs=0.06)
    assert demo.figures["first_candle_seconds"] < demo.figures["seconds"]


def test_it_prints_what_it_prepares_and_from_when_there_are_signals(demo: _Demo) -> None:
    of_all = rf"\d+ of {_INSTRUMENTS} instruments"
    assert re.search(rf"^  ready    kernels: .*; history: {of_all}$", demo.printed, re.MULTILINE)
    assert re.search(r"^  history  [1-9][0-9,]+ candles written in [0-9.]+ s$", demo.printed, re.MULTILINE)
    assert re.search(r"^  signals  from \d\d:\d\d:\d\d on: the indicators are warm$", demo.printed, re.MULTILINE)
    assert demo.figures["signals_from_ms"] == demo.figures["from_ms"]  # the history came first


def test_its_figures_agree_with_one_another(demo: _Demo) -> None:
    figures = demo.figures
    assert figures["packets"] > 625 * _INSTRUMENTS
    assert figures["said_twice"] == 0
    assert figures["signals"]["stream"] == figures["signals"]["stored"] > 0
    assert sum(figures["rejected"].values()) > 0  # the usual faults are on
    assert set(figures["candles"]) == set(_FRAMES)
    for frame in ("1m", "3m", "5m", "15m", "30m"):
        counts = figures["candles"][frame]
        assert counts["stored"] == counts["closed"] >= counts["true"] > 0, frame
        assert (counts["missing"], counts["extra"]) == (0, 0), frame
    for field in ("true", "equal", "volume_equal"):
        assert figures["equal_truth"][field] == sum(tally[field] for tally in figures["candles"].values())


def test_as_many_candles_equal_the_tape_as_can_be_known(demo: _Demo) -> None:
    """Packets hide trades: the bound is what can be known from those that are shown."""
    frames = ("1m", "3m", "5m", "15m", "30m")
    known = known_shares(_PLAN, [parse_timeframe(name) for name in frames])
    for name in frames:
        counts, best = demo.figures["candles"][name], known[name]
        print(f"{name}: {counts}; what can be known: {best}")
        assert counts["true"] == best.true
        assert counts["volume_equal"] >= best.by_field["volume"] - _LOST * counts["true"] - 1
        assert counts["equal"] >= _FOUND * best.equal - 1


def test_mongodb_holds_each_candle_once_as_counted(demo: _Demo) -> None:
    with mongo_server(demo.directory) as server:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(server.url)
        documents = list(client["candlewick_demo"]["candles"].find({"source": "live"}))
        signals = list(client["candlewick_demo"]["signals"].find())
        past = client["candlewick_demo"]["candles"].count_documents({"source": "history", "symbol": "NSE:INFY"})
        assert "live" not in client.list_database_names()
        client.close()
    assert len({document["_id"] for document in documents}) == len(documents)
    counted = Counter(document["timeframe"] for document in documents)
    assert counted == {name: counts["stored"] for name, counts in demo.figures["candles"].items() if counts["stored"]}
    assert len(signals) == demo.figures["signals"]["stored"]
    assert past > 7 * 200  # indicators were warm at the open
    lines = (demo.directory / "logs" / "signals_2026-11-20.jsonl").read_text().splitlines()
    assert {json.loads(line)["_id"] for line in lines} == {signal["_id"] for signal in signals}


def test_redis_holds_everything_under_the_prefix(demo: _Demo) -> None:
    with valkey_server(demo.directory) as server:
        client = redis.Redis.from_url(server.url, decode_responses=True)
        names: Any = client.keys("*")
        assert names
        assert all(name.startswith("demo:") for name in names)
        entries: Any = client.xrange("demo:closed:{a}")
        published = [json.loads(fields["json"]) for _, fields in entries]
        live: Any = client.hgetall("demo:candle:NSE:INFY:5m")
    assert live["symbol"] == "NSE:INFY"
    firsts = Counter(message["timeframe"] for message in published if message["rev"] == 0)
    assert firsts == {name: counts["closed"] for name, counts in demo.figures["candles"].items() if counts["closed"]}
    again = Counter(message["timeframe"] for message in published if message["rev"] > 0)
    assert again == {
        name: counts["revisions"] for name, counts in demo.figures["candles"].items() if counts["revisions"]
    }


def test_what_it_suggests_to_try_next_works_as_printed_and_ctrl_c_ends_it_in_order(tmp_path: Path) -> None:
    """One demo, left running: first by a Ctrl-C in its session, then by one more when everything is tried."""
    stretch = ("--from", "09:14", "--until", "15:30", "--speed", "400", "--history-first")
    with _started(tmp_path, "--instruments", _FEW, *stretch, "--seed", "11", "--stay") as demo:
        printed = tmp_path / "printed"

        def is_printed(text: str) -> Callable[[], bool]:
            return lambda: text in printed.read_text() or demo.poll() is not None

        _wait_for(
            lambda: bool(re.search("signals [1-9]", printed.read_text())) or demo.poll() is not None, "a signal"
        )
        assert "signal_worker.py" in " ".join(_processes_of(tmp_path).values())
        demo.send_signal(signal.SIGINT)
        _wait_for(is_printed("Redis and MongoDB run until"), "the closing lines")
        tried = printed.read_text().partition("What to try next, in another terminal:\n")[2].splitlines()[:3]
        answers = [subprocess.run(line, shell=True, capture_output=True, text=True, check=False) for line in tried]
        demo.send_signal(signal.SIGINT)
        code = demo.wait(600)
    for answer in answers:
        assert answer.returncode == 0, answer.stderr
    candle, history, _ = (answer.stdout for answer in answers)
    assert all(word in candle for word in ("symbol", "open", "high", "low", "close"))
    assert re.search(r"^\[\d{3} rows x 5 columns\]$", history, re.MULTILINE)
    ended = _demo(tmp_path, code, printed.read_text())
    assert code == 0, ended.printed
    assert "Stopping: what has arrived is processed first" in ended.printed
    assert ended.figures["interrupted"] is True
    assert ended.figures["ok"] is True
    assert _processes_of(tmp_path) == {}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "printed"]  # nothing of its own stays


def test_ctrl_c_before_anything_is_ready_ends_what_was_started(tmp_path: Path) -> None:
    with _started(tmp_path, "--instruments", _FEW) as demo:
        printed = tmp_path / "printed"
        _wait_for(lambda: "  ready" in printed.read_text() or demo.poll() is not None, "the first line")
        demo.send_signal(signal.SIGINT)
        code = demo.wait(600)
    assert code == 130, printed.read_text()
    assert "Stopped; everything that was started has ended." in printed.read_text()
    assert "Traceback" not in printed.read_text()
    assert _processes_of(tmp_path) == {}


def test_a_child_that_dies_is_named_and_all_others_are_ended(tmp_path: Path) -> None:
    with _started(tmp_path, "--instruments", _FEW, "--full", "--directory", str(tmp_path / "run")) as demo:
        printed = tmp_path / "printed"
        _wait_for(lambda: "signals  from" in printed.read_text() or demo.poll() is not None, "all processes work")
        running = _processes_of(tmp_path)
        for name in _PROCESSES:
            assert any(name in command for command in running.values()), f"{name} does not run: {running}"
        (victim,) = [pid for pid, command in running.items() if "candle_worker.py" in command]
        os.kill(victim, signal.SIGKILL)
        code = demo.wait(600)
    text = printed.read_text()
    assert code == 1, text
    figures = json.loads((tmp_path / "out" / "figures.json").read_text())
    assert figures["ok"] is False
    assert "candle_worker was ended by signal 9" in figures["faults"][0]
    assert "candle_worker was ended by signal 9" in text
    assert "shard acquired" in text  # the last lines of its log
    assert "Traceback" not in text
    assert _processes_of(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--session", "2026-11-24"], "--session: the exchange is closed on 2026-11-24; the next trading day is"),
        (["--from", "10:00", "--until", "09:30"], "--until: 09:30 is not after --from 10:00"),
        (["--from", "quarter past"], "--from: 'quarter past' is not a time of day"),
        (["--speed", "0"], "--speed: 0 is not above 0"),
        (["--instruments", "2"], "--instruments: 2 is not within"),
        (["--faults", "sabotage"], "--faults: 'sabotage' is no fault"),
    ],
)
def test_an_option_that_cannot_be_played_is_one_sentence(tmp_path: Path, options: list[str], sentence: str) -> None:
    command = ["demo", "--directory", str(tmp_path / "run"), *options]
    done = manage_here(command, tmp_path, _environment(tmp_path))
    assert done.returncode == 2
    assert sentence in " ".join((done.stdout + done.stderr).split())
    assert not (tmp_path / "run").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("three years of work")
    ran = _run(tmp_path, "--instruments", "10")
    assert ran.code == 1
    assert "holds something else" in ran.printed
    assert [path.name for path in ran.directory.iterdir()] == ["thesis.txt"]
