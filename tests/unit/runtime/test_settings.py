"""The settings: what is refused and with which sentence, what stays secret, and that `.env.example` is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from dotenv import dotenv_values
from pydantic import SecretStr, ValidationError

from utils.market.clock import REAL_TIME
from utils.runtime.setting_names import COMPOSE_NAMES
from utils.runtime.settings import DEFAULT_INSTRUMENTS, Settings, SettingsError

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / ".env.example"
COMPOSE = ROOT / "docker-compose.yml"
SECRET = "s3cr3t-w0rd"

_ASSIGNMENT = re.compile(r"#?([A-Z][A-Z0-9_]*)=")
_EXPLANATION = re.compile(r"# \[[^]]+\] \S.*[.;]?$")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting from the outside: neither from the environment nor from a `.env` in the working directory."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def example_lines() -> list[str]:
    return EXAMPLE.read_text().splitlines()


def example_values(tmp_path: Path) -> dict[str, str]:
    """All values shown, those behind a # too, read as a `.env` is read."""
    lines = [line.removeprefix("#") for line in example_lines() if _ASSIGNMENT.match(line)]
    path = tmp_path / "shown.env"
    path.write_text("\n".join(lines))
    return {name: value or "" for name, value in dotenv_values(path).items()}


def plain(value: object) -> object:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


def compose_names() -> set[str]:
    """What only docker-compose.yml reads from `.env`, such as the databases' passwords."""
    text = COMPOSE.read_text() if COMPOSE.exists() else ""
    return set(re.findall(r"\$\{([A-Z][A-Z0-9_]*)", text)) - {name.upper() for name in Settings.model_fields}


def test_the_names_that_only_compose_reads_are_known() -> None:
    assert compose_names() == COMPOSE_NAMES


def test_the_example_names_every_setting_and_nothing_else() -> None:
    names = [match[1] for match in map(_ASSIGNMENT.match, example_lines()) if match]
    assert len(names) == len(set(names))
    fields = {name.upper() for name in Settings.model_fields}
    assert fields - set(names) == set()
    assert set(names) - fields <= compose_names()


def test_the_example_explains_every_setting_with_its_unit() -> None:
    lines = example_lines()
    for before, line in pairwise(lines):
        match = _ASSIGNMENT.match(line)
        if match:
            assert _EXPLANATION.fullmatch(before), f"{match[1]} has no line '# [unit] explanation' above it"


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_the_example_shows_the_default(name: str, tmp_path: Path) -> None:
    shown = Settings.load(**{name: example_values(tmp_path)[name.upper()]})
    assert plain(getattr(shown, name)) == plain(getattr(Settings.load(), name))


def test_the_example_as_it_is_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(EXAMPLE.read_text())
    assert Settings.load() == Settings.load(_env_file=None)


def test_the_defaults() -> None:
    settings = Settings.load()
    assert settings.instruments == DEFAULT_INSTRUMENTS
    assert settings.symbols[:2] == ("NSE:NIFTY 50", "NSE:NIFTY BANK")
    assert [timeframe.name for timeframe in settings.timeframes] == ["1m", "3m", "5m", "15m", "30m", "1h", "1d"]
    assert settings.kite_api_url == "https://api.kite.trade"
    assert settings.kite_ws_url == "wss://ws.kite.trade"
    assert settings.strategy_names == ("momentum",)
    assert settings.market_clock == REAL_TIME
    assert settings.shards == 1


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text('JOURNAL_DAYS=7\nMONGO_DB=from_file\nINSTRUMENTS="NSE:M&M, BSE:SENSEX"\n')
    monkeypatch.setenv("JOURNAL_DAYS", "8")
    settings = Settings.load()
    assert (settings.journal_days, settings.mongo_db) == (8, "from_file")
    assert settings.symbols == ("NSE:M&M", "BSE:SENSEX")


@pytest.mark.parametrize(
    ("instruments", "connections", "shards"), [(1, 0, 1), (3000, 0, 1), (3001, 0, 2), (9000, 0, 3), (2, 3, 3)]
)
def test_as_many_shards_as_connections(instruments: int, connections: int, shards: int) -> None:
    names = ",".join(f"NFO:X{number}" for number in range(instruments))
    assert Settings.load(instruments=names, connections=connections).shards == shards


