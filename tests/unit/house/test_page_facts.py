"""What README.md states of the code and the deployment is so: sentences, limits, volumes, dates, names."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from datetime import date, timedelta
from functools import lru_cache

import pytest
from ruamel.yaml import YAML

from commands.doctor.hours import END_DAYS
from tests.shared.compose_file import COMPOSE, LIVE_PROCESSES, STORES, filled_in, services
from tests.shared.pages import README, REPO, Example, example_text, section
from utils.indicators import INDICATOR_NAMES
from utils.market.candle import Candle, Source, TimedBy
from utils.market.sessions import SessionCalendar
from utils.runtime.memory_sizes import size_bytes
from utils.runtime.settings import DEFAULT_INSTRUMENTS, Settings, split_list

TROUBLE = "## When something is wrong"
# In the first column of its table, and of others: Docker, Redis, a candle.
NOT_OURS = {"mongo", '"complete": false', "hgetall", "port is already allocated", "address already in use"}
SHELL_TEXTS = (REPO / "deploy/redis/start.sh", COMPOSE)


def symptoms() -> list[str]:
    rows = [line.split(" | ")[0] for line in section(README, TROUBLE).splitlines() if line.startswith("| ")]
    return [text for row in rows[1:] for text in re.findall(r"`([^`]+)`", row) if text not in NOT_OURS]


@lru_cache(maxsize=1)
def texts() -> list[str]:
    """Every text of the code, with … for what is filled in."""
    found = [path.read_text() for path in SHELL_TEXTS]
    for folder in ("utils", "commands", "strategies"):
        for path in (REPO / folder).rglob("*.py"):
            found += _texts_of(ast.parse(path.read_text()))
    return found


def _texts_of(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield re.sub(r"\{[^{}]*\}", "…", node.value)
        elif isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
            yield "".join(parts)


@pytest.mark.parametrize("symptom", symptoms())
def test_what_one_sees_is_a_sentence_of_the_code(symptom: str) -> None:
    pattern = re.compile(".*".join(map(re.escape, symptom.split("…"))), flags=re.DOTALL)
    assert any(pattern.search(text) for text in texts())


def test_a_sentence_that_nobody_writes_is_noticed() -> None:
    assert len(symptoms()) > 20
    assert not any("the moon is full" in text for text in texts())


def test_the_sentence_for_a_name_without_its_exchange(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUMENTS", "INFY")
    with pytest.raises(ValueError, match="INFY") as caught:
        Settings.load(_env_file=None)
    (shown,) = re.findall(r"start with `('INFY'[^`]+)`", README.read_text())
    assert shown in str(caught.value)


def test_the_instruments_line_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    name, _, value = example_text(Example.INSTRUMENTS).strip().partition("=")
    monkeypatch.setenv(name, value.strip('"'))
    assert Settings.load(_env_file=None).symbols == tuple(value.strip('"').split(","))
    spelled = section(README, "### Add a symbol")
    assert set(value.strip('"').split(",")) <= set(re.findall(r"`([A-Z]+:[^`]+)`", spelled))


def test_the_defaults_are_those_that_the_readme_names() -> None:
    settings = Settings()
    assert len(split_list(DEFAULT_INSTRUMENTS)) == 50
    assert ", ".join(frame.name for frame in settings.timeframes[:-1]) in README.read_text()
    assert f"`JOURNAL_DAYS` ({settings.journal_days})" in README.read_text()
    assert f"`LIVE_REFRESH_MS` ({settings.live_refresh_ms} ms)" in README.read_text()
    assert f"`CLOSE_GRACE_SECONDS` ({settings.close_grace_seconds:g} s)" in README.read_text()
    assert f"stored every {settings.snapshot_seconds:g} s" in README.read_text()


def test_the_memory_that_the_containers_may_take() -> None:
    limits = [size_bytes(filled_in(str(services()[name]["mem_limit"]), {})) for name in (*STORES, *LIVE_PROCESSES)]
    assert f"may take {sum(limits) >> 20} MB" in " ".join(README.read_text().split())


def test_each_volume_is_in_the_table_of_backups() -> None:
    volumes = YAML(typ="safe").load(COMPOSE)["volumes"]
    rows = [line.split(" | ")[0] for line in section(README, "### Back up and restore").splitlines() if "| " in line]
    assert set(volumes) <= {name for row in rows for name in re.findall(r"`([a-z-]+)`", row)}


@pytest.mark.parametrize("example", [Example.BACK_UP, Example.RESTORE])
def test_the_same_volumes_are_copied_both_ways(example: Example) -> None:
    (names,) = re.findall(r"^for volume in (.+); do$", example_text(example), flags=re.MULTILINE)
    assert names.split() == ["mongo", "journal", "logs"]
    images = {str(service["image"]) for service in services().values()}
    assert set(re.findall(r"(redis:\S+) tar", example_text(example))) <= images


def test_the_calendar_ends_when_the_readme_has_it() -> None:
    last = SessionCalendar.load().last_known_day
    text = section(README, "### Trading hours and holidays")
    assert f"**The calendar ends on {last}.**" in text
    assert f"From {last - timedelta(days=END_DAYS)} on" in text
    assert f"{last + timedelta(days=1)} on" in text
    assert last >= date(2026, 12, 31)


def test_the_closed_candle_has_the_fields_of_one() -> None:
    shown = json.loads(example_text(Example.CLOSED_CANDLE))
    candle = Candle(
        shown["symbol"], shown["timeframe"], shown["token"], shown["t"], shown["end_t"],
        shown["open"], shown["high"], shown["low"], shown["close"], shown["volume"], shown["oi"], shown["vwap"],
        shown["ticks"], shown["complete"], Source(shown["source"]), shown["rev"], TimedBy(shown["timed_by"]),
        shown["previous_close"],
    )  # fmt: skip
    assert candle.as_document() == shown


def test_the_indicators_in_the_table_are_there() -> None:
    (row,) = re.findall(r"^\| `indicators:NSE:INFY:5m` .*$", README.read_text(), flags=re.MULTILINE)
    named = re.findall(r"\b([a-z]+(?:_\d+)?)(?=,| …)", row.split("the latest values: ")[1])
    assert named
    assert set(named) <= set(INDICATOR_NAMES)
