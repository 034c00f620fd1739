"""A clone that a Windows git made: what containers run has LF, and Redis starts from one with CRLF as well."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shared.compose_file import REPO, filled_in, services
from tests.shared.guarded_valkey import passwords


def clone_as_on_windows(directory: Path) -> Path:
    """The working tree as `git clone` writes it with core.autocrlf=true, which Git for Windows sets."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPO, capture_output=True, text=True, check=True)
    origin = directory / "origin"
    for name in filter(None, listed.stdout.split("\0")):
        if (REPO / name).is_file():
            (origin / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / name, origin / name)
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for arguments in (["init", "-q"], ["add", "--all", "--force"], [*identity, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *arguments], cwd=origin, capture_output=True, check=True)
    clone = directory / "clone"
    subprocess.run(["git", "-c", "core.autocrlf=true", "clone", "-q", str(origin), str(clone)], check=True)
    return clone


def test_no_text_of_a_clone_made_on_windows_has_crlf(tmp_path: Path) -> None:
    clone = clone_as_on_windows(tmp_path)
    listed = subprocess.run(["git", "ls-files", "--eol"], cwd=clone, capture_output=True, text=True, check=True)
    lines = listed.stdout.splitlines()
    assert len(lines) > 200
    assert [line for line in lines if "w/crlf" in line or "w/mixed" in line] == []


def test_the_fuzz_corpus_is_the_same_to_the_byte(tmp_path: Path) -> None:
    clone, corpus = clone_as_on_windows(tmp_path), Path("tests/fuzz/corpus")
    files = [path.relative_to(REPO) for path in (REPO / corpus).rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [str(path) for path in files if (clone / path).read_bytes() != (REPO / path).read_bytes()] == []


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_entrypoint_of_redis_starts_with_either_line_end(tmp_path: Path, line_end: str) -> None:
    mounted = tmp_path / "candlewick"
    mounted.mkdir()
    for name in ("start.sh", "redis.conf"):
        text = (REPO / "deploy/redis" / name).read_text()
        (mounted / name).write_text(text, newline=line_end)
    stated = services()["redis"]
    moved = {"/etc/candlewick": str(mounted), "/tmp/start.sh": str(tmp_path / "start.sh")}
    words = [filled_in(str(word), {}) for word in (*stated["entrypoint"], "--dir", "/data")]
    for here, there in moved.items():
        words = [word.replace(here, there) for word in words]
    environment = {name: filled_in(str(value), passwords()) for name, value in stated["environment"].items()}
    environment |= {"ACL_FILE": str(tmp_path / "users.acl"), "REDIS_SERVER": "/bin/echo", "PATH": "/usr/bin:/bin"}
    environment["REDIS_CONFIG"] = environment["REDIS_CONFIG"].replace("/etc/candlewick", str(mounted))
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{mounted}/redis.conf --aclfile {tmp_path}/users.acl --dir /data\n"
    users = (tmp_path / "users.acl").read_bytes()
    assert b"\r" not in users and users.count(b"\nuser ") == 5
