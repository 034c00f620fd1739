"""What is made within is left out of all later searches for garbage, and these continue as before."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from utils.runtime.garbage_collection import long_lived_objects


@pytest.fixture(autouse=True)
def own_garbage() -> Iterator[None]:
    yield
    gc.unfreeze()
    gc.enable()


def is_searched(candidate: object) -> bool:
    return any(each is candidate for each in gc.get_objects())


def test_what_is_made_within_is_not_searched() -> None:
    with long_lived_objects():
        assert not gc.isenabled()
        made: list[object] = [[]]
        assert is_searched(made)
    assert not is_searched(made)
    later: list[object] = [[]]
    assert is_searched(later)


@pytest.mark.parametrize("was_on", [True, False])
def test_the_search_is_as_it_was_even_after_an_error(was_on: bool) -> None:
    if not was_on:
        gc.disable()
    with pytest.raises(ZeroDivisionError), long_lived_objects():
        raise ZeroDivisionError
    assert gc.isenabled() is was_on


@pytest.mark.parametrize(
    ("process", "module", "compiles"),
    [
        ("candle_worker", "utils.stores.compiling", "compile_candle_kernels"),
        ("signal_worker", "utils.indicators.compiling", "compile_indicator_kernels"),
    ],
)
def test_a_worker_that_is_ready_leaves_what_made_it_so_out(process: str, module: str, compiles: str) -> None:
    """Numba alone makes more than 100,000 objects: one search for garbage among them takes 0.1 s."""
    code = (
        f"import gc, {process}; from {module} import {compiles}; {compiles}();"
        "print(gc.isenabled(), gc.get_freeze_count() > 100_000, len(gc.get_objects()) < 10_000)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["True"] * 3
