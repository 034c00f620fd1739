"""A copy of the tracked tree, in which a mutant is applied and its test runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tests.mutants.table import Mutant, MutantError

_ROOT = Path(__file__).parents[2]
_TESTS_PASSED, _TESTS_FAILED = 0, 1


@dataclass(frozen=True)
class Outcome:
    """Pytest's exit code, the message of the first failure, and the printed output."""

    exit_code: int
    failure: str
    output: str


@contextmanager
def copied_tree() -> Iterator[Path]:
    """A copy of the tracked files in a temporary folder, removed when the block ends."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=_ROOT, capture_output=True, check=True, text=True)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        for name in filter(None, listed.stdout.split("\0")):
            if (_ROOT / name).is_file():
                (Path(folder) / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(_ROOT / name, Path(folder) / name)
        yield Path(folder)


def run_tests(tree: Path, node_ids: Sequence[str]) -> Outcome:
    """The tests with the kernels as plain Python: a compiled one would cost each mutant half a minute.

    No bytecode is written: Python would reuse that of the mutant before when time and size are equal.
    """
    report = tree / "report.xml"
    report.unlink(missing_ok=True)
    options = ["-q", "-p", "tests.fuzz.plain_kernels", "-p", "no:randomly", f"--junitxml={report}"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *node_ids],
        cwd=tree,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Outcome(done.returncode, _first_failure(report), done.stdout + done.stderr)


def _first_failure(report: Path) -> str:
    if not report.exists():
        return ""
    found = ElementTree.parse(report).find(".//testcase/failure")
    return "" if found is None else found.get("message", "")


def require_pass(tree: Path, mutants: Sequence[Mutant]) -> None:
    """MutantError unless the tests pass on the unchanged tree."""
    outcome = run_tests(tree, sorted({mutant.killed_by for mutant in mutants}))
    if outcome.exit_code != _TESTS_PASSED:
        raise MutantError(f"the tests do not pass without any mutant, so nothing is proven:\n{outcome.output}")


def is_killed(tree: Path, mutant: Mutant) -> bool:
    """Whether an assertion of the mutant's test fails. MutantError when the test ends in any other way."""
    path = tree / mutant.file
    source = path.read_text(encoding="utf-8")
    path.write_text(mutant.mutate(source), encoding="utf-8")
    try:
        outcome = run_tests(tree, [mutant.killed_by])
    finally:
        path.write_text(source, encoding="utf-8")
    if outcome.exit_code == _TESTS_PASSED:
        return False
    if outcome.exit_code != _TESTS_FAILED or not outcome.failure.startswith(("AssertionError", "assert ")):
        raise MutantError(
            f"mutant {mutant.name!r} (rule {mutant.rule}): {mutant.killed_by} fails by no assertion "
            f"(pytest's exit code is {outcome.exit_code}); update tests/mutants/mutants.toml:\n{outcome.output}"
        )
    return True
