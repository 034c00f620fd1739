"""The exchange extends the day and the calendar does not know: real processes name it, take an edit, mend the day."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tests.shared.console_here import manage_here
from tests.shared.env_file import write_env_file
from tests.shared.extended_day import DAY, FUTURE, INFY, MORNING, extended_hours, frames, full, mark
from tests.shared.servers import EmbeddedServer, ValkeyServer
from utils.candles.class_doubts import doubts_of, who
from utils.journal.entries import Entry
from utils.journal.writer import JournalWriter
from utils.keys import Keys
from utils.market.class_facts import from_text
from utils.stores.health import HealthReport

REPO = Path(__file__).parents[2]
DEADLINE_SECONDS = 90.0
AFTER_HOURS = frames(*((clock, full(INFY, 151_000, 1_000 + n, clock)) for n, clock in enumerate(
    ("15:45:02", "16:05:01", "16:05:02", "16:05:03", "16:05:04"))))  # fmt: skip
LATER = frames(("16:20:01", full(INFY, 152_000, 1_200, "16:20:01")), ("16:21:04", b"\0"))


def clock_at(time_of_day: str) -> str:
    """A market clock that stands nearly still."""
    return f"{DAY}T{time_of_day}@0.001@{time.time():.3f}"


@dataclass
class Place:
    """A project folder with its `.env`, stores, and the processes that are started in it."""

    directory: Path
    valkey: ValkeyServer
    client: redis.Redis

    def manage(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return manage_here(arguments, self.directory, {"PATH": os.environ["PATH"], "TZ": "UTC", **settings})

    def replay(self, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(REPO / "manage.py"), "replay", DAY],
            capture_output=True, text=True, cwd=self.directory, timeout=300, check=False,
            env={"PATH": os.environ["PATH"], "TZ": "UTC", **settings},
        )  # fmt: skip

    @contextmanager
    def worker(self, script: str = "candle_worker.py", **settings: str) -> Iterator[None]:
        process = subprocess.Popen(
            [sys.executable, str(REPO / script)],
            cwd=self.directory, env={"PATH": os.environ["PATH"], "TZ": "UTC", **settings}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0

    def send(self, entries: Sequence[Entry], shard: int = 0) -> None:
        for entry in entries:
            self.client.xadd(Keys().ticks(shard), {entry.kind.value: entry.payload}, id=str(entry.id))

    def health(self) -> dict[str, str]:
        answer: Any = self.client.hgetall("health:candle_worker")
        return {name.decode(): value.decode() for name, value in answer.items()}

    def wait_until_at(self, entry: Entry, shard: int = 0) -> list[str]:
        """What the first report of a worker doubts that has processed this entry."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.health().get(f"position_{shard}") != str(entry.id):
            assert time.monotonic() < deadline, self.health()
            time.sleep(0.05)
        doubted = doubts_of(from_text(self.health()["classes"]))
        return [f"{doubt.value}: {who(doubt, facts)}" for (doubt, _), facts in doubted.items()]

    def log_of(self, process: str) -> str:
        return "".join(path.read_text() for path in (self.directory / "logs").glob(f"{process}*"))

    def starts(self, stream: str = "closed:{a}") -> set[str]:
        entries: Any = self.client.xrange(stream)
        documents = [orjson.loads(fields[b"json"]) for _, fields in entries]
        return {document["start"][11:16] for document in documents if document["timeframe"] == "1m"}


@pytest.fixture
def place(valkey: ValkeyServer, mongo: EmbeddedServer, tmp_path: Path) -> Iterator[Place]:
    settings = {
        "INSTRUMENTS": INFY.symbol,
        "TIMEFRAMES": "1m,1d",
        "REDIS_URL": valkey.url_of("candle_worker"),
        "MONGO_URL": mongo.url,
        "LEASE_SECONDS": "1",
        "LOG_DIR": str(tmp_path / "logs"),
        "JOURNAL_DIR": str(tmp_path / "journal"),
        "MARKET_CLOCK": clock_at("16:05:10"),
    }
    write_env_file(tmp_path, settings)
    with redis.Redis.from_url(valkey.url) as client:
        yield Place(tmp_path, valkey, client)


