"""What a failing test shows, and what the options of a run do: pytest itself on small files that fail."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.shared import run_options
from tests.shared.started_processes import REPO

HEAD = """
import random, subprocess, sys, time
from pathlib import Path
import pytest
from commands.shared.child_process import ChildProcess

def child(name, folder, *lines, code=0):
    says = f"import sys; [print(line) for line in {lines!r}]; sys.exit({code})"
    made = ChildProcess(name, [sys.executable, "-c", says], log_path=folder / f"{name}.log")
    made.popen.wait()
    return made
"""


def run(folder: Path, *options: str, **files: str) -> list[str]:
    """pytest's output, in lines, for files of tests."""
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(HEAD + text)
    plugins = ["-p", "tests.shared.failure_report", "-p", "tests.shared.run_options", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--tb=short",
            "-c",
            os.devnull,
            *plugins,
            *options,
            "--rootdir",
            folder,
            folder,
        ],
        cwd=REPO,
        env={**os.environ, "CI": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout.splitlines()


def section(lines: list[str], name: str) -> list[str]:
    """The lines below `--- name ---`, up to the next such headline."""
    start = next(at for at, line in enumerate(lines) if line.strip("- ") == name and line.startswith("-----"))
    rest = lines[start + 1 :]
    return rest[: next(at for at, line in enumerate(rest) if line.startswith(("-----", "=====")))]


def test_the_assertion_the_seeds_and_the_last_lines_of_each_log(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        one="""
SEED = 77

@pytest.fixture(scope="module")
def server(tmp_path_factory):
    return child("server", tmp_path_factory.mktemp("server"), "ready")

def test_of_another(tmp_path):
    child("other", tmp_path, "not of interest")

@pytest.mark.parametrize("feed_seed", [5])
def test_it(server, tmp_path, feed_seed):
    print("seed 99")
    child("worker", tmp_path, *[f"line {n}" for n in range(100)], code=3)
    assert 1 == 2
""",
    )
    assert "E   assert 1 == 2" in lines
    assert section(lines, "seeds") == ["feed_seed = 5", "SEED = 77", "seed 99"]
    shown = section(lines, "processes")
    assert [line.split(",")[0] for line in shown if line.startswith("---")] == [
        f"--- {Path(sys.executable).name} (exit code 3)",
        f"--- {Path(sys.executable).name} (exit code 0)",
    ]
    assert shown[1:9] == [f"line {n}" for n in range(92, 100)]
    assert shown[10:] == ["ready"]


def test_a_fixture_that_fails_shows_its_processes(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        one="""
@pytest.fixture
def server(tmp_path):
    with (tmp_path / "stderr").open("w") as stderr:
        subprocess.run([sys.executable, "-c", "import sys; sys.exit('no port is free')"], stderr=stderr)
    raise RuntimeError("it did not come up")

def test_it(server):
    pass
""",
    )
    assert "E   RuntimeError: it did not come up" in lines
    assert section(lines, "processes")[1:] == ["no port is free"]


def test_what_a_demo_or_a_replay_started_is_shown(tmp_path: Path) -> None:
    lines = run(
        tmp_path,
        one="""
def test_it(tmp_path):
    (tmp_path / "run" / "logs").mkdir(parents=True)
    write = "open('run/logs/connector.out', 'w').write('the token was refused')"
    with (tmp_path / "broker.out").open("w") as out:
        subprocess.run([sys.executable, "-m", "this"], stdout=out)
    subprocess.run([sys.executable, "-c", write], cwd=tmp_path, capture_output=True)
    assert False
""",
    )
    shown = section(lines, "processes")
    assert shown[0].startswith("--- this (exit code 0)"), "its own, though it lies in the other's folder"
    assert shown[-1] == "the token was refused"


def test_it_stays_on_one_screen(tmp_path: Path) -> None:
    """Even with CI set, where pytest itself leaves nothing out."""
    lines = run(
        tmp_path,
        one="""
def test_it(tmp_path):
    for n in range(20):
        child(f"worker-{n}", tmp_path, *["x" * 1000] * 50)
    print("\\n".join(map(str, range(1000))))
    assert list(range(500)) == list(range(1, 501))
""",
    )
    failure = lines[next(at for at, line in enumerate(lines) if "FAILURES" in line) :]
    assert sum(line.startswith("--- ") for line in failure) == 20
    assert len(section(failure, "processes")) <= 60
    assert section(failure, "Captured stdout call")[-1] == "999"
    assert len(failure) <= 95, "16 of the assertion, 10 of its output, 60 of logs, and the headlines"
    assert max(map(len, failure)) < 250


def shuffled(seed: int) -> list[tuple[str, int]]:
    """File and number of each test, as `--shuffle seed` has them run."""
    config: Any = SimpleNamespace(getoption=lambda _: seed)
    marked = {"a": "in_order"}
    items: list[Any] = [
        SimpleNamespace(path=path, number=number, get_closest_marker=lambda name, path=path: marked.get(path))
        for path in "abcd"
        for number in range(8)
    ]
    run_options.pytest_collection_modifyitems(config, items)
    return [(item.path, item.number) for item in items]


def test_a_shuffle_is_another_order_and_the_same_for_a_seed() -> None:
    order = shuffled(1)
    assert order == shuffled(1) != shuffled(2)
    assert sorted(order) == [(path, number) for path in "abcd" for number in range(8)] != order
    numbers = {path: [number for _, number in tests] for path, tests in groupby(order, key=lambda test: test[0])}
    assert len(list(groupby(order, key=lambda test: test[0]))) == 4, "the tests of a file stay together"
    assert numbers["a"] == list(range(8)), "the steps of one session are in order"
    assert numbers["b"] != list(range(8))


@pytest.mark.parametrize("own", ["", "@pytest.mark.timeout(900)"])
def test_a_run_s_limit_ends_a_test_that_hangs_with_its_stack(tmp_path: Path, own: str) -> None:
    lines = run(
        tmp_path,
        "--run-limit",
        "1",
        one=f"""
{own}
def test_hangs(tmp_path):
    child("worker", tmp_path, "I wait for a lock")
    time.sleep(600)

def test_after_it():
    pass
""",
    )
    assert "    time.sleep(600)" in lines
    assert any(line.startswith("E   Failed: Timeout") for line in lines)
    assert section(lines, "processes")[1:] == ["I wait for a lock"]
    assert any("not run: the 1 s of the run are over" in line for line in lines)
