"""Target: the settings, with any text in any variable and in `.env`: a value or one sentence, never a secret."""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data_handler import rules_of
from tests.fuzz.byte_reader import ByteReader
from utils.market.ist import ist_date
from utils.runtime.settings import Settings, SettingsError
from utils.stores.redis_connection import open_redis

SECRET = "hunter2secret"
SECRETS = ("API_KEY", "API_SECRET", "ACCESS_TOKEN", "REDIS_URL", "MONGO_URL")
NAMES = tuple(name.upper() for name in Settings.model_fields)
LARGEST = 2**53  # the limit of every numeric setting: sums and products fit into 64 bits
VALUES = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "3",
        "nan",
        "inf",
        "-inf",
        "1e308",
        "1e-320",
        "9" * 25,
        "9" * 5000,
        "0x10",
        "1_000",
        "٣",
    ),
    *(
        "true",
        "no",
        "full",
        "1m",
        "1m,5m",
        "1d",
        "90m",
        "99999999h",
        "NSE:INFY",
        "NSE:INFY,NSE:INFY",
        "NSE",
        "::",
        ",",
    ),
    *("redis://", "redis://h/x", "redis://h:99999", "redis://:p@h?socket_timeout=x", "rediss://[::1", "unix:///x"),
    *(
        "mongodb://",
        "mongodb://h:x",
        "mongodb://h/?w=x&authSource=",
        "mongodb://u:p%zz@h",
        "http://h:1",
        "ws://h\r\nX: y",
    ),
    *("2026-11-20T09:00:00+05:30@60@1795000000", "9999-12-31T23:59:59@1e9@0", "0001-01-01@1@1e18", "x@y@z", "@@"),
    *("15:15", "24:00", "١٥:١٥", "/", "/proc/x", "a\nb", "\udc80", "𝕏", "a" * 3000),
)


def check(data: bytes) -> None:
    reader = ByteReader(data)
    given: dict[str, str] = {}
    dotenv = b""
    for _ in range(1 + reader.below(4)):
        name = reader.pick(NAMES)
        given[name] = _value(reader)
    if reader.byte() % 4 == 3:
        dotenv = reader.rest()
    with only_these(given, dotenv):
        check_load(given)


def _value(reader: ByteReader) -> str:
    if reader.below(3):
        return reader.pick(VALUES)
    free = reader.read(reader.byte() % 80)
    return free.replace(b"\0", b"").decode("utf-8", "surrogateescape")


@contextmanager
def only_these(given: dict[str, str], dotenv: bytes) -> Iterator[None]:
    """Within the block, environment and working directory have nothing else."""
    before, home = dict(os.environ), Path.cwd()
    with tempfile.TemporaryDirectory() as name:
        try:
            os.environ.clear()
            os.environ.update(dict.fromkeys(SECRETS[:3], SECRET))
            os.environ["REDIS_URL"] = f"redis://:{SECRET}@127.0.0.1:6379/0"
            os.environ["MONGO_URL"] = f"mongodb://u:{SECRET}@127.0.0.1:27017"
            os.environ.update({key: _with_secret(key, value) for key, value in given.items()})
            os.chdir(name)
            if dotenv:
                Path(".env").write_bytes(dotenv)
            yield
        finally:
            os.chdir(home)
            os.environ.clear()
            os.environ.update(before)


def _with_secret(name: str, value: str) -> str:
    """Inserts SECRET into the middle of a secret setting's value, to find it in output."""
    return f"{value[: len(value) // 2]}{SECRET}{value[len(value) // 2 :]}" if name in SECRETS else value


def check_load(given: dict[str, str]) -> None:
    try:
        settings = Settings.load()
    except SettingsError as error:
        sentence = str(error)
        assert SECRET not in sentence
        assert "\n" not in sentence and 0 < len(sentence) < 1_000, sentence
        assert sentence.startswith((*(f"{name}:" for name in NAMES), ".env:")), sentence
        assert error.__suppress_context__ or error.__context__ is None
        return
    assert SECRET not in repr(settings) + str(settings)
    check_useful(settings)


def check_useful(settings: Settings) -> None:
    """An accepted value does not crash a process later."""
    for name, value in settings:
        if isinstance(value, (int, float)):
            assert 0 <= value < LARGEST, name
    assert all(isinstance(rule, (int, float)) for rule in rules_of(settings))
    assert 1 <= settings.shards <= 3
    assert all(frame.length_ms >= 0 for frame in settings.timeframes)
    assert 0 < 1 / settings.history_requests_per_second < threading.TIMEOUT_MAX
    for seconds in (settings.watchdog_seconds, settings.lease_seconds, settings.live_refresh_ms / 1000):
        assert 0 < seconds < threading.TIMEOUT_MAX
    ist_date(settings.market_clock.now_ms())
    str(settings.market_clock)
    open_redis(settings.redis_url.get_secret_value()).connection_pool.make_connection()
    for path in (settings.journal_dir, settings.log_dir, settings.access_token_file):
        assert "\0" not in str(path)


def seeds() -> list[bytes]:
    singles = [
        bytes([0, n, 1, v]) for n in range(len(NAMES)) for v in (0, 6, 8, 10, 11, 12, 20, 29, 36, 44, (7 * n) % 59)
    ]
    dotenv = b"API_KEY=abc\nINSTRUMENTS='NSE:INFY,NSE:NIFTY 50'\n# a comment\nSTREAM_HOURS=nan\nexport X\n"
    return [*singles, bytes([0, 3, 1, 2, 3]) + dotenv, bytes([0, 3, 1, 2, 3]) + b"\xff\xfe\x00="]
