"""A folder is a floor: a module imports what lies below it, and nothing beside or above (docs/ARCHITECTURE.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
FLOORS = (
    ("utils/keys.py", "utils/text.py"),
    ("utils/market",),
    ("utils/runtime",),
    ("utils/indicators", "utils/journal"),
    ("utils/kite", "strategies", "utils/coverage"),
    ("utils/candles",),
    ("utils/stores",),
    ("utils/connector", "utils/signals"),
    ("data_handler.py",),
    ("connect.py", "candle_worker.py", "signal_worker.py", "commands"),
    ("manage.py",),
)
FLOOR_OF = {place: height for height, places in enumerate(FLOORS) for place in places}
SOURCES = sorted(
    path
    for place in FLOOR_OF
    for path in ([ROOT / place] if place.endswith(".py") else sorted((ROOT / place).rglob("*.py")))
)


def place_of(path: Path) -> str:
    """The longest entry of FLOORS that holds a file of ours; '' for none."""
    name = path.relative_to(ROOT).as_posix()
    held = [place for place in FLOOR_OF if name == place or name.startswith(f"{place}/")]
    return max(held, key=len, default="")


def imported(path: Path) -> Iterator[Path]:
    """The files of ours that a module imports, wherever in it the import stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (found for module in modules for found in files_of(module, node.module))
        elif isinstance(node, ast.Import):
            yield from (found for alias in node.names for found in files_of(alias.name))


def files_of(*candidates: str) -> list[Path]:
    """The file of the first candidate that is a module of ours, as a list of one, or none."""
    for module in candidates:
        base = ROOT.joinpath(*module.split("."))
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return [path]
    return []


def test_every_module_stands_on_a_floor() -> None:
    ours = [*ROOT.glob("*.py"), *ROOT.glob("utils/**/*.py"), *ROOT.glob("strategies/*.py")]
    homeless = [path.relative_to(ROOT).as_posix() for path in ours if not place_of(path)]
    assert homeless == ["utils/__init__.py"]
    assert len(SOURCES) > 100


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_run_down_the_floors(path: Path) -> None:
    here = place_of(path)
    upward = [
        found.relative_to(ROOT).as_posix()
        for found in imported(path)
        if place_of(found) not in ("", here) and FLOOR_OF[place_of(found)] >= FLOOR_OF[here]
    ]
    assert upward == [], f"{path.relative_to(ROOT)} is on floor {FLOOR_OF[here]} and may import only what lies below"


def test_an_upward_import_is_found() -> None:
    """The check can fail: the workers import the stores, and the stores are below them."""
    reached = {place_of(found) for found in imported(ROOT / "candle_worker.py")}
    assert "utils/stores" in reached
    assert FLOOR_OF["utils/stores"] < FLOOR_OF["candle_worker.py"]
