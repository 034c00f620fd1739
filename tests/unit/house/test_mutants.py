"""The table behind `make mutants`: two a rule at least, each applicable, each with a test that exists."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.mutants.table import RULES, Mutant, MutantError, load_mutants

ROOT = Path(__file__).parents[3]
MUTANTS = load_mutants()


def test_there_are_two_for_each_rule_at_least() -> None:
    counted = Counter(mutant.rule for mutant in MUTANTS)
    assert counted.keys() == set(RULES)
    assert min(counted.values()) >= 2
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_it_changes_one_place_and_remains_python(mutant: Mutant) -> None:
    source = (ROOT / mutant.file).read_text(encoding="utf-8")
    mutated = mutant.mutate(source)
    assert mutated != source
    compile(mutated, mutant.file, "exec")


def test_every_named_test_exists() -> None:
    named = {mutant.killed_by for mutant in MUTANTS}
    files = sorted({node_id.partition("::")[0] for node_id in named})
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:randomly", *files],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert named <= set(listed.stdout.splitlines()), listed.stdout + listed.stderr


@pytest.mark.parametrize("source", ["", "a = 1\na = 1\n"])
def test_an_old_text_that_is_not_there_once_is_an_error(source: str) -> None:
    mutant = Mutant(3, "doubled", "", "some.py", "a = 1", "a = 2", "")
    with pytest.raises(MutantError, match=r"mutant 'doubled' \(rule 3\).*not once"):
        mutant.mutate(source)
