"""How many files one reads to follow a frame to its candle, and a candle to its signal: counted, not guessed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.shared.servers import ValkeyServer, valkey_server

ROOT = Path(__file__).resolve().parents[3]
MOST = {"frame": 19, "signal": 14}  # the plan of the house is fewer than 20 and fewer than 12


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path_factory.mktemp("walks")) as server:
        yield server


@pytest.mark.parametrize("walk", sorted(MOST))
def test_a_walk_passes_no_more_files_than_these(valkey: ValkeyServer, tmp_path: Path, walk: str) -> None:
    command = [sys.executable, "-m", "tests.shared.walked_files", walk, valkey.url, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    print(f"{walk}: {len(files)} files", *files, sep="\n  ")
    assert 5 < len(files) <= MOST[walk]