def test_an_extended_session_is_named_mended_by_an_edit_and_replayed(place: Place) -> None:
    doctor = ("doctor", "--process", "candle_worker")
    recorded = [*MORNING, *AFTER_HOURS]
    place.send(recorded)
    with place.worker():
        found = place.wait_until_at(AFTER_HOURS[-1])
        assert found == ["outside: NSE equity (5 trades, the last of 16:05:04)"]
        done = place.manage(*doctor)
        log = place.log_of("candle_worker")
    named = "trades come outside the hours that we believe in: NSE equity (5 trades, the last of 16:05:04)"
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"PROBLEM  candle_worker: {named}; write the right hours into local/sessions.local.toml" in done.stdout
    assert named in log
    assert "16:05" not in place.starts()

    extended_hours(place.directory / "local" / "sessions.local.toml")
    place.send(LATER)
    with place.worker():
        assert place.wait_until_at(LATER[-1]) == []
        done = place.manage(*doctor)
    assert (done.returncode, "PROBLEM" in done.stdout) == (0, False), done.stdout + done.stderr
    assert "16:20" in place.starts(), "from the edit on the candles are there"
    assert not {"15:45", "16:05"} & place.starts(), "what came before it is in the journal"

    journal = JournalWriter(place.directory / "journal", 0)
    for entry in [*recorded, *LATER]:
        journal.append(entry)
    journal.close()
    done = place.replay(REDIS_URL=place.valkey.url_of("demo"), MARKET_CLOCK="")
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"15:45", "16:05", "16:20"} <= place.starts("replay:closed:{a}")


def test_a_class_that_is_silent_since_the_open_is_named(place: Place) -> None:
    """An unlisted holiday: heartbeats, and nothing of any instrument."""
    silent = [MORNING[0], *frames(("09:14:59", b"\0"), ("09:15:50", b"\0"))]
    place.send(silent)
    clock = clock_at("09:15:51")
    with place.worker(MARKET_CLOCK=clock):
        assert place.wait_until_at(silent[-1]) == ["halted or mute: NSE equity (since 09:15:00)"]
        done = place.manage("doctor", "--process", "candle_worker", MARKET_CLOCK=clock)
        log = place.log_of("candle_worker")
    named = (
        "halted or mute: NSE equity (since 09:15:00): heartbeats come, and no quote; if the exchange trades, log in"
    )
    assert done.returncode == 1
    assert f"PROBLEM  candle_worker: {named}" in done.stdout
    assert "write that into local/sessions.local.toml and restart the workers." in done.stdout
    assert named in log


@pytest.mark.parametrize(
    ("until", "clock", "code", "named"),
    [
        (
            "09:15:50",
            "09:15:51",
            0,
            "note     candle_worker: no quote came yet in a session that should be under way",
        ),
        ("09:30:00", "09:30:01", 1, "PROBLEM  candle_worker: halted or mute"),
    ],
)
def test_one_illiquid_stock_without_a_habit_is_a_note_before_it_is_a_problem(
    place: Place, until: str, clock: str, code: int, named: str
) -> None:
    silent = [*MORNING[:2], *frames(("09:14:59", b"\0"), (until, b"\0"))]
    place.send(silent)
    with place.worker(MARKET_CLOCK=clock_at(clock)):
        place.wait_until_at(silent[-1])
        done = place.manage("doctor", "--process", "candle_worker", MARKET_CLOCK=clock_at(clock))
    assert done.returncode == code, done.stdout
    assert f"{named}: NSE equity (since 09:15:00)" in done.stdout
    assert "write that into local/sessions.local.toml and restart the workers." in done.stdout


def test_a_class_in_two_shards_is_silent_when_it_is_in_both_and_named_once(place: Place) -> None:
    far = replace(FUTURE, token=FUTURE.token + 1, tradingsymbol="INFY26SEPFUT")
    settings = {"INSTRUMENTS": f"{FUTURE.symbol},{far.symbol}", "CONNECTIONS": "2"}
    trades = [(f"09:{minute}:00", full(FUTURE, 150_000, minute, f"09:{minute}:00")) for minute in range(16, 36)]
    near = [mark("09:10", FUTURE), *frames(*trades)]
    quiet = [mark("09:10", far), *frames(("09:12", full(far, 150_000, 1, "09:12")), ("09:35:00", b"\0"))]
    place.send(near)
    place.send(quiet, shard=1)
    with place.worker(**settings, MARKET_CLOCK=clock_at("09:35:01")):
        place.wait_until_at(near[-1])
        assert place.wait_until_at(quiet[-1], shard=1) == []
        done = place.manage("doctor", "--process", "candle_worker", **settings, MARKET_CLOCK=clock_at("09:35:01"))
    assert (done.returncode, "NFO-FUT" in done.stdout) == (0, False), done.stdout
    (later,) = frames(("09:52:00", b"\0"))
    for shard in (0, 1):
        place.send([later], shard)
    with place.worker(**settings, MARKET_CLOCK=clock_at("09:52:01")):
        place.wait_until_at(later)
        assert place.wait_until_at(later, 1) == ["halted or mute: NFO-FUT equity_derivative (since 09:35:00)"]
        done = place.manage("doctor", "--process", "candle_worker", **settings, MARKET_CLOCK=clock_at("09:52:01"))
    assert done.returncode == 1
    assert done.stdout.count("NFO-FUT equity_derivative") == 1, done.stdout


