"""docs/FIRST_CHANGE.md applied to a copy of the tree, block by block, and its own commands run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutants.tree import copied_tree
from tests.shared.pages import REPO, Block, blocks_of
from tests.shared.shell_lines import check_command, commands_of

PAGE = REPO / "docs" / "FIRST_CHANGE.md"
PARTS = ("## Part 1: an indicator", "## Part 2: a check of ticks")
# The candle kernels as plain Python, as `make mutants` has them: compiling them takes a minute.
PLAIN = {"NUMBA_DISABLE_JIT": "1", "PYTEST_ADDOPTS": "-p tests.fuzz.plain_kernels"}
OF_PART: tuple[dict[str, str], ...] = ({}, PLAIN)

pytestmark = pytest.mark.in_order


@pytest.fixture(scope="module")
def tree() -> Iterator[Path]:
    with copied_tree() as copy:
        kernels = REPO / "run" / "kernels"
        if kernels.is_dir():
            shutil.copytree(kernels, copy / "run" / "kernels")
        yield copy


def part_of(block: Block) -> int:
    """1 or 2; 0 before the first and 3 behind the second."""
    headings = [line for line in PAGE.read_text().splitlines()[: block.line] if line.startswith("## ")]
    if not headings:
        return 0
    return PARTS.index(headings[-1]) + 1 if headings[-1] in PARTS else 3


def file_of(block: Block) -> str:
    """The last path that the page names before the block."""
    before = "\n".join(PAGE.read_text().splitlines()[: block.line - 1])
    *_, path = re.findall(r"`((?:utils|tests|commands|docs)/[\w./]+\.\w+)`", before)
    return str(path)


def apply(block: Block, tree: Path) -> None:
    """Its old lines stand once in the file; the new ones take their place."""
    path = tree / file_of(block)
    lines = block.text.splitlines()
    old = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("+"))
    new = "".join(f"{line[1:]}\n" for line in lines if not line.startswith("-"))
    text = path.read_text()
    assert text.count(old) == 1, f"{block}: {text.count(old)} places in {file_of(block)} look like\n{old}"
    path.write_text(text.replace(old, new))


def run(line: str, tree: Path, part: int) -> subprocess.CompletedProcess[str]:
    """A command of the page in the copy, with the environment that runs this test."""
    program, *arguments = line.split()
    tool = program.removeprefix(".venv/bin/")
    command = [sys.executable] if tool == "python" else [str(Path(sys.executable).parent / tool)]
    environment = {**os.environ, **OF_PART[part - 1], "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*command, *arguments], cwd=tree, env=environment, capture_output=True, text=True, check=False
    )


def blocks(part: int, language: str) -> list[Block]:
    return [block for block in blocks_of(PAGE) if part_of(block) == part and block.language == language]


@pytest.mark.parametrize("part", [1, 2])
def test_a_part_can_be_done_as_it_stands(tree: Path, part: int) -> None:
    for block in blocks(part, "diff"):
        apply(block, tree)
    ran = 0
    for block in blocks(part, "bash"):
        for line in commands_of(block.text):
            done = run(line, tree, part)
            assert done.returncode == 0, f"{line}\n{done.stdout[-4000:]}\n{done.stderr[-2000:]}"
            ran += 1
    assert ran == 2


@pytest.mark.long
def test_the_new_test_of_part_1_can_fail(tree: Path) -> None:
    """As the page has it: 20 for 21."""
    path = tree / "tests" / "unit" / "indicators" / "test_indicators.py"
    text = path.read_text()
    path.write_text(text.replace("talib.EMA(close, 21)", "talib.EMA(close, 20)"))
    done = run(".venv/bin/python -m pytest tests/unit/indicators -q -k equal_to_talib", tree, 1)
    path.write_text(text)
    assert done.returncode == 1
    assert "AssertionError" in done.stdout


@pytest.mark.long
def test_the_case_of_part_2_fails_without_the_check(tree: Path) -> None:
    path = tree / "utils" / "candles" / "kernels" / "checks.py"
    text = path.read_text()
    path.write_text(text.replace("if 0 < p.day_high < p.day_low:", "if False:"))
    done = run(".venv/bin/python -m pytest tests/unit/candles/test_cases.py -q", tree, 2)
    path.write_text(text)
    assert done.returncode == 1
    assert "day low is above its day high" in done.stdout


def test_every_block_of_the_page_is_done_or_checked() -> None:
    done = [*blocks(1, "diff"), *blocks(1, "bash"), *blocks(2, "diff"), *blocks(2, "bash")]
    for block in blocks_of(PAGE):
        if block not in done:
            assert part_of(block) == 3
            for line in commands_of(block.text):
                check_command(line)
