"""`.env` as editors, shells and people write it: what is written is taken, what cannot be meant is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from utils.runtime.settings import Settings, SettingsError

BOM = b"\xef\xbb\xbf"
LIST = b"INSTRUMENTS=NSE:TCS,NSE:INFY\nAPI_KEY=abc\n"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def load(content: bytes) -> Settings:
    Path(".env").write_bytes(content)
    return Settings.load()


@pytest.mark.parametrize(
    "content",
    [
        LIST,
        BOM + LIST,
        LIST.replace(b"\n", b"\r\n"),
        BOM + LIST.replace(b"\n", b"\r\n"),
        LIST.decode().encode("utf-16"),
        LIST.decode().encode("utf-16-le"),
        b"\xfe\xff" + LIST.decode().encode("utf-16-be"),
        b"export API_KEY=abc\nexport INSTRUMENTS = NSE:TCS, NSE:INFY\n",
        b"API_KEY=abc # mine\nINSTRUMENTS=NSE:TCS,NSE:INFY   # two\n",
        b"API_KEY='abc'\nINSTRUMENTS=\"NSE:TCS,NSE:INFY\"\n",
        "API_KEY=“abc”\nINSTRUMENTS=‘NSE:TCS,NSE:INFY’\n".encode(),
        b'INSTRUMENTS="NSE:TCS,\n  NSE:INFY,\n"\nAPI_KEY=abc\n',
        b"API_KEY=\nINSTRUMENTS=NSE:TCS,NSE:INFY\nAPI_KEY=abc\n",
        b"API_KEY=abc\nINSTRUMENTS=NSE:TCS,NSE:INFY\nAPI_KEY=abc\n",
        b"api_key=abc\ninstruments=NSE:TCS,NSE:INFY\n",
        b"FIRST=NSE:TCS\nAPI_KEY=abc\nINSTRUMENTS=${FIRST},NSE:INFY\n",
    ],
)
def test_what_is_written_is_taken(content: bytes) -> None:
    settings = load(content)
    assert settings.symbols == ("NSE:TCS", "NSE:INFY")
    assert settings.api_key.get_secret_value() == "abc"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"A=1\n\nINSTRUMENTS=NSE:TCS,\n  NSE:INFY\n", r"^\.env: line 4 is not NAME=value: .*into quotes$"),
        (b"INSTRUMENTS=NSE:TCS,\\\n  NSE:INFY\n", r"^\.env: line 2 is not NAME=value"),
        (b"INSTRUMENTS='NSE:TCS,NSE:INFY\nAPI_KEY=hush\n", r"^\.env: line 1 is not NAME=value: .*close its quotes"),
        (
            b"API_KEY=hush\nJOURNAL_DAYS=1\nAPI_KEY=shh\n",
            r"^\.env: API_KEY has two values, in lines 1 and 3: keep one$",
        ),
        (b"API_KEY=hush\nAPI_KEY=\n", r"^\.env: API_KEY has two values, in lines 1 and 2"),
        (b"API_KEY=hush\napi_key=shh\n", r"^\.env: API_KEY has two values"),
        (b"API_SECRET=ab${hush}cd\n", r"^\.env: line 1: its \$\{…\} is a name that nothing sets"),
        (b"INSTRUMENT=NSE:TCS\n", r"^\.env: INSTRUMENT is no setting: write INSTRUMENTS, or take the line out$"),
        (b"TIME_FRAMES=1m\n", r"^\.env: TIME_FRAMES is no setting: write TIMEFRAMES"),
        (b"KITE_API_KEY=hush\n", r"^\.env: KITE_API_KEY is no setting: write API_KEY"),
        (b"STRATEGY=momentum\n", r"^\.env: STRATEGY is no setting: write STRATEGIES"),
        (b"MONGODB_URI=mongodb://hush\n", r"^\.env: MONGODB_URI is no setting: write MONGO_URL"),
        (b"REDIS_PASSWD=hush\n", r"^\.env: REDIS_PASSWD is no setting: write REDIS_PASSWORD"),
        (b"INSTRUMENTS=\n", r"^INSTRUMENTS: the list is empty"),
        (b"TIMEFRAMES='  '\n", r"^TIMEFRAMES: the list is empty"),
        (b"API_KEY=hush'\n", r"^API_KEY: a blank, a quote or a foreign letter"),
        (b"API_SECRET=hush hush\n", r"^API_SECRET: a blank, a quote or a foreign letter"),
        ("API_KEY=”hush”\n".encode(), r"^API_KEY: a blank, a quote or a foreign letter"),
        ("API_KEY=h\u00fcsh\n".encode("cp1252"), r"^\.env: cannot be read; make it, .* text in UTF-8$"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence_that_shows_no_value(content: bytes, sentence: str) -> None:
    with pytest.raises(SettingsError, match=sentence) as caught:
        load(content)
    assert "hush" not in str(caught.value) and "shh" not in str(caught.value)


def test_a_pasted_secret_is_not_shown_as_a_name() -> None:
    with pytest.raises(SettingsError, match="a name has two values") as caught:
        load(b"q9Zx7K2=1\nq9Zx7K2=2\n")
    assert "Q9ZX" not in str(caught.value).upper()


def test_a_name_that_nothing_reads_is_shown_of_and_known_ones_are_not() -> None:
    settings = load(b"COLOUR=red\nTZ=Asia/Kolkata\nCOMPOSE_PROFILES=demo\nREDIS_PORT=6380\nREDIS_PASSWORD=x\n")
    (found,) = settings.unread
    assert found.sentence == "COLOUR in .env is no setting, so that its value is ignored: take it out."


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("INSTRUMENT", "INSTRUMENTS"),
        ("TIME_FRAMES", "TIMEFRAMES"),
        ("KITE_API_KEY", "API_KEY"),
        ("REDIS_URI", "REDIS_URL"),
        ("API-KEY", "API_KEY"),
        ("CLOSE_GRACE", "CLOSE_GRACE_SECONDS"),
        ("CLOSE_GRACE_MS", "CLOSE_GRACE_SECONDS"),
        ("MAX_CLOCK_SKEW", "MAX_CLOCK_SKEW_SECONDS"),
        ("JOURNAL_HOURS", "JOURNAL_DAYS"),
        ("STREAM_MAX", "STREAM_MAX_MB"),
        ("WATCHDOG_SEC", "WATCHDOG_SECONDS"),
        ("LEASE", ""),  # one word alone may be anybody's
        ("ZSCORE_FLOOR", ""),  # in ticks or in basis points
    ],
)
def test_a_near_name_in_the_environment_is_shown_of(name: str, near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    found = [setting for setting in Settings.load().unread if setting.name == name]
    assert [setting.near for setting in found] == ([near] if near else [])
    for setting in found:
        assert (
            setting.sentence
            == f"{name} in the environment is no setting, so that its value is ignored: write {near}."
        )


def test_a_near_name_beside_the_right_one_is_somebody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONGODB_URL", "mongodb://elsewhere")
    monkeypatch.setenv("MONGO_URL", "mongodb://127.0.0.1:27017")
    assert "MONGODB_URL" not in [setting.name for setting in Settings.load().unread]


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "GITHUB_TOKEN",
        "REDIS_HOST",
        "USER",
        "LOGNAME",
        "MONGO_PORT",
        "LANG",
    ],
)
def test_foreign_names_in_the_environment_are_left_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "x")
    assert name not in [setting.name for setting in Settings.load().unread]


def test_quotes_that_docker_leaves_in_the_environment_are_no_part_of_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", '"abc"')
    monkeypatch.setenv("INSTRUMENTS", "'NSE:TCS,NSE:M&M'")
    settings = Settings.load()
    assert (settings.api_key.get_secret_value(), settings.symbols) == ("abc", ("NSE:TCS", "NSE:M&M"))


def test_a_tilde_is_the_home_and_no_folder_of_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load(b"JOURNAL_DIR=~/journal\nLOG_DIR='~/logs'\nSESSIONS_LOCAL_FILE=~/hours.toml\n")
    assert (settings.journal_dir, settings.log_dir) == (tmp_path / "journal", tmp_path / "logs")
    assert settings.sessions_local_file == tmp_path / "hours.toml"
    with pytest.raises(SettingsError, match=r"^LOG_DIR: its ~ is nobody's home"):
        load(b"LOG_DIR=~no-such-user/logs\n")


@pytest.mark.parametrize("prefix", ["*", "a b", "a\tb:", "x?", "[ab]:", "~", "é:"])
def test_a_prefix_that_would_change_the_rules_of_redis_users_is_refused(prefix: str) -> None:
    with pytest.raises(SettingsError, match=r"^REDIS_PREFIX: write letters, digits"):
        Settings.load(redis_prefix=prefix)


def test_a_secret_file_is_read_as_people_write_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "api_key").write_bytes(BOM + b"abc\r\n")
    (folder / "API_SECRET").write_bytes('"shh"\r\n'.encode("utf-16"))
    (folder / "access_token.txt").write_bytes(b"lost")
    (folder / "tls.key").write_bytes(b"\xff\x00")
    monkeypatch.setenv("SECRETS_DIR", str(folder))
    settings = Settings.load()
    assert (settings.api_key.get_secret_value(), settings.api_secret.get_secret_value()) == ("abc", "shh")
    (found,) = settings.unread
    assert (
        found.sentence.startswith("ACCESS_TOKEN.TXT in SECRETS_DIR is no setting")
        and "write ACCESS_TOKEN" in found.sentence
    )
    (folder / "api_key").write_bytes(b"\xff\x00abc")
    with pytest.raises(SettingsError, match=r"^API_KEY: its file in SECRETS_DIR is no text"):
        Settings.load()
