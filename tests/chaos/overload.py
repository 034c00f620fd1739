"""`python -m tests.chaos.overload`: more than the broker can send, and a worker that was away for an hour.

--seed S        of the feed; the same seed makes the same journal
--only NAME     one of the runs below
--scale X       of the instruments (1.0: 9 000), for a small machine
--json FILE     keep the figures
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from tests.chaos.overload_bounds import Scenario
from tests.chaos.overload_run import Played, play

DEFAULT_SEED = 20_261_121
BROKER_MAX_INSTRUMENTS = 9_000
_HOUR = 3_600.0
_SEVEN = "10s,1m,5m,15m,30m,1h,1d"

RUNS = (
    Scenario(
        "four times",
        BROKER_MAX_INSTRUMENTS,
        3,
        parts=((75.0, 4.0),),
        timeframes=_SEVEN,
        has_deaf_readers=True,
        lag_bound_ms=5_000.0,
    ),
    Scenario(
        "hundred times",
        BROKER_MAX_INSTRUMENTS,
        3,
        parts=((5.0, 1.0), (10.0, 200.0), (60.0, 1.0)),
        timeframes=_SEVEN,
        loses=None,
    ),
    Scenario(
        "an hour away",
        BROKER_MAX_INSTRUMENTS,
        3,
        parts=((1.25 * _HOUR, 0.1),),
        speed=60.0,
        away_seconds=_HOUR,
        leave_after_seconds=120.0,
    ),
    Scenario(
        "an hour away, the limit too small",
        BROKER_MAX_INSTRUMENTS,
        3,
        parts=((1.25 * _HOUR, 0.1),),
        speed=60.0,
        settings=(("STREAM_MAX_MB", "64"),),
        away_seconds=_HOUR,
        leave_after_seconds=120.0,
        loses=True,
    ),
    Scenario(
        "MongoDB hangs, the limit too small",
        instruments=900,
        shards=1,
        parts=((_HOUR, 0.1),),
        speed=60.0,
        settings=(("CLOSED_MAX_ENTRIES", "20000"),),
        mongo_hangs=True,
        loses_stored=True,
    ),
)


@click.command()
@click.option("--seed", default=DEFAULT_SEED, show_default=True, help="Of the feed.")
@click.option("--only", type=click.Choice([run.name for run in RUNS]), help="Only this run.")
@click.option("--scale", default=1.0, show_default=True, help="Of the 9 000 instruments.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Keep the figures there.")
def main(seed: int, only: str | None, scale: float, json_file: Path | None) -> None:
    """Overload: bounded, in order, counted and announced, or a failure."""
    directory = Path(tempfile.mkdtemp(prefix="overload-"))
    print(f"overload: seed {seed}, in {directory}", flush=True)
    played: list[Played] = []
    for overload_run in RUNS:
        if only in (None, overload_run.name):
            share = scale if overload_run.instruments == BROKER_MAX_INSTRUMENTS else 1.0
            scaled = replace(
                overload_run, instruments=max(overload_run.shards, round(share * overload_run.instruments))
            )
            played.append(
                play(
                    scaled,
                    seed,
                    directory / overload_run.name.replace(" ", "-"),
                    lambda text: print(text, flush=True),
                )
            )
            print(summary(played[-1]), flush=True)
            if json_file is not None:
                json_file.write_text(json.dumps([each.as_dict() for each in played], indent=1), encoding="utf-8")
    failed = [result.name for result in played if result.findings]
    if failed:
        print(f"overload: FAILED with seed {seed}: {', '.join(failed)}; its files are in {directory}", flush=True)
        sys.exit(1)
    directory.rmdir()
    print(f"overload: all {len(played)} runs held", flush=True)


def summary(played: Played) -> str:
    """The figures and the findings of a run, for the terminal."""
    rows = [f"    {name:<26} {value}" for name, value in played.figures.items()]
    return "\n".join(
        [*rows, *(f"    BREACH: {line}" for line in played.findings), f"  {played.name}: {_verdict(played)}"]
    )


def _verdict(played: Played) -> str:
    return f"{len(played.findings)} breaches" if played.findings else "held"


if __name__ == "__main__":
    main()
