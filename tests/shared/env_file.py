"""The `.env` of a process under test, as a person makes one: a copy of .env.example with lines changed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / ".env.example"
PASSWORD = "a-password-of-no-server"
_LINE = "(?m)^#?{name}=.*$"


@lru_cache(maxsize=1)
def names_in_example() -> frozenset[str]:
    """Every setting that .env.example explains, struck out or not."""
    return frozenset(re.findall(_LINE.format(name="([A-Z_]+)"), EXAMPLE.read_text()))


def write_env_file(directory: Path, settings: Mapping[str, str]) -> None:
    """A process that works in `directory` reads it. AssertionError for a setting that .env.example does not know."""
    text = EXAMPLE.read_text().replace("=change-me\n", f"={PASSWORD}\n")
    for name, value in settings.items():
        assert name in names_in_example() and "'" not in value and "\n" not in value, f"{name} in no .env: {value}"
        line = f"{name}='{value}'" if value else f"{name}="
        text = re.sub(_LINE.format(name=name), lambda _, line=line: line, text)  # type: ignore[misc]
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / ".env"
    path.touch(0o600)
    path.write_text(text)
