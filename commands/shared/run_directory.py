"""A run's own folder, and its own corner of the stores, emptied before it begins."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import redis

_SCANNED_AT_ONCE = 2_000
_MARK = ".candlewick-run"


class RunDirectory:
    """`path` is removed at the end unless it was named, or `keep` was called and `drop` not after it."""

    def __init__(self, path: Path, is_named: bool) -> None:
        self.path = path
        self.is_named = self.is_kept = is_named

    def keep(self) -> None:
        """Something in it may be worth a look."""
        self.is_kept = True

    def drop(self) -> None:
        """Nothing is; a named folder stays all the same."""
        self.is_kept = self.is_named


class DirectoryError(ValueError):
    """The named folder is not one to work in: one sentence."""


@contextlib.contextmanager
def run_directory(named: Path | None, purpose: str) -> Iterator[RunDirectory]:
    """A fresh temporary folder, or the named one, emptied of an earlier run. DirectoryError, OSError."""
    path = _own(named.resolve()) if named is not None else Path(tempfile.mkdtemp(prefix=f"candlewick-{purpose}-"))
    place = RunDirectory(path, named is not None)
    try:
        yield place
    finally:
        if not place.is_kept:
            shutil.rmtree(path, ignore_errors=True)


def _own(path: Path) -> Path:
    """Only what carries our mark is ever emptied."""
    mark = path / _MARK
    if path.is_dir() and any(path.iterdir()) and not mark.exists():
        raise DirectoryError(f"--directory: {path} holds something else: name a new or an empty folder.")
    if mark.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    mark.write_text("What is in here is removed when a demo is run with this folder again.\n")
    return path


def clear_prefix(client: redis.Redis, prefix: str) -> int:
    """Removes every key under a prefix; returns how many. ValueError for the empty prefix, which is live data."""
    if not prefix:
        raise ValueError("the empty prefix is that of live data: it is never cleared")
    pattern = "".join(f"[{sign}]" if sign in "*?[" else sign for sign in prefix) + "*"
    found: list[Any] = []
    removed = 0
    for name in client.scan_iter(match=pattern, count=_SCANNED_AT_ONCE):
        found.append(name)
        if len(found) >= _SCANNED_AT_ONCE:
            removed += int(client.unlink(*found))
            found.clear()
    return removed + (int(client.unlink(*found)) if found else 0)
