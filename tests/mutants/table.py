"""The committed mutants, read from mutants.toml."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

RULES = range(1, 11)
_TABLE = Path(__file__).with_name("mutants.toml")


class MutantError(Exception):
    """A mutant that proves nothing: one sentence with its name and what to update."""


@dataclass(frozen=True)
class Mutant:
    """One mistake: `old` becomes `new` in `file`, and the test `killed_by` (a pytest node id) fails."""

    rule: int
    name: str
    wrong: str
    file: str
    old: str
    new: str
    killed_by: str

    def mutate(self, source: str) -> str:
        """The source with the mistake in it. MutantError when `old` does not occur exactly once."""
        found = source.count(self.old)
        if found != 1:
            raise MutantError(
                f"mutant {self.name!r} (rule {self.rule}): its old text occurs {found} times in {self.file}, "
                "not once; update tests/mutants/mutants.toml"
            )
        return source.replace(self.old, self.new)


def load_mutants() -> tuple[Mutant, ...]:
    return tuple(Mutant(**row) for row in tomllib.loads(_TABLE.read_text(encoding="utf-8"))["mutant"])
