"""The fuzz targets without a fuzzer: the saved corpus, the seeds, and seeded changes of both, in a few seconds each.

`make fuzz` continues from here, guided by coverage. What it finds broken is added to the corpus once it is mended.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import frames
from tests.fuzz.frame_program import read_program
from tests.fuzz.targets import NAMES, load, saved
from tests.shared.length import length

SEED = 20_261_120
CASES = {"frames": 60, "journal": 200, "settings_text": 150, "universe": 300, "history": 80}
HELD = {name: [*load(name).seeds(), *saved(name)] for name in NAMES}
SETTINGS = settings(
    max_examples=length(short=60, long=1_000),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
REPO = Path(__file__).parents[3]
DIGESTS = """
import sys, json, hashlib
import tests.fuzz.plain_kernels
from tests.fuzz import frames
for line in sys.stdin:
    print(hashlib.sha256(frames.digest(bytes.fromhex(line)).encode()).hexdigest(), flush=True)
"""


def changed(data: bytes, dice: random.Random) -> bytes:
    """A few bytes others, and now and then a piece left out or repeated."""
    found = bytearray(data)
    for _ in range(dice.choice((1, 2, 5, 20))):
        if found:
            found[dice.randrange(len(found))] = dice.randrange(256)
    if found and dice.random() < 0.2:
        start = dice.randrange(len(found))
        piece = found[start : start + dice.randrange(1, 60)]
        found[start : start + dice.choice((0, len(piece)))] = piece * dice.choice((0, 2))
    return bytes(found)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_held_and_seeded_changes_of_it(name: str) -> None:
    target, dice = load(name), random.Random(SEED)
    print(f"seed {SEED}")
    for data in HELD[name] if name != "settings_text" else HELD[name][::5]:
        target.check(data)
    for number in range(CASES[name] * length(short=1, long=20)):
        data = changed(dice.choice(HELD[name]), dice)
        try:
            target.check(data)
        except BaseException as error:
            raise AssertionError(f"{name}, case {number}: {data.hex()}") from error


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=400))
@SETTINGS
def test_any_bytes(name: str, data: bytes) -> None:
    load(name).check(data)


def test_compiled_kernels_give_what_the_same_code_gives_as_plain_python() -> None:
    """Field by field, over programs with everything wrong in them."""
    dice = random.Random(SEED)
    programs = HELD["frames"] + [changed(dice.choice(HELD["frames"]), dice) for _ in range(40)]
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS],
        input="\n".join(program.hex() for program in programs),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    compiled = [hashlib.sha256(frames.digest(program).encode()).hexdigest() for program in programs]
    assert done.stdout.split() == compiled


def test_the_programs_reach_what_they_are_to_attack() -> None:
    """Not only frames that the first check throws away: candles that close, are amended, and every rejection."""
    closed, reasons, revised = 0, set(), 0
    dice = random.Random(SEED)
    for data in [*HELD["frames"], *(changed(dice.choice(HELD["frames"]), dice) for _ in range(150))]:
        outcome = frames.run_in_parts(read_program(data))
        closed += len(outcome.closed)
        revised += sum(closed_candle.candle.rev > 0 for closed_candle in outcome.closed)
        reasons |= {rejection.reason for rejection in outcome.rejected}
    assert closed > 1_000
    assert revised > 50
    assert {"frame", "length", "token", "range", "time", "zscore", "mark"} <= reasons, sorted(reasons)
