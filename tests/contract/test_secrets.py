"""After a session with every secret in use, none of them is anywhere but where it was put."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from commands.shared.child_process import ChildProcess
from tests.contract.simulator_process import SimulatorProcess, simulator
from tests.contract.test_connect_refusals import certificate
from tests.shared.connector_process import wait_until
from tests.shared.fake_broker import FakeBroker, stock
from tests.shared.guarded_valkey import GuardedValkey, guarded_valkey
from tests.shared.secrets_hunt import command_lines, environment_of, everything, files, found_in
from tests.shared.servers import EmbeddedServer, mongo_server
from utils.kite.token_file import store_token

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {"connector": "connect.py", "candle_worker": "candle_worker.py", "signal_worker": "signal_worker.py"}
API = {
    "API_KEY": "Hide1ApiKeyKq7",
    "API_SECRET": "Hide2ApiSecretWm4",
    "ACCESS_TOKEN": "Hide3EnvTokenZt9",
}
FILE_TOKEN = "Hide4FileToken/x+Rb2"
MONGO_PASSWORD = "Hide5Mongo/x+Vd6"
MONGO_QUOTED = "Hide5Mongo%2Fx%2BVd6"

pytestmark = pytest.mark.timeout(900)


@dataclass
class Place:
    """Where things are, and every secret that was used, by name."""

    directory: Path
    valkey: GuardedValkey
    mongo: EmbeddedServer
    exchange: SimulatorProcess
    running: dict[str, ChildProcess] = field(default_factory=dict)

    @property
    def secrets(self) -> dict[str, str]:
        given = {name: word for name, word in self.valkey.passwords.items() if name.startswith("REDIS")}
        return {**API, **given, "FILE_TOKEN": FILE_TOKEN, "MONGO_PASSWORD": MONGO_PASSWORD}

    @property
    def token_file(self) -> Path:
        return self.directory / "token" / "access_token"

    def environment(self, name: str, **changes: str) -> dict[str, str]:
        own = {
            variable: os.environ[variable]
            for variable in ("PATH", "HOME", "LANG", "NUMBA_CACHE_DIR")
            if variable in os.environ
        }
        return {
            **own,
            **API,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "ACCESS_TOKEN_FILE": str(self.token_file),
            "REDIS_URL": self.valkey.url_of(name),
            "MONGO_URL": self.mongo.url,
            "KITE_API_URL": self.exchange.http,
            "KITE_WS_URL": self.exchange.ws,
            "MARKET_CLOCK": str(self.exchange.clock),
            "INSTRUMENTS": "NSE:NIFTY 50,NSE:INFY,NSE:RELIANCE",
            "TIMEFRAMES": "5s,1m",
            "LOG_LEVEL": "DEBUG",
            "LOG_DIR": str(self.directory / "logs"),
            "JOURNAL_DIR": str(self.directory / "journal"),
            **changes,
        }

    def start(self, name: str, label: str = "", **changes: str) -> ChildProcess:
        label = label or name
        self.running[label] = ChildProcess(
            label,
            [sys.executable, str(ROOT / SCRIPTS[name])],
            log_path=self.directory / f"{label}.out",
            environment=self.environment(name, **changes),
            directory=self.directory,
        )
        return self.running[label]

    def doctor(self, *options: str, **changes: str) -> str:
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "doctor", *options],
            env=self.environment("connector", **changes),
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout + done.stderr

    def logged(self, label: str) -> str:
        return (self.directory / f"{label}.out").read_text()

    def raw_redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.valkey.url_of("default"), protocol=2, socket_timeout=5)


@dataclass
class Seen:
    """What was noted while it ran."""

    command_lines: dict[str, bytes]
    environments: dict[str, bytes]
    doctor: str


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("secrets")
    (directory / "servers").mkdir()
    with ExitStack() as ending:
        valkey = ending.enter_context(guarded_valkey(directory / "servers"))
        mongo = ending.enter_context(mongo_server(directory / "servers"))
        exchange = ending.enter_context(simulator("--instruments", "60", "--seed", "7", at="11:00:00", speed=10))
        stage = Place(directory, valkey, mongo, exchange)
        ending.callback(lambda: [process.end() for process in stage.running.values()])
        yield stage


@pytest.fixture(scope="module")
def seen(place: Place) -> Seen:
    """A session: candles, a token that dies, another one by the file, candles again, the end."""
    place.exchange.fault(name="accept", token=API["ACCESS_TOKEN"])
    for name in SCRIPTS:
        place.start(name)
    with place.raw_redis() as client:
        wait_until(lambda: client.exists("indicators:NSE:INFY:5s"), "indicator values", 240)
        place.exchange.fault(name="expire")
        place.exchange.fault(name="drop")
        wait_until(lambda: "run manage.py login" in place.logged("connector"), "the refused token", 120)
        place.exchange.fault(name="accept", token=FILE_TOKEN)
        store_token(place.token_file, FILE_TOKEN)
        wait_until(lambda: health(client).get(b"state") == b"up", "the connection with the token of the file", 120)
        length = client.xlen("closed:{a}")
        wait_until(lambda: client.xlen("closed:{a}") > length, "candles after it", 120)
    noted = Seen(
        dict(command_lines()),
        {name: environment_of(place.running[name].pid) for name in SCRIPTS},
        place.doctor() + place.doctor("--process", "connector"),
    )
    for name in SCRIPTS:
        assert place.running[name].end(60.0), place.running[name].last_lines()
    return noted


def health(client: Any) -> dict[bytes, bytes]:
    report: dict[bytes, bytes] = client.hgetall("health:connector")
    return report


def leaks(
    secrets: Mapping[str, str], contents: Mapping[str, bytes] | Iterator[tuple[str, bytes]]
) -> dict[str, set[str]]:
    pairs = contents.items() if isinstance(contents, Mapping) else contents
    found = {where: found_in(secrets, content) for where, content in pairs}
    return {where: names for where, names in found.items() if names}


# Where a secret was put by us, or by the server itself for its own use.
EXPECTED = {"token/access_token": {"FILE_TOKEN"}}


def without_expected(place: Place, found: dict[str, set[str]]) -> dict[str, set[str]]:
    kept = {where: names - EXPECTED.get(where, set()) for where, names in found.items()}
    return {where: names for where, names in kept.items() if names and where != "servers/redis/users.acl"}


def test_nothing_that_a_session_leaves_holds_a_secret(place: Place, seen: Seen) -> None:
    with place.raw_redis() as client:
        contents = dict(collected(everything(place.directory, client, place.mongo.url)))
    assert without_expected(place, leaks(place.secrets, contents)) == {}


def test_the_hunt_would_have_found_them(place: Place, seen: Seen) -> None:
    """A word that is no secret is found in each kind of place, and each secret where it was put."""
    with place.raw_redis() as client:
        contents = dict(collected(everything(place.directory, client, place.mongo.url)))
    with_symbol = {where for where, content in contents.items() if found_in({"symbol": "NSE:INFY"}, content)}
    assert {"redis closed:{a}", "redis instruments", "mongo candlewick.candles"} <= with_symbol
    with_mark = {where for where, content in contents.items() if found_in({"mark": '"mark":"subscribed"'}, content)}
    assert "redis ticks:{a}" in with_mark
    assert any(where.startswith("journal/") for where in with_mark)
    assert found_in({"sentence": "run manage.py login"}, contents["logs/connect.log"])
    assert found_in(place.secrets, contents["token/access_token"]) == {"FILE_TOKEN"}
    assert len(found_in(place.secrets, contents["servers/redis/users.acl"])) >= 5


def collected(pairs: Iterator[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Contents of one place joined."""
    joined: dict[str, list[bytes]] = {}
    for where, content in pairs:
        joined.setdefault(where, []).append(content)
    return ((where, b"\n".join(parts)) for where, parts in joined.items())


