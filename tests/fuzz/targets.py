"""The targets by name, and the corpus saved for each."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

NAMES = ("frames", "journal", "settings_text", "universe", "history")
CORPUS = Path(__file__).parent / "corpus"


class Target(Protocol):
    """The functions of every target module."""

    def check(self, data: bytes) -> None:
        """Raises when an exception escapes or a promise is broken."""

    def seeds(self) -> list[bytes]:
        """The inputs to start from."""


def load(name: str) -> Target:
    return cast(Target, importlib.import_module(f"tests.fuzz.{name}"))


def saved(name: str) -> list[bytes]:
    """The saved corpus: inputs that reach much code, and inputs that once broke a promise."""
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
