"""`python -m tests.chaos.soak`: the expiry days of ten weeks in virtual time, and nothing of ours grows.

--sessions N --instruments N --rounds R     how much is played
--weekly N --days-apart N                   how many of the instruments are options that expire with each session
--seed S        of the feed
--json FILE     keep every sample
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click

from tests.chaos.soak_plan import Plan
from tests.chaos.soak_run import soak

DEFAULT_SEED = 20_261_121


@click.command()
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Of the feed.")
@click.option("--sessions", default=10, show_default=True, help="Trading days.")
@click.option(
    "--instruments",
    default=4_500,
    show_default=True,
    help="A multiple of the shards; with those that come later at most 9 000, which INSTRUMENTS may name.",
)
@click.option("--weekly", default=498, show_default=True, help="Of them expire with each session: a multiple, too.")
@click.option("--days-apart", default=7, show_default=True, help="From one session to the next, at least.")
@click.option("--shards", default=3, show_default=True, help="Connections.")
@click.option("--rounds", default=150, show_default=True, help="Trades of each instrument a session.")
@click.option("--timeframes", default="15m,1h,1d", show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep the figures there.")
def main(
    seed: int,
    sessions: int,
    instruments: int,
    weekly: int,
    days_apart: int,
    shards: int,
    rounds: int,
    timeframes: str,
    json_file: Path | None,
) -> None:
    """A soak: memory, descriptors, Redis and MongoDB flat within bounds, or a failure."""
    directory = Path(tempfile.mkdtemp(prefix="soak-"))
    plan = Plan(sessions, instruments, shards, rounds, seed, timeframes, weekly, days_apart)
    print(
        f"soak: seed {seed}, {sessions} sessions of {instruments} instruments, {weekly} of them new each time, "
        f"{plan.bounds}, in {directory}",
        flush=True,
    )
    soaked = soak(plan, directory / "soak", lambda text: print(text, flush=True))
    if json_file is not None:
        json_file.write_text(json.dumps(soaked.as_dict(), indent=1), encoding="utf-8")
    for name, value in soaked.figures.items():
        print(f"  {name:<26} {value}", flush=True)
    if soaked.findings:
        for line in soaked.findings:
            print(f"  BREACH: {line}", flush=True)
        print(f"soak: FAILED with seed {seed}; its files are in {directory}", flush=True)
        sys.exit(1)
    directory.rmdir()
    print(f"soak: all {sessions} sessions held", flush=True)


if __name__ == "__main__":
    main()
