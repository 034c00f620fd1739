"""The targets by name, and the corpus saved for each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

NAMES = ("frames", "journal", "settings_text", "universe", "history")
CORPUS = Path(__file__).parent / "corpus"


class Target(Protocol):
    """What every target module has."""

    def check(self, data: bytes) -> None:
        """Raises when something escaped, or a promise is broken."""

    def seeds(self) -> list[bytes]:
        """Inputs to begin with."""


def load(name: str) -> Target:
    return cast(Target, importlib.import_module(f"tests.fuzz.{name}"))


def saved(name: str) -> list[bytes]:
    """The saved corpus: inputs that reached something, and those that once broke something."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
