"""`make mutants`: applies each mutant to a copy of the tree; a survivor is named, and the exit code is 1.

make mutants ARGS="--rule 3"                 the mutants of one rule
make mutants ARGS="--only 'no grace'"        one mutant
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.mutants.table import Mutant, MutantError, load_mutants
from tests.mutants.tree import copied_tree, is_killed, require_pass


@click.command()
@click.option("--rule", type=click.IntRange(1, 10), help="Only the mutants of this rule.")
@click.option("--only", "name", type=click.Choice([mutant.name for mutant in load_mutants()]), help="Only this one.")
def main(rule: int | None, name: str | None) -> None:
    """Apply the mutants one after the other; exit 1 when one survives or proves nothing."""
    chosen = [m for m in load_mutants() if rule in (None, m.rule) and name in (None, m.name)]
    if not chosen:
        raise click.UsageError(f"mutant {name!r} is not of rule {rule}: leave one of the two out")
    try:
        survivors = _survivors(chosen)
    except MutantError as error:
        raise click.ClickException(str(error)) from None
    Console().print(_as_table(chosen, survivors))
    for mutant in survivors:
        print(f"Rule {mutant.rule}: the mutant {mutant.name!r} survives {mutant.killed_by}; make that test catch it.")
    sys.exit(1 if survivors else 0)


def _survivors(mutants: Sequence[Mutant]) -> list[Mutant]:
    with copied_tree() as tree:
        require_pass(tree, mutants)
        return [mutant for mutant in track(mutants, "Mutants") if not is_killed(tree, mutant)]


def _as_table(mutants: Sequence[Mutant], survivors: Sequence[Mutant]) -> Table:
    table = Table("rule", "mutant", "what is wrong", "verdict")
    for mutant in mutants:
        table.add_row(str(mutant.rule), mutant.name, mutant.wrong, "SURVIVED" if mutant in survivors else "killed")
    return table


if __name__ == "__main__":
    main()
