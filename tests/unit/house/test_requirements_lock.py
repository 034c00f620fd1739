"""The lock files hold exactly what the requirements files ask for, by hash, and no place where to get it."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[3]
PAIRS = ("requirements", "requirements/demo", "requirements/dev", "requirements/tools")
ENTRY = re.compile(
    r"(?P<pin>[^\s\\]+==[^\s;\\]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: \\\n {4}--hash=sha256:[0-9a-f]{64})+)\n"
)


def asked_for(name: str) -> list[Requirement]:
    """The direct pins, files named by -r included."""
    found: list[Requirement] = []
    for line in (ROOT / f"{name}.txt").read_text().splitlines():
        if line.startswith("-r "):
            path = ROOT / f"{name}.txt"
            named = (path.parent / line.removeprefix("-r ")).resolve().relative_to(ROOT)
            found += asked_for(str(named.with_suffix("")))
        elif line and not line.startswith("#"):
            found.append(Requirement(line))
    return found


@lru_cache
def locked(name: str) -> Mapping[str, Requirement]:
    text = (ROOT / f"{name}.lock").read_text()
    found = [match["pin"] + (f" ; {match['marker']}" if match["marker"] else "") for match in ENTRY.finditer(text)]
    assert ENTRY.sub("", text) == "", "nothing but pins with hashes: no index, no URL, no comment, no path"
    by_name: dict[str, Requirement] = {
        canonicalize_name(requirement.name): requirement for requirement in map(Requirement, found)
    }
    assert len(by_name) == len(found)
    return by_name


def version_of(pin: Requirement) -> str:
    (only,) = pin.specifier
    assert only.operator == "=="
    return only.version


def needed_here(direct: list[Requirement]) -> set[str]:
    """What this interpreter needs for them, as the installed packages themselves list."""
    needed: set[str] = set()
    open_ones = list(direct)
    while open_ones:
        name = open_ones.pop()
        key = f"{canonicalize_name(name.name)}[{','.join(sorted(name.extras))}]"
        if key in needed:
            continue
        needed.add(key)
        for text in importlib.metadata.requires(name.name) or []:
            further = Requirement(text)
            extras = name.extras or {""}
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                open_ones.append(further)
    return {key.partition("[")[0] for key in needed}


@pytest.mark.parametrize("name", PAIRS)
def test_every_direct_pin_is_locked_in_its_version(name: str) -> None:
    for requirement in asked_for(name):
        assert str(requirement.specifier).startswith("=="), f"{requirement}: pin the exact version"
        assert version_of(locked(name)[canonicalize_name(requirement.name)]) == version_of(requirement), (
            f"{requirement}: run make lock"
        )


@pytest.mark.parametrize("name", PAIRS[:3])
def test_the_lock_holds_what_is_needed_and_nothing_else(name: str) -> None:
    here = {key for key, version in locked(name).items() if version.marker is None or version.marker.evaluate()}
    assert here == needed_here(asked_for(name)), "run make lock"


@pytest.mark.parametrize("name", PAIRS[:2])
def test_all_locks_agree_on_versions(name: str) -> None:
    everything = locked("requirements/dev")
    assert {key: version_of(everything[key]) for key in locked(name)} == {
        key: version_of(version) for key, version in locked(name).items()
    }


def test_what_is_installed_is_what_is_locked() -> None:
    needed = {
        key: version
        for key, version in locked("requirements/dev").items()
        if not version.marker or version.marker.evaluate()
    }
    installed = {key: importlib.metadata.version(key) for key in needed}
    assert installed == {key: version_of(version) for key, version in needed.items()}


@pytest.mark.parametrize("path", ["Dockerfile", ".ci/setup", ".ci/setup-tools"])
def test_everything_is_installed_by_hash(path: str) -> None:
    text = re.sub(r"\\\n\s*", "", (ROOT / path).read_text())
    installs = [line for line in text.splitlines() if re.search(r"\bpip (\S+ \S+ )?install .*-", line)]
    assert installs
    for line in installs:
        assert re.search(r" install .*--require-hashes --only-binary :all: --requirement \S+\.lock\b", line), line