def test_no_command_line_shows_a_secret(place: Place, seen: Seen) -> None:
    ours = [content for content in seen.command_lines.values() if b"connect.py" in content]
    assert ours, "the processes are among those looked at"
    assert leaks(place.secrets, seen.command_lines) == {}


def test_a_process_has_the_secrets_it_was_given_and_no_other(place: Place, seen: Seen) -> None:
    for name, environment in seen.environments.items():
        own = {*API, f"REDIS_{name.upper()}_PASSWORD"}
        assert found_in(place.secrets, environment) == own


def test_the_doctor_shows_no_secret(place: Place, seen: Seen) -> None:
    assert "connector" in seen.doctor
    assert found_in(place.secrets, seen.doctor.encode()) == set()


def test_the_token_of_the_file_is_its_owners_only(place: Place, seen: Seen) -> None:
    assert place.token_file.stat().st_mode & 0o077 == 0


WRONG_URLS = {
    "REDIS_URL": ["redis://connector:{secret}@127.0.0.1:notaport", "http://connector:{secret}@127.0.0.1:1"],
    "MONGO_URL": ["mongodb://candlewick:{secret}/x@127.0.0.1:1", "candlewick:{secret}@127.0.0.1:1"],
    "KITE_WS_URL": ["https://{secret}"],
    "JOURNAL_DAYS": ["{secret}"],
}


