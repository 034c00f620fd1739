"""The doctor, and with it the containers' health, on a running pipeline whose transport is well and content is not.

A small broker, connect.py and the workers as real processes, a real Valkey and MongoDB.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from commands.doctor.connector import FEWEST_BREAKS
from tests.shared.connector_process import ROOT, wait_until
from tests.shared.console_here import manage_here
from tests.shared.env_file import write_env_file
from tests.shared.fake_broker import FakeBroker, stock
from tests.shared.servers import EmbeddedServer, ValkeyServer, free_port
from utils.keys import Keys
from utils.stores.health import read_health
from utils.stores.redis_connection import open_redis

AAA, BBB, STRANGER = 408065, 2953217, 738561
START_MS = 1_795_150_800_000  # 2026-11-20 10:30 IST
LOOKS, LOOKS_APART_SECONDS = 40, 0.25  # while the workers try MongoDB again and again


class Pipeline:
    """Its processes share one `.env` and the market's clock, which shows half past ten when it starts."""

    def __init__(self, directory: Path, broker: FakeBroker, redis_url: str, mongo_url: str, speed: int) -> None:
        self.broker = broker
        self._redis_url = redis_url
        self._speed, self._zero = speed, time.time()
        self._directory = directory
        self._environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}
        settings = {
            "API_KEY": "appkey01", "ACCESS_TOKEN": "goodtoken", "ACCESS_TOKEN_FILE": str(directory / "token"),
            "KITE_API_URL": broker.api_url, "KITE_WS_URL": broker.ws_url, "INSTRUMENTS": "NSE:AAA,NSE:BBB",
            "REDIS_URL": redis_url, "MONGO_URL": mongo_url, "TIMEFRAMES": "5s,1m",
            "JOURNAL_DIR": str(directory / "journal"), "LOG_DIR": str(directory / "logs"),
        }  # fmt: skip
        write_env_file(directory, settings)
        self._environment["MARKET_CLOCK"] = f"2026-11-20T10:30:00+05:30@{speed}@{self._zero:.3f}"

    def start(self, script: str) -> subprocess.Popen[bytes]:
        with (self._directory / f"{script}.err").open("ab") as stderr:
            return subprocess.Popen(
                [sys.executable, str(ROOT / f"{script}.py")],
                env=self._environment, cwd=self._directory, stderr=stderr,
            )  # fmt: skip

    def doctor(self, process: str = "candle_worker") -> tuple[int, str]:
        """As the container's health check calls it: exit code and what it prints."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "doctor", "--process", process],
            env=self._environment, cwd=self._directory, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.returncode, done.stdout

    def diagnosis(self, process: str = "candle_worker") -> tuple[int, str]:
        """The same without a process of its own: for who asks again and again."""
        done = manage_here(["doctor", "--process", process], self._directory, self._environment)
        assert done.stderr == ""
        return done.returncode, done.stdout

    def wait_for(self, words: str, code: int, process: str = "candle_worker") -> str:
        """Until the doctor prints it; what it printed."""
        printed = ""

        def is_shown() -> bool:
            nonlocal printed
            for ask in (self.diagnosis, self.doctor):
                found, printed = ask(process)
                if words not in printed or found != code:
                    return False
            return True

        try:
            wait_until(is_shown, f"{words!r} with exit code {code}", poll_seconds=0.2)
        except AssertionError as error:
            raise AssertionError(f"{error}; it printed: {printed}") from None
        return printed

    def health(self, process: str) -> dict[str, str]:
        with closing(open_redis(self._redis_url)) as client:
            return read_health(client, Keys()).get(process, {})

    def log(self, script: str) -> str:
        return (self._directory / f"{script}.err").read_text()

    def market_seconds(self) -> int:
        return START_MS // 1000 + int((time.time() - self._zero) * self._speed)


def frame(token: int, number: int, at_seconds: int) -> bytes:
    """A full packet of a trade: `number` makes volume and price new ones."""
    price = 150_000 + number % 7
    prices = (price, 1, 150_000, 1_000 + number, 0, 0, 150_000, 150_100, 149_900, 150_000)
    head = struct.pack(">16I", token, *prices, at_seconds, 0, 0, 0, at_seconds)
    packet = head + bytes(120)
    return struct.pack(">HH", 1, len(packet)) + packet


@contextmanager
def sending(pipeline: Pipeline, *tokens: int, late_seconds: int = 0) -> Iterator[None]:
    """Five packets a second of each token, the exchange's time being so much behind the machine's."""
    is_over = threading.Event()

    def run() -> None:
        number = 0
        while not is_over.wait(0.2):
            number += 1
            for token in tokens:
                pipeline.broker.send(frame(token, number, pipeline.market_seconds() - late_seconds))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


Start = Callable[..., Pipeline]
BrokerRefusal = tuple[int, str, str]


@pytest.fixture
def start(tmp_path: Path, valkey: ValkeyServer, mongo: EmbeddedServer) -> Iterator[Start]:
    """Starts a broker and these scripts; all is ended after the test."""
    with ExitStack() as stack:

        def started(*scripts: str, speed: int = 1, mongo_url: str = mongo.url, **refusals: BrokerRefusal) -> Pipeline:
            broker = stack.enter_context(FakeBroker([stock(AAA, "AAA"), stock(BBB, "BBB")]))
            broker.refusals.update(refusals)
            pipeline = Pipeline(tmp_path, broker, valkey.url, mongo_url, speed)
            for script in scripts:
                process = pipeline.start(script)
                stack.callback(process.wait)
                stack.callback(process.kill)
            return pipeline

        yield started


def test_right_numbers_are_healthy_in_all_processes(start: Start) -> None:
    pipeline = start("connect", "candle_worker", "signal_worker")
    with sending(pipeline, AAA, BBB):
        # So many that what is missing from the first packet on would be counted.
        wait_until(lambda: int(pipeline.health("candle_worker").get("recent_trades", 0)) > 100, "packets enough")
        for process in ("connector", "candle_worker", "signal_worker"):
            printed = pipeline.wait_for(f"All is well with {process} (in trading hours).", 0, process)
            assert "quote" not in printed


def test_heartbeats_without_a_quote_are_halted_or_mute(start: Start) -> None:
    pipeline = start("connect", "candle_worker", speed=30)
    printed = pipeline.wait_for("halted or mute: NSE equity (since 10:3", 1)
    assert "): heartbeats come, and no quote; if the exchange trades, log in anew" in printed
    assert "log in anew ('python manage.py login')" in printed
    assert pipeline.doctor("connector")[0] == 0, "the connection is well"
    assert "halted or mute" in pipeline.log("candle_worker")
    with sending(pipeline, AAA, BBB):
        pipeline.wait_for("All is well", 0)
        assert "no longer halted or mute" in pipeline.log("candle_worker")


def test_a_connection_that_breaks_again_and_again_is_named(start: Start) -> None:
    """Each time it is up again within seconds, and each time the candles are incomplete."""
    pipeline = start("connect")
    for number in range(1, FEWEST_BREAKS + 1):
        wait_until_connected(pipeline, number)
        pipeline.broker.drop_all()
    printed = pipeline.wait_for(f"connection 0 broke {FEWEST_BREAKS} times in the last 10 min", 1, "connector")
    assert "whether another program uses this API_KEY" in printed


def wait_until_connected(pipeline: Pipeline, number: int) -> None:
    def is_connected() -> bool:
        return int(pipeline.health("connector").get("shard0_connections", 0)) == number

    wait_until(is_connected, f"connection {number}")


@pytest.mark.parametrize(
    ("late_seconds", "words"),
    [
        (-180, "this machine's clock is 3 min behind the exchange's; set the clock"),
        (180, "packets come 3 min after the exchange's time: this machine's clock is ahead"),
    ],
)
def test_a_wrong_clock_is_named_with_its_remedy(start: Start, late_seconds: int, words: str) -> None:
    pipeline = start("connect", "candle_worker")
    with sending(pipeline, AAA, BBB, late_seconds=late_seconds):
        printed = pipeline.wait_for(words, 1)
    assert "chrony" in printed


def test_packets_that_are_rejected_are_named_with_their_main_reason(start: Start) -> None:
    pipeline = start("connect", "candle_worker")
    with sending(pipeline, AAA, STRANGER, STRANGER):
        printed = pipeline.wait_for("for their token: nobody subscribed to these instruments", 1)
    assert "packets were rejected" in printed


def test_an_instrument_that_never_ticks_is_named(start: Start) -> None:
    pipeline = start("connect", "candle_worker", speed=5)
    with sending(pipeline, AAA):
        printed = pipeline.wait_for("PROBLEM  candle_worker: no usable quote of NSE:BBB", 1)
    assert "NSE:AAA" not in printed


def test_a_wrong_port_of_mongodb_is_named_every_time(start: Start) -> None:
    pipeline = start("connect", "candle_worker", "signal_worker", mongo_url=f"mongodb://127.0.0.1:{free_port()}")
    for process in ("candle_worker", "signal_worker"):
        pipeline.wait_for("does not get its results into MongoDB", 1, process)
    with sending(pipeline, AAA, BBB):
        for _ in range(LOOKS):
            time.sleep(LOOKS_APART_SECONDS)
            for process in ("candle_worker", "signal_worker"):
                code, printed = pipeline.diagnosis(process)
                assert code == 1
                assert "check MONGO_URL" in printed
    assert pipeline.doctor()[0] == 1


def test_rows_that_stay_cold_for_a_refused_history_are_named(start: Start) -> None:
    refusal = (403, "PermissionException", "Insufficient permission for that call.")
    pipeline = start("connect", "signal_worker", **{"/instruments/historical": refusal})
    words = "4 of 4 rows of indicators are cold and give no signal: the broker refuses history"
    printed = pipeline.wait_for(words, 1, "signal_worker")
    assert "its plan must be Connect" in printed
    assert "manage.py login" not in printed