def test_the_streams_share_what_they_may_take_together() -> None:
    assert Settings.load(stream_max_mb=512).stream_max_bytes == 512 << 20
    assert 3 * Settings.load(stream_max_mb=512, connections=3).stream_max_bytes <= 512 << 20
    assert Settings.load(stream_max_mb=48, connections=3).stream_max_bytes == 16 << 20
    with pytest.raises(SettingsError, match=r"^STREAM_MAX_MB: .* at least 48, 16 for each connection$"):
        Settings.load(stream_max_mb=47, connections=3)


WRONG = {
    "INSTRUMENTS": [
        "",
        " , ",
        "INFY",
        "NSE:",
        ":INFY",
        "N1:INFY",
        "NSE:INFY,NSE:INFY",
        ",".join(f"NSE:S{n}" for n in range(9001)),
    ],
    "TIMEFRAMES": ["", "5", "2d", "1m,60s", "25h"],
    "KITE_API_URL": ["", "api.kite.trade", "ftp://x"],
    "KITE_WS_URL": ["https://ws.kite.trade", "wss://", "ws://host:port"],
    "REDIS_URL": ["127.0.0.1:6379", "http://x", "redis://:pa/ss@host:1"],
    "MONGO_URL": ["127.0.0.1:27017", "mongo://x"],
    "MONGO_DB": ["", "a.b", "a b"],
    "CONNECTIONS": ["-1", "4", "x", "1.5"],
    "SUBSCRIBE_MODE": ["all", "FULL"],
    "JOURNAL_DAYS": ["0", "many"],
    "CLOSE_GRACE_SECONDS": ["-1", "nan", "inf", "3s"],
    "LIVE_REFRESH_MS": ["0", "2.5"],
    "STREAM_HOURS": ["0"],
    "ZSCORE_WINDOW": ["9", "1001"],
    "ZSCORE_MIN_TICKS": ["121", "4"],
    "ZSCORE_WARN": ["4.5", "0"],
    "ZSCORE_REJECT": ["0", "inf"],
    "NO_NEW_ENTRIES_AFTER": ["24:00", "15.15", "15:60", "-1:00", "afternoon", "-5m", "15", "1h", "m", ""],
    "WARMUP": ["perhaps"],
    "LOG_LEVEL": ["debug", "TRACE"],
    "MARKET_CLOCK": ["now", "2026-11-20T09:00@0@1", "2026-11-20T09:00@60@nan", "2026-11-20T09:00@60@inf"],
    "HEALTH_TTL_SECONDS": ["1"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_one_sentence_naming_the_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    message = str(caught.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert len(message) > len(name) + 12
    assert "pa/ss" not in message


def test_a_file_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"JOURNAL_DAYS=\xff\xfe\n")
    with pytest.raises(SettingsError, match=r"^\.env: cannot be read"):
        Settings.load()


def test_secrets_may_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name, value in {"api_key": "of-file", "API_SECRET": "of-file\n", "redis_url": "redis://:x@file:1"}.items():
        (folder / name).write_text(value)
    (tmp_path / ".env").write_text(f"SECRETS_DIR={folder}\nAPI_KEY=\nAPI_SECRET=of-dotenv\n")
    monkeypatch.setenv("REDIS_URL", "redis://:x@environment:1")
    settings = Settings.load()
    assert settings.api_key.get_secret_value() == "of-file", "an empty line in .env is none"
    assert settings.api_secret.get_secret_value() == "of-dotenv"
    assert settings.redis_url.get_secret_value() == "redis://:x@environment:1"


@pytest.mark.parametrize("text", ["API_SECRET=of-file\n", "api_secret = 'of-file'\r\n", '"API_SECRET=of-file"'])
def test_a_file_of_secrets_may_name_the_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    (tmp_path / "api_secret").write_text(text)
    (tmp_path / "api_key").write_text("a=b")
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    settings = Settings.load()
    assert settings.api_secret.get_secret_value() == "of-file"
    assert settings.api_key.get_secret_value() == "a=b"


def test_a_secret_that_docker_made_a_folder_of_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does so for a file that is not there; the secret would be empty without a word."""
    (tmp_path / "api_secret").mkdir()
    (tmp_path / "..data").mkdir()
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    with pytest.raises(SettingsError, match=r"^API_SECRET: its file in SECRETS_DIR is a folder"):
        Settings.load()


def test_a_folder_of_secrets_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", "nowhere")
    with pytest.raises(SettingsError, match=r"^SECRETS_DIR: nowhere is not a folder"):
        Settings.load()


def test_a_wrong_secret_in_a_file_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mongo_url").write_text(SECRET)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert str(caught.value).startswith("MONGO_URL: ")
    assert SECRET not in repr(caught.value)


SECRETS: dict[str, str] = {
    "api_key": SECRET,
    "api_secret": SECRET,
    "access_token": SECRET,
    "redis_url": f"redis://:{SECRET}@127.0.0.1:6379/0",
    "mongo_url": f"mongodb://user:{SECRET}@127.0.0.1:27017",
}


def test_secrets_are_never_shown_by_the_settings() -> None:
    settings = Settings.load(**SECRETS)
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert SECRET not in text
    for name, value in SECRETS.items():
        assert getattr(settings, name).get_secret_value() == value


@pytest.mark.parametrize(
    "wrong",
    [
        {"redis_url": f"{SECRET}://x"},
        {"redis_url": f"redis://:{SECRET}/x@host:1"},
        {"mongo_url": f"user:{SECRET}@127.0.0.1"},
        {"journal_days": "0"},
        {"zscore_warn": "9"},
        {"timeframes": "x"},
    ],
)
def test_secrets_are_never_in_an_error(wrong: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**{**SECRETS, **wrong})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_the_settings_cannot_be_changed() -> None:
    settings: Any = Settings.load()
    with pytest.raises(ValidationError):
        settings.journal_days = 5


SCRIPT = """
from utils.runtime.lifecycle import StopRequest, run_script
from utils.runtime.settings import Settings, SettingsError

def main(settings: Settings, stop: StopRequest) -> int:
    if settings.strategies == "unknown":
        raise SettingsError("STRATEGIES: there is no strategy 'unknown'")
    if settings.strategies == "breaking":
        raise RuntimeError("broke over " + settings.access_token.get_secret_value())
    return 7

run_script("tiny", main)
"""


def run_tiny(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "tiny.py"
    script.write_text(SCRIPT)
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in Settings.model_fields}
    return subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env={**inherited, "PYTHONPATH": str(ROOT), "LOG_DIR": str(tmp_path / "logs"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("TIMEFRAMES", "5x"), ("STRATEGIES", "unknown"), ("LOG_DIR", "/dev/null/logs"), ("JOURNAL_DAYS", "0")],
)
def test_a_script_ends_with_one_sentence_and_code_2(tmp_path: Path, name: str, value: str) -> None:
    ended = run_tiny(tmp_path, **{name: value, "ACCESS_TOKEN": SECRET})
    assert ended.returncode == 2
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"tiny: {name}: ")
    assert "Traceback" not in ended.stderr
    assert SECRET not in ended.stderr + ended.stdout


def test_a_scripts_own_fault_is_logged_and_code_1(tmp_path: Path) -> None:
    ended = run_tiny(tmp_path, STRATEGIES="breaking", ACCESS_TOKEN=SECRET)
    assert ended.returncode == 1
    logged = (tmp_path / "logs" / "tiny.log").read_text()
    for text in (ended.stderr, logged):
        assert "RuntimeError: broke over ***" in text
        assert SECRET not in text


def test_a_scripts_code_is_its_own(tmp_path: Path) -> None:
    assert run_tiny(tmp_path).returncode == 7


def test_a_simulation_needs_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "ACCESS_TOKEN", "MARKET_CLOCK"):
        monkeypatch.delenv(name, raising=False)
    real = Settings.load(_env_file=None)
    assert (real.api_key.get_secret_value(), real.access_token.get_secret_value()) == ("", "")
    monkeypatch.setenv("MARKET_CLOCK", "2026-11-20T09:00:00+05:30@60@1795000000")
    played = Settings.load(_env_file=None)
    assert played.api_key.get_secret_value() and played.access_token.get_secret_value()
    monkeypatch.setenv("API_KEY", "mine")
    assert Settings.load(_env_file=None).api_key.get_secret_value() == "mine"
