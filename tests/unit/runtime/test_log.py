"""Logging: one JSON line and one plain line for everything logged, and no secret in either."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any, Self

import pytest
import structlog

from utils.runtime import log
from utils.runtime.log import SecretMask, hide_secret, secrets_of, setup_logging
from utils.runtime.settings import Settings, SettingsError

TOKEN = "tok&en/1"
LATER = "a-later-token"


@pytest.fixture(autouse=True)
def own_logging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Masks and handlers of one test do not reach the next."""
    monkeypatch.setattr(log, "_mask", SecretMask())
    root = logging.getLogger()
    level = root.level
    yield
    for handler in [root_handler for root_handler in root.handlers if root_handler.name == log.HANDLER_MARK]:
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    structlog.reset_defaults()


def settings_for(tmp_path: Path, **changes: Any) -> Settings:
    return Settings.load(_env_file=None, log_dir=tmp_path / "logs", **changes)


def json_lines(tmp_path: Path, process: str = "tester") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tmp_path / "logs" / f"{process}.log").read_text().splitlines()]


def test_a_line_for_machines_and_one_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = setup_logging("tester", settings_for(tmp_path))
    logger.warning("socket silent", seconds=5.1, shard=0)
    (line,) = json_lines(tmp_path)
    at = datetime.fromisoformat(line.pop("at"))
    assert at.utcoffset() is not None
    assert line == {"event": "socket silent", "level": "warning", "process": "tester", "seconds": 5.1, "shard": 0}
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "WARNING tester: socket silent  seconds=5.1  shard=0" in shown


def test_the_level_is_a_setting(tmp_path: Path) -> None:
    logger = setup_logging("tester", settings_for(tmp_path, log_level="WARNING"))
    logger.info("not said")
    logger.error("said")
    logging.getLogger("library").info("not said")
    assert [line["event"] for line in json_lines(tmp_path)] == ["said"]


def test_libraries_come_out_the_same_way(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("tester", settings_for(tmp_path, access_token=TOKEN))
    logging.getLogger("kiteconnect").error("opening wss://x?access_token=%s", TOKEN)
    (line,) = json_lines(tmp_path)
    assert line["event"] == "opening wss://x?access_token=***"
    assert (line["level"], line["logger"]) == ("error", "kiteconnect")
    assert "kiteconnect: opening wss://x?access_token=***" in capsys.readouterr().err


@pytest.mark.parametrize(
    "logged",
    [
        {"event": f"got {TOKEN}"},
        {"event": "x", "token": TOKEN},
        {"event": "x", "deep": {"list": [1, (TOKEN, {TOKEN: TOKEN})]}},
        {"event": "x", "raw": TOKEN.encode()},
        {"event": "x", "quoted": "access_token=tok%26en%2F1"},
        {"event": "x", "an_object": ValueError(TOKEN)},
        {"event": "x", TOKEN: 1},
    ],
)
def test_a_secret_is_masked_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], logged: dict[str, Any]
) -> None:
    logger = setup_logging("tester", settings_for(tmp_path, access_token=TOKEN))
    logger.info(logged.pop("event"), **logged)
    for text in ((tmp_path / "logs" / "tester.log").read_text(), capsys.readouterr().err):
        assert "***" in text
        assert TOKEN not in text
        assert "tok%26en%2F1" not in text


def test_a_traceback_is_masked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logger = setup_logging("tester", settings_for(tmp_path, access_token=TOKEN))
    try:
        raise ConnectionError(f"403 for {TOKEN}")
    except ConnectionError:
        logger.exception("fails")
    (line,) = json_lines(tmp_path)
    assert "ConnectionError: 403 for ***" in line["exception"]
    shown = capsys.readouterr().err
    assert "ConnectionError: 403 for ***" in shown
    assert TOKEN not in shown + str(line)


def test_every_secret_of_the_settings_is_known(tmp_path: Path) -> None:
    settings = settings_for(
        tmp_path,
        api_key="the-key",
        api_secret="the-secret",
        access_token="the-token",
        redis_url="redis://:p%40ss@127.0.0.1:6379/0?password=other",
        mongo_url="mongodb://reader:m0ngo@127.0.0.1:27017",
    )
    assert sorted(secrets_of(settings)) == ["m0ngo", "other", "p%40ss", "the-key", "the-secret", "the-token"]
    logger = setup_logging("tester", settings)
    logger.info("all", first="the-key the-secret the-token", second="p%40ss p@ss m0ngo other", third="reader")
    (line,) = json_lines(tmp_path)
    assert line["first"] == "*** *** ***"
    assert line["second"] == "*** *** *** ***"
    assert line["third"] == "reader"


