"""The pages for people (README.md, docs/) as tests read them: their fenced blocks, and which of these a test runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
README = REPO / "README.md"
PAGES = (README, *sorted((REPO / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)


class Example(StrEnum):
    """Blocks that a test runs as they stand, by how they begin. Each is named by a test of tests/."""

    PANDAS = "import pandas as pd, pymongo"
    LIVE_CANDLE = "import json, redis"
    NODE = "import { createClient } from 'redis'"
    MONGOSH = "db.candles.find("
    CLOSED_CANDLE = '{"_id": "NSE:INFY|5s|'
    STRATEGY = '"""strategies/golden.py'
    INSTRUMENTS = "INSTRUMENTS="
    SET_UP = "git clone <this repository>"
    AVX = "grep -m1 -ow avx"
    OVERCOMMIT = "sudo sysctl -w"
    LOGIN = "Log in here:"
    ALL_IS_WELL = "All is well"
    PROBLEMS = "PROBLEM  connector"
    CRONTAB = "15 16 * * 1-5"
    DUMP = "docker compose exec connector sh -c"
    BACK_UP = "docker compose stop\n"
    RESTORE = "tar xzf backup/settings.tar.gz"
    SECRET_FILES = "services:\n"


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `language` is what stands behind its fence."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def example(self) -> Example | None:
        """As which a test runs it."""
        return next((example for example in Example if self.text.startswith(example)), None)

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """In the order of the page."""
    text = page.read_text()
    return [Block(page, text.count("\n", 0, found.start()) + 1, *found.groups()) for found in _FENCE.finditer(text)]


def all_blocks() -> list[Block]:
    """Of all pages."""
    return [block for page in PAGES for block in blocks_of(page)]


def example_text(example: Example) -> str:
    """The text of the one block that begins so."""
    (text,) = (block.text for block in all_blocks() if block.example is example)
    return text


def section(page: Path, heading: str) -> str:
    """What stands under a heading, up to the next of its level or above."""
    level = heading.partition(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", page.read_text(), re.DOTALL | re.MULTILINE
    )
    assert found, f"{page.name} has no {heading!r}"
    return found[1]
