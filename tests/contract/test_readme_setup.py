"""The README's first steps on a server, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

from tests.shared.guarded_valkey import password_names
from tests.shared.pages import REPO, Example, example_text


def git(directory: Path, *arguments: str) -> None:
    who = ("-c", "user.name=someone", "-c", "user.email=someone@example.com")
    subprocess.run(["git", *who, *arguments], cwd=directory, capture_output=True, check=True)


def test_each_user_gets_a_password_of_its_own(tmp_path: Path) -> None:
    origin = tmp_path / "origin"
    origin.mkdir()
    shutil.copy(REPO / ".env.example", origin)
    git(origin, "init")
    git(origin, "add", "--force", ".env.example")
    git(origin, "commit", "--message", "settings")
    lines = example_text(Example.SET_UP).replace("<this repository>", str(origin))
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(["bash", "-euc", lines], cwd=tmp_path, env=environment, capture_output=True, check=True)
    file = tmp_path / "candlewick" / ".env"
    given = dict(re.findall(r"^([A-Z_]+)=(.+)$", file.read_text(), flags=re.MULTILINE))
    passwords = [given[name] for name in password_names()]
    assert len(set(passwords)) == len(passwords)
    assert all(re.fullmatch("[0-9a-f]{48}", password) for password in passwords)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