def test_without_secrets_nothing_is_masked(tmp_path: Path) -> None:
    assert secrets_of(settings_for(tmp_path)) == []
    setup_logging("tester", settings_for(tmp_path)).info("plain", text="", number=3, truth=True, nothing=None)
    (line,) = json_lines(tmp_path)
    assert (line["text"], line["number"], line["truth"], line["nothing"]) == ("", 3, True, None)


def test_a_token_that_comes_later_is_masked_from_then_on(tmp_path: Path) -> None:
    logger = setup_logging("tester", settings_for(tmp_path))
    hide_secret(LATER)
    logger.info("new token", token=LATER)
    assert json_lines(tmp_path)[0]["token"] == "***"


def test_a_secret_number_and_a_secret_within_another(tmp_path: Path) -> None:
    logger = setup_logging("tester", settings_for(tmp_path, api_key="4711", access_token="4711-long"))
    logger.info("x", number=4711, inside=547_119, other=12, both="4711-long 4711")
    (line,) = json_lines(tmp_path)
    assert (line["number"], line["inside"], line["other"], line["both"]) == ("***", "5***9", 12, "*** ***")


@pytest.mark.parametrize("secret", ["e", "of", "pwd"])
def test_a_secret_too_short_to_be_one_leaves_the_log_readable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    settings = settings_for(tmp_path, api_key=secret, redis_url=f"redis://:{secret}@127.0.0.1:6379/0")
    logger = setup_logging("tester", settings)
    logger.info("end of the pwd", free=True)
    assert json_lines(tmp_path)[0]["event"] == "end of the pwd"
    assert "INFO    tester: end of the pwd  free=True" in capsys.readouterr().err


@pytest.mark.parametrize("secret", ["info", "tester", "2026"])
def test_a_secret_that_reads_like_our_own_fields_leaves_them_readable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    setup_logging("tester", settings_for(tmp_path, access_token=secret)).info("got it", token=secret)
    (line,) = json_lines(tmp_path)
    assert (line["level"], line["process"], line["token"]) == ("info", "tester", "***")
    datetime.fromisoformat(line["at"])
    assert "INFO    tester: got it  token=***" in capsys.readouterr().err


def test_whoever_logs_in_a_process_names_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    setup_logging("tester", settings_for(tmp_path))
    structlog.get_logger().info("holds a shard")
    structlog.get_logger("warmup").bind(shard=0).info("warm")
    structlog.get_logger().bind(process="another").info("said for it")
    assert [line["process"] for line in json_lines(tmp_path)] == ["tester", "tester", "another"]
    shown = capsys.readouterr().err.splitlines()
    assert [line[13:] for line in shown[:2]] == ["INFO    tester: holds a shard", "INFO    tester: warm  shard=0"]


@pytest.mark.parametrize(("microsecond", "shown"), [(0, "20:38:55.000"), (7_000, "20:38:55.007")])
def test_a_time_always_has_its_milliseconds(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    microsecond: int,
    shown: str,
) -> None:
    class Standing(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2026, 11, 27, 20, 38, 55, microsecond, tzinfo=tz)

    monkeypatch.setattr(log, "datetime", Standing)
    setup_logging("tester", settings_for(tmp_path)).info("now")
    assert json_lines(tmp_path)[0]["at"] == f"2026-11-27T{shown}+05:30"
    assert capsys.readouterr().err.startswith(f"{shown} INFO ")


def test_odd_values_do_not_break_a_line(tmp_path: Path) -> None:
    logger = setup_logging("tester", settings_for(tmp_path))
    logger.info("odd", huge=1 << 80, path=Path("a/b"), bare=float("nan"), many={3}, keys={1: "one"})
    (line,) = json_lines(tmp_path)
    assert line["huge"] == str(1 << 80)
    assert (line["path"], line["bare"], line["many"], line["keys"]) == ("a/b", None, [3], {"1": "one"})


def test_setting_up_again_moves_to_the_new_file(tmp_path: Path) -> None:
    setup_logging("first", settings_for(tmp_path)).info("one")
    setup_logging("second", settings_for(tmp_path)).info("two")
    assert [line["event"] for line in json_lines(tmp_path, "first")] == ["one"]
    assert [line["event"] for line in json_lines(tmp_path, "second")] == ["two"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    with pytest.raises(SettingsError, match=r"^LOG_DIR: .* cannot be written \(.*\); name a folder that can$"):
        setup_logging("tester", settings_for(tmp_path))
