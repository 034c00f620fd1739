"""The kernels' cache: which change recompiles which module, and places where nothing can be written."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from utils.runtime import kernel_cache

_ROOT = Path(__file__).resolve().parents[3]
_USES_A_KERNEL = """
from utils.indicators import kernels
from utils.indicators.compiling import compile_indicator_kernels
compile_indicator_kernels()
print(sum(sum(each.stats.cache_hits.values()) for each in vars(kernels).values() if hasattr(each, "stats")))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """inner.py imports layout.py and market.py, outer.py imports inner.py, and market.py a setting."""
    texts = {
        "candles/kernels/layout.py": "",
        "candles/kernels/inner.py": "from utils.candles.kernels.layout import Row\nfrom utils.market import LENGTH\n",
        "candles/outer.py": "from utils.candles.kernels.inner import step\n",
        "indicators/other.py": "",
        "market.py": "from utils.runtime.settings import Settings\n",
        "settings.py": "",
    }
    for name, text in texts.items():
        path = tmp_path / "utils" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(kernel_cache, "_PROJECT", tmp_path)
    return tmp_path / "utils"


def _digests(project: Path) -> dict[str, str]:
    kernel_cache.sources_digest.cache_clear()
    kernel_cache._imports.cache_clear()
    names = ("candles/kernels/inner.py", "candles/outer.py", "indicators/other.py")
    return {name: kernel_cache.sources_digest(project / name) for name in names}


@pytest.mark.parametrize(
    ("changed", "recompiled"),
    [
        ("candles/outer.py", {"candles/outer.py"}),
        ("candles/kernels/inner.py", {"candles/kernels/inner.py", "candles/outer.py"}),
        ("candles/kernels/layout.py", {"candles/kernels/inner.py", "candles/outer.py"}),
        ("market.py", {"candles/kernels/inner.py", "candles/outer.py"}),
        ("indicators/other.py", {"indicators/other.py"}),
        ("settings.py", set()),
    ],
)
def test_a_change_recompiles_what_it_reaches_and_no_more(project: Path, changed: str, recompiled: set[str]) -> None:
    before = _digests(project)
    with (project / changed).open("a") as source:
        source.write("LIMIT = 1\n")
    after = _digests(project)
    assert {name for name in before if before[name] != after[name]} == recompiled


def test_what_a_kernel_module_imports_is_found() -> None:
    reached = kernel_cache._reached_from(_ROOT / "utils" / "candles" / "kernels" / "processing.py", set())
    names = {path.name for path in reached}
    assert {"layout.py", "trades.py", "buckets.py", "frames.py", "kernel_cache.py"} <= names


def _run(cache: Path, temporary: Path) -> int:
    """A process that uses a kernel; returns how many functions it found in the cache."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", _USES_A_KERNEL]
    ran = subprocess.run(command, cwd=_ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return int(ran.stdout)


def test_where_no_folder_can_be_made_kernels_are_compiled_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")  # not even root can make a folder below it
    (tmp_path / "temporary").mkdir()
    assert _run(tmp_path / "a file" / "cache", tmp_path / "temporary") == 0
    assert list((tmp_path / "temporary").iterdir()) == []  # its own cache went with it


def test_a_second_process_compiles_nothing(tmp_path: Path) -> None:
    assert _run(tmp_path / "cache", tmp_path) == 0
    assert _run(tmp_path / "cache", tmp_path) > 0


def test_a_read_only_cache_is_worked_on_as_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError

    (tmp_path / "cache" / "kernel-0123").mkdir(parents=True)
    (tmp_path / "cache" / "kernel-0123" / "compiled").write_bytes(b"code")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    home = kernel_cache._cache_home()
    assert home is not None
    assert home != tmp_path / "cache"
    assert (home / "kernel-0123" / "compiled").read_bytes() == b"code"
