"""Any text in any variable: a value that works, or one sentence that names the variable and shows no secret."""

from __future__ import annotations

import pytest

from tests.fuzz.settings_text import NAMES, SECRET, SECRETS, VALUES, check_load, only_these
from utils.runtime.settings import Settings, SettingsError


@pytest.mark.parametrize("name", NAMES)
def test_odd_values_of_a_variable(name: str) -> None:
    """A fifth of them each; the fuzzer and the saved corpus continue from there."""
    for value in VALUES[NAMES.index(name) % 5 :: 5]:
        given = {name: f"{value}{SECRET}" if name in SECRETS else value}
        with only_these(given, b""):
            check_load(given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("INSTRUMENTS", "NSE:TCS;NSE:INFY"),
        ("INSTRUMENTS", "NSE:TCS NSE:INFY"),
        ("INSTRUMENTS", "NSE:NSE:INFY"),
        ("CLOSE_GRACE_SECONDS", "1e300"),
        ("MAX_CLOCK_SKEW_SECONDS", "9" * 25),
        ("ZSCORE_FLOOR_TICKS", "9" * 25),
        ("CLOSED_MAX_ENTRIES", "9" * 25),
        ("JOURNAL_DAYS", "999999999"),
        ("LEASE_SECONDS", "1e-320"),
        ("HISTORY_REQUESTS_PER_SECOND", "1e-320"),
        ("HISTORY_REQUESTS_PER_SECOND", "inf"),
        ("HEALTH_TTL_SECONDS", "9" * 25),
        ("MONGO_DB", "a" * 64),
        ("REDIS_URL", "redis://:pw@h?socket_timeout=x"),
        ("REDIS_URL", "redis://:pw@h?colour=red"),
        ("MONGO_URL", "mongodb://u:p%zz@h"),
        ("MONGO_URL", "mongodb://h:99999999"),
        ("KITE_WS_URL", "ws://h\r\nX: y"),
        ("MARKET_CLOCK", "9999-12-31T23:59:59+00:00@1000@0"),
        ("SECRETS_DIR", "x" * 5000),
        ("SECRETS_DIR", "a\nb"),
    ],
)
def test_what_would_have_ended_a_process_later_is_refused_at_once(name: str, value: str) -> None:
    with only_these({name: value}, b""), pytest.raises(SettingsError, match=f"^{name}: .") as caught:
        Settings.load()
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    "dotenv", [b"\xff\xfe", b"\0", b"API_KEY=\0\n", b"=\n==\n'", b"JOURNAL_DIR='a\0b'\n", b"\xef\xbb\xbfX=1"]
)
def test_any_bytes_as_the_env_file(dotenv: bytes) -> None:
    with only_these({}, dotenv):
        check_load({})