@pytest.mark.parametrize(("text", "is_named"), [("15:15", True), ("15m", False)])
def test_what_a_time_of_day_silences_is_shown_at_the_start(place: Place, text: str, is_named: bool) -> None:
    settings = {
        "REDIS_URL": place.valkey.url_of("signal_worker"),
        "INSTRUMENTS": f"{INFY.symbol},MCX:GOLD26AUGFUT",
        "NO_NEW_ENTRIES_AFTER": text,
    }
    deadline = time.monotonic() + DEADLINE_SECONDS
    with place.worker("signal_worker.py", **settings):
        while "started anew" not in place.log_of("signal_worker"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    shown = "NO_NEW_ENTRIES_AFTER=15:15 is one time for all exchanges: after it there are no signals on "
    assert (shown in place.log_of("signal_worker")) is is_named
    assert ("MCX until 23:30, NSE until 15:30" in place.log_of("signal_worker")) is is_named


def test_an_instrument_of_an_exchange_that_nobody_knows_is_named(place: Place) -> None:
    HealthReport(place.client, Keys(""), "connector", 60).write({"shards": 1, "instruments": 1})
    wanted = f"{INFY.symbol},NSEIX:GIFT NIFTY"
    url = place.valkey.url_of("connector")
    done = place.manage("doctor", "--process", "connector", INSTRUMENTS=wanted, REDIS_URL=url)
    assert done.returncode == 1
    assert (
        "PROBLEM  connector: no trading hours are known for NSEIX:GIFT NIFTY, so they are not watched" in done.stdout
    )


def test_the_hours_of_a_day_with_their_sources(place: Place) -> None:
    extended_hours(place.directory / "local" / "sessions.local.toml")
    done = place.manage("sessions", DAY)
    assert done.returncode == 0, done.stderr
    shown = done.stdout.splitlines()
    assert shown[0] == "Wednesday 2026-07-01, hours in IST"
    (equity,) = [line for line in shown if line.startswith("NSE equity ")]
    assert equity.split() == ["NSE", "equity", "09:15-17:00", "09:00-17:00", "[1][2]", "extended"]
    assert "[1] notice of 15:17 (sessions.local.toml)" in shown
    (commodity,) = [line for line in shown if line.startswith("MCX commodity ")]
    assert "09:00-23:30" in commodity
    (mentha_oil,) = [line for line in shown if line.startswith("MCX:MENTHAOIL commodity ")]
    assert "09:00-17:00" in mentha_oil


@pytest.mark.parametrize("command", [("sessions", DAY), ("doctor",), ("coverage", DAY)])
def test_a_broken_file_of_your_own_is_one_sentence(place: Place, command: tuple[str, ...]) -> None:
    journal = JournalWriter(place.directory / "journal", 0)
    journal.append(MORNING[0])
    journal.close()
    extended_hours(place.directory / "local" / "sessions.local.toml", close="25:00")
    done = place.manage(*command)
    assert done.returncode == 2
    assert "local/sessions.local.toml: [[special]] number 1: close '25:00' is not a time of day" in done.stderr


def test_a_worker_names_what_is_wrong_with_the_file(place: Place) -> None:
    extended_hours(place.directory / "local" / "sessions.local.toml", close="25:00")
    for script in ("candle_worker.py", "signal_worker.py"):
        done = subprocess.run(
            [sys.executable, str(REPO / script)],
            capture_output=True, text=True, cwd=place.directory, timeout=60, check=False,
            env={"PATH": os.environ["PATH"], "TZ": "UTC"},
        )  # fmt: skip
        assert done.returncode == 2
        assert "close '25:00' is not a time of day" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
