"""`make fuzz`: every target for some seconds under atheris; prints cases and seconds of each, keeps its findings.

    make fuzz ARGS="--seconds 600"                     all targets, ten minutes each
    make fuzz ARGS="--seconds 60 --target journal"     one of them

Inputs that reach new code go to run/fuzz/TARGET. An input that breaks a promise goes to run/fuzz/TARGET-broken-* and
ends its target.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import click

from tests.fuzz.targets import CORPUS, NAMES, load

FOUND = Path(__file__).parents[2] / "run" / "fuzz"
MOST_BYTES = 4096
ONE_CASE_SECONDS = 60


@dataclass(frozen=True)
class Result:
    """The result of one target."""

    name: str
    cases: int
    seconds: float
    broken: str

    def __str__(self) -> str:
        end = f"BROKEN: {self.broken}" if self.broken else "no escape"
        return f"{self.name:15} {self.cases:>10,} cases {self.seconds:>8.0f} s   {end}"


@click.command()
@click.option("--seconds", default=60, show_default=True, help="How long each target runs.")
@click.option("--target", "names", multiple=True, type=click.Choice(NAMES), help="Only these; all without it.")
@click.option("--seed", default=0, show_default=True, help="Of the mutations; 0: a new one, which is printed.")
def main(seconds: int, names: tuple[str, ...], seed: int) -> None:
    """Run the targets one after the other; exit 1 when one broke."""
    seed = seed or int.from_bytes(os.urandom(3), "big") + 1
    print(f"Fuzzing with seed {seed}, {seconds} s a target; inputs that reach new code go to {FOUND}", flush=True)
    results = [_run(name, seconds, seed) for name in names or NAMES]
    for result in results:
        print(result)
    print(
        f"{'in all':15} {sum(result.cases for result in results):>10,} cases "
        f"{sum(result.seconds for result in results):>8.0f} s"
    )
    sys.exit(1 if any(result.broken for result in results) else 0)


def _run(name: str, seconds: int, seed: int) -> Result:
    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(load(name).seeds()):
        (corpus / f"seed-{number:03}").write_bytes(content)
    options = {
        "max_total_time": seconds,
        "seed": seed,
        "max_len": MOST_BYTES,
        "timeout": ONE_CASE_SECONDS,
        "rss_limit_mb": 4096,
        "artifact_prefix": f"{corpus}-broken-",
        "print_final_stats": 1,
        "verbosity": 1,
    }
    words = [f"-{key}={value}" for key, value in options.items()]
    kept = [str(CORPUS / name)] if (CORPUS / name).is_dir() else []
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", name, *words, str(corpus), *kept],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return _result(name, done, time.monotonic() - began)


def _result(name: str, done: subprocess.CompletedProcess[str], seconds: float) -> Result:
    printed = done.stdout + done.stderr
    cases = re.findall(r"stat::number_of_executed_units:\s+(\d+)|^#(\d+)\s", printed, flags=re.MULTILINE)
    count = int(next(filter(None, cases[-1]))) if cases else 0
    result = Result(name, count, seconds, _why(printed) if done.returncode else "")
    if result.broken:
        (FOUND / f"{name}.log").write_text(printed)
    print(result, flush=True)
    return result


def _why(printed: str) -> str:
    lines = [
        line
        for line in printed.splitlines()
        if re.match(r"^(\w+\.)*\w*(Error|Exception|Interrupt)\b|^==\d+== ", line)
    ]
    return lines[0][:200] if lines else "the process ended; its output is in run/fuzz"


if __name__ == "__main__":
    main()
