"""`python -m tests.chaos.run`: rounds of a simulated session under faults, until there were enough kills.

--kills N       at least so many kill -9 in total (default 200); every kind of round is played at least once
--seed S        the first round's seed; the next ones have S + 1, S + 2, …
--rounds R      so many rounds, regardless of the kills: `--seed S --rounds 1` plays one round again
--json FILE     keep the figures
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click

from tests.chaos.rounds import KINDS, Round, play
from tests.chaos.stage import Plan

DEFAULT_SEED = 20_261_120


@click.command()
@click.option("--kills", default=200, show_default=True, help="At least so many kill -9 in total.")
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Of the first round; each next has one more.")
@click.option("--rounds", default=0, help="So many rounds, regardless of the kills (1 repeats a round).")
@click.option("--kind", default="", help="Only rounds of this kind.")
@click.option("--seconds", default=60.0, show_default=True, help="Real seconds of market each round plays.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep the figures there.")
def main(kills: int, seed: int, rounds: int, kind: str, seconds: float, json_file: Path | None) -> None:
    """A simulated session under faults: 0 differing, missing or doubled candles and signals, or a failure."""
    began, played = time.monotonic(), list[Round]()
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    plan = Plan(seconds=seconds, speed=60.0, instruments=12)
    print(f"chaos: seed {seed}, in {directory}", flush=True)
    while not _is_enough(played, kills, rounds):
        one = play(seed + len(played), directory / f"round-{seed + len(played)}", plan, kind)
        played.append(one)
        _print_round(one, sum(each.kills for each in played))
        if json_file is not None:
            json_file.write_text(json.dumps(figures(played, time.monotonic() - began), indent=1))
    failed = [one for one in played if one.differences]
    print(_closing(figures(played, time.monotonic() - began)), flush=True)
    sys.exit(1 if failed else 0)


def _is_enough(played: list[Round], kills: int, rounds: int) -> bool:
    if rounds:
        return len(played) >= rounds
    return len(played) >= len(KINDS) and sum(one.kills for one in played) >= kills


def figures(played: list[Round], seconds: float) -> dict[str, Any]:
    """Everything worth keeping, JSON-safe."""
    faults: Counter[str] = Counter()
    for one in played:
        faults.update(one.faults)
    verdicts = [one.verdict for one in played]
    return {
        "rounds": len(played),
        "kills": sum(one.kills for one in played),
        "faults": dict(sorted(faults.items())),
        "entries": sum(one.entries for one in verdicts),
        "candles": sum(one.candles for one in verdicts),
        "incomplete candles": sum(one.incomplete for one in verdicts),
        "revisions": sum(one.revisions for one in verdicts),
        "signals": sum(one.signals for one in verdicts),
        "differences": sum(len(one.differences) for one in played),
        "failed seeds": [one.seed for one in played if one.differences],
        "seconds": round(seconds, 1),
        "each round": [one.as_dict() for one in played],
    }


def _print_round(one: Round, kills_so_far: int) -> None:
    verdict = one.verdict
    print(
        f"  seed {one.seed} {one.kind}: {one.kills} kills ({kills_so_far} so far), "
        f"{sum(one.faults.values())} faults, {verdict.entries} entries, "
        f"{verdict.candles} candles ({verdict.incomplete} incomplete), {verdict.revisions} revisions, "
        f"{verdict.signals} signals, {one.seconds:g} s: "
        f"{'held' if not one.differences else 'DIFFERS'}",
        flush=True,
    )
    for name, value in one.measured.items():
        print(f"      {name}: {value}", flush=True)
    for line in one.differences:
        print(f"      {line[:3000]}", flush=True)


def _closing(found: dict[str, Any]) -> str:
    rows = [f"  {name:<34} {times}" for name, times in found["faults"].items()]
    totals = [name for name in found if name not in ("faults", "each round", "failed seeds")]
    rows += [f"  {name:<34} {found[name]}" for name in totals]
    if found["failed seeds"]:
        rows.append(f"  FAILED: seeds {found['failed seeds']}; play one again with --seed S --rounds 1")
    return "\n".join(["chaos, all rounds:", *rows])


if __name__ == "__main__":
    main()
