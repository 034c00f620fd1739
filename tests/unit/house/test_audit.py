"""`make audit`: what stops the build, what does not, and that nothing is called clean that nobody looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
WRONG = {"id": "PYSEC-1", "aliases": ["CVE-1"], "fix_versions": ["2.0"]}


def load_audit() -> Any:
    loader = SourceFileLoader("audit", str(ROOT / ".ci/audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


audit = load_audit()


def run_audit(tmp_path: Path, answers: dict[str, object]) -> subprocess.CompletedProcess[str]:
    """With a pip-audit of ours, that gives the answer of the first name in its file's folder and name."""
    program = tmp_path / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\nfrom pathlib import Path\n"
        f"answers = json.loads({json.dumps(answers)!r})\n"
        "name = '/'.join(Path(sys.argv[-1]).parts[-2:])\n"
        "found = next(answer for start, answer in answers.items() if start in name)\n"
        "sys.exit('ConnectionError: no such host') if found is None else print(json.dumps({'dependencies': found}))\n"
    )
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, str(ROOT / ".ci/audit"), str(program)], capture_output=True, text=True, check=False
    )


def package(*vulnerabilities: object) -> dict[str, object]:
    return {"name": "some", "version": "1.0", "vulns": list(vulnerabilities)}


SKIPPED = {"name": "some", "skip_reason": "not found"}


@pytest.mark.parametrize("canary", [None, [package()], [SKIPPED]])
def test_a_service_that_knows_nothing_is_not_believed(tmp_path: Path, canary: object) -> None:
    done = run_audit(tmp_path, {"known-bad": canary, "requirements": [package()]})
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stdout
    assert "faults" not in done.stdout


def test_a_service_that_goes_away_in_the_middle_is_a_failure(tmp_path: Path) -> None:
    assert run_audit(tmp_path, {"known-bad": [package(WRONG)], "requirements": None}).returncode == 1


def test_a_clean_answer_passes_and_a_vulnerability_does_not(tmp_path: Path) -> None:
    clean = run_audit(tmp_path, {"known-bad": [package(WRONG)], "requirements": [package(), SKIPPED]})
    assert (clean.returncode, "Not audited, because" in clean.stdout) == (0, True)
    found = run_audit(tmp_path, {"known-bad": [package(WRONG)], "requirements": [package(WRONG)]})
    assert found.returncode == 1
    assert "some 1.0: CVE-1, PYSEC-1, fixed in 2.0" in found.stdout


def test_an_exception_goes_by_any_of_its_names_and_only_while_it_is_needed() -> None:
    assert audit.faults_of([package(WRONG)], {"CVE-1": "we do not call it"}) == []
    (fault,) = audit.faults_of([package()], {"CVE-1": "we do not call it"})
    assert "not needed any more" in fault


def test_an_exception_needs_a_reason() -> None:
    assert audit.read_exceptions("# words\n\nCVE-1 some we do not call it\n") == {"CVE-1": "we do not call it"}
    with pytest.raises(ValueError, match="gives no reason"):
        audit.read_exceptions("CVE-1 some\n")


def test_the_exceptions_there_are_have_reasons() -> None:
    audit.read_exceptions((ROOT / ".ci/audit-exceptions.txt").read_text())