@pytest.mark.parametrize(
    ("setting", "value"), [(name, value) for name, values in WRONG_URLS.items() for value in values]
)
def test_a_bad_setting_shows_no_secret(place: Place, setting: str, value: str) -> None:
    """All scripts read their settings in one way."""
    secret = "Hide6InAWrongUrlPn5"
    label = f"bad-{setting}-{abs(hash(value)) % 10**6}"
    process = place.start("candle_worker", label, **{setting: value.format(secret=secret)})
    try:
        process.popen.wait(120)
        logged = place.logged(label)
    finally:
        process.end()
    assert process.exit_code == 2, logged
    assert f"{setting}: " in logged
    assert found_in({**place.secrets, "IN_URL": secret}, logged.encode()) == set()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_wrong_password_of_redis_is_not_shown(place: Place, name: str) -> None:
    wrong = "Hide7WrongPasswordYg3"
    url = f"redis://{name}:{wrong}@127.0.0.1:{place.valkey.port}/0"
    label = f"wrong-{name}"
    process = place.start(name, label, REDIS_URL=url, JOURNAL_DIR=str(place.directory / f"journal-{label}"))
    try:
        wait_until(lambda: "Redis" in place.logged(label), "its complaint", 120)
        doctor = place.doctor(REDIS_URL=url)
    finally:
        process.end(60.0)
    assert "Redis refuses the user or the password of REDIS_URL" in doctor
    assert found_in({**place.secrets, "WRONG": wrong}, (place.logged(label) + doctor).encode()) == set()


def test_a_mongodb_that_refuses_the_password_shows_none(place: Place, seen: Seen) -> None:
    """The stand-in knows no users and refuses whoever comes with a password: just what is wanted here."""
    url = f"mongodb://candlewick:{MONGO_QUOTED}@127.0.0.1:{place.mongo.port}/?authSource=admin"
    with place.raw_redis() as client:
        last: Any = client.xinfo_stream("closed:{a}")["last-generated-id"]
        ms, _, counter = last.partition(b"-")
        # Right after the last: the candles of what is still to come follow it, in market time.
        client.xadd("closed:{a}", {"json": b'{"_id": "late", "k": "late"}'}, id=f"{int(ms)}-{int(counter) + 1}")
        process = place.start("candle_worker", "mongo-refuses", MONGO_URL=url)
        try:
            wait_until(
                lambda: client.hget("health:candle_worker", "archive_state") == b"failing",
                "the archiver's complaint",
                120,
            )
            report = b"\n".join(client.hgetall("health:candle_worker").values())
            doctor = place.doctor()
        finally:
            process.end(60.0)
    assert "does not get its results into MongoDB" in doctor
    written = dict(files(place.directory / "logs")) | {"health": report, "doctor": doctor.encode()}
    written |= {"out": place.logged("mongo-refuses").encode()}
    assert leaks(place.secrets, written) == {}


def test_a_server_with_a_wrong_certificate_learns_and_shows_nothing(place: Place, tmp_path: Path) -> None:
    _, context = certificate(tmp_path, "wrong.example")
    with FakeBroker([stock(408065, "INFY")], tls=context) as broker:
        label, here = "wrong-certificate", str(place.directory / "journal-wrong-certificate")
        process = place.start(
            "connector",
            label,
            KITE_API_URL=broker.api_url,
            KITE_WS_URL=broker.ws_url,
            INSTRUMENTS="NSE:INFY",
            JOURNAL_DIR=here,
            REDIS_PREFIX="",
        )
        try:
            wait_until(lambda: "certificate" in place.logged(label).lower(), "its complaint", 120)
        finally:
            process.end(60.0)
        assert (broker.attempts, broker.dumps_served) == ([], 0)
    assert leaks(place.secrets, {"out": place.logged(label).encode()}) == {}


def test_nobody_was_refused_anything_it_needs(place: Place, seen: Seen) -> None:
    assert {refusal for refusal in place.valkey.refusals() if refusal[1] != "auth"} == set()
