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
        result = play(seed + len(played), directory / f"round-{seed + len(played)}", plan, kind)
        played.append(result)
        _print_round(result, sum(each.kills for each in played))
        if json_file is not None:
            json_file.write_text(json.dumps(figures(played, time.monotonic() - began), indent=1))
    failed = [outcome for outcome in played if outcome.differences]
    print(_closing(figures(played, time.monotonic() - began)), flush=True)
    sys.exit(1 if failed else 0)


def _is_enough(played: list[Round], kills: int, rounds: int) -> bool:
    if rounds:
        return len(played) >= rounds
    return len(played) >= len(KINDS) and sum(result.kills for result in played) >= kills


def figures(played: list[Round], seconds: float) -> dict[str, Any]:
    """Everything worth keeping, JSON-safe."""
    faults: Counter[str] = Counter()
    for result in played:
        faults.update(result.faults)
    verdicts = [result.verdict for result in played]
    return {
        "rounds": len(played),
        "kills": sum(result.kills for result in played),
        "faults": dict(sorted(faults.items())),
        "entries": sum(verdict.entries for verdict in verdicts),
        "candles": sum(verdict.candles for verdict in verdicts),
        "incomplete candles": sum(verdict.incomplete for verdict in verdicts),
        "revisions": sum(verdict.revisions for verdict in verdicts),
        "signals": sum(verdict.signals for verdict in verdicts),
        "differences": sum(len(result.differences) for result in played),
        "failed seeds": [result.seed for result in played if result.differences],
        "seconds": round(seconds, 1),
        "each round": [result.as_dict() for result in played],
    }


def _print_round(round_result: Round, kills_so_far: int) -> None:
    verdict = round_result.verdict
    print(
        f"  seed {round_result.seed} {round_result.kind}: {round_result.kills} kills ({kills_so_far} so far), "
        f"{sum(round_result.faults.values())} faults, {verdict.entries} entries, "
        f"{verdict.candles} candles ({verdict.incomplete} incomplete), {verdict.revisions} revisions, "
        f"{verdict.signals} signals, {round_result.seconds:g} s: "
        f"{'held' if not round_result.differences else 'DIFFERS'}",
        flush=True,
    )
    for name, value in round_result.measured.items():
        print(f"      {name}: {value}", flush=True)
    for line in round_result.differences:
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
