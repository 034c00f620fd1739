"""What CI prints last and how it ends: the real .ci/run and .ci/check, around programs of ours."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shared.started_processes import REPO

PYTEST_FAILED = """
=================================== FAILURES ===================================
_________________________________ test_it ______________________________________
E   assert 1 == 2
---------------------------------- processes -----------------------------------
--- connect.py (exit code 3), /tmp/connector.err
the token was refused
============================= slowest 20 durations =============================
1.00s call     tests/unit/test_one.py::test_it
=========================== short test summary info ============================
FAILED tests/unit/test_one.py::test_it - assert 1 == 2
========================= 1 failed, 9 passed in 1.23s ==========================
── FAILED after 2 s, 3 s of the processors: pytest
"""


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{text}")
    path.chmod(0o755)


def run_ci(folder: Path, test: str, audit: str = "true", tools: str = "true", **limits: int) -> tuple[int, str]:
    """The exit code and the output of .ci/run, where these are what `make test`, `make audit` and the set-up do."""
    executable(folder / "test.sh", test)
    executable(folder / "audit.sh", audit)
    executable(folder / ".ci" / "setup-tools", tools)
    (folder / "Makefile").write_text("test:\n\t@./test.sh $(ARGS)\naudit:\n\t@./audit.sh\n.venv/.ready:\n\t@true\n")
    script = (REPO / ".ci/run").read_text()
    for name, seconds in limits.items():
        first, _, rest = script.partition(f"\n{name}=")
        script = f"{first}\n{name}={seconds}{rest.lstrip('0123456789')}"
    executable(folder / ".ci" / "run", script)
    done = subprocess.run(
        [folder / ".ci/run"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def test_a_failure_is_explained_below_the_closing_lines(tmp_path: Path) -> None:
    code, output = run_ci(tmp_path, f"cat <<'END'\n{PYTEST_FAILED}END\nexit 1\n")
    assert code != 0
    closing, failed = output.partition("── Closing lines")[2].split("── What failed\n")
    assert closing.splitlines()[1:-1] == PYTEST_FAILED.splitlines()[-3:]
    assert failed.splitlines() == PYTEST_FAILED.splitlines()[1:7]


def test_nothing_is_explained_when_all_passed(tmp_path: Path) -> None:
    code, output = run_ci(tmp_path, "echo '── All passed in 2 s'")
    assert code == 0
    assert output.endswith("── All passed in 2 s\n")


@pytest.mark.parametrize(("audit", "expected"), [("exit 1", 2), ("echo '── NOT AUDITED: no such host'", 0)])
def test_a_vulnerability_fails_and_a_service_that_is_away_does_not(tmp_path: Path, audit: str, expected: int) -> None:
    code, output = run_ci(tmp_path, "true", audit)
    assert code == expected
    assert ("NOT AUDITED" in output) is (expected == 0)


def test_an_audit_that_hangs_or_cannot_be_installed_does_not_fail(tmp_path: Path) -> None:
    code, output = run_ci(tmp_path, "true", "sleep 600", AUDIT_SECONDS=1)
    assert (code, "NOT AUDITED: no answer within 1 s" in output) == (0, True)
    code, output = run_ci(tmp_path, "true", tools="exit 1")
    assert (code, "NOT AUDITED: pip-audit cannot be installed" in output) == (0, True)


def test_the_tests_are_given_a_limit_and_are_cut_off_beyond_it(tmp_path: Path) -> None:
    code, output = run_ci(tmp_path, 'echo given $1; echo "${@: -1}"; sleep 600', LAST_TEST=1, LAST_SECOND=2)
    assert code != 0
    assert "given --run-limit" in output


@pytest.mark.parametrize("failing", ["", "ruff", "mypy", "pytest"])
def test_every_check_runs_and_each_that_failed_is_named(tmp_path: Path, failing: str) -> None:
    shutil.copytree(REPO / ".ci", tmp_path / ".ci")
    for name, program in {"ruff": "ruff", "mypy": "mypy", "pytest": "python"}.items():
        executable(tmp_path / ".venv/bin" / program, f"echo {name} $*; exit {int(name == failing)}")
    done = subprocess.run([tmp_path / ".ci/check", "tests/unit"], capture_output=True, text=True, check=False)
    last = done.stdout.splitlines()[-1]
    assert done.returncode == (1 if failing else 0)
    assert last.startswith("── FAILED after " if failing else "── All passed in ")
    assert failing in last
    assert "not long" in done.stdout and "tests/unit\n" in done.stdout
    assert done.stdout.count("s of the processors\n") == 4 + (failing == "")


def test_the_long_form_leaves_no_test_out_and_logs_it_to_all(tmp_path: Path) -> None:
    shutil.copytree(REPO / ".ci", tmp_path / ".ci")
    for program in ("ruff", "mypy"):
        executable(tmp_path / ".venv/bin" / program, "true")
    executable(tmp_path / ".venv/bin/python", "echo $CANDLEWICK_LENGTH: $*")
    short = {name: value for name, value in os.environ.items() if name != "CANDLEWICK_LENGTH"}
    done = subprocess.run([tmp_path / ".ci/check", "--long"], env=short, capture_output=True, text=True, check=True)
    (everything,) = [line for line in done.stdout.splitlines() if line.startswith("long: -m pytest")]
    assert "not long" not in everything
    assert ": -m pytest -p tests.shared.random_stops" in done.stdout
    assert ": -m tests.mutants" in done.stdout
