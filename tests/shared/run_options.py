"""A pytest plugin for whole runs: `--shuffle SEED` and `--run-limit SECONDS`."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from itertools import groupby

import pytest

_ends = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("candlewick")
    group.addoption("--shuffle", type=int, metavar="SEED", help="files, and the tests of each, in a random order")
    group.addoption(
        "--run-limit", type=float, metavar="SECONDS", help="a test that runs beyond it fails, with its stack"
    )


def pytest_configure(config: pytest.Config) -> None:
    limit = config.getoption("run_limit")
    config.stash[_ends] = time.monotonic() + limit if limit else float("inf")


def pytest_report_header(config: pytest.Config) -> list[str]:
    seed = config.getoption("shuffle")
    return [] if seed is None else [f"shuffled: --shuffle {seed}"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    seed = config.getoption("shuffle")
    if seed is None:
        return
    dice = random.Random(seed)
    files = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    dice.shuffle(files)
    for tests in files:
        if tests[0].get_closest_marker("in_order") is None:
            dice.shuffle(tests)
    items[:] = [item for tests in files for item in tests]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Leaves a test no more time than the run has: pytest-timeout ends it, and its report has where it was."""
    left = item.config.stash[_ends] - time.monotonic()
    marker = item.get_closest_marker("timeout")
    own = float(marker.args[0] if marker and marker.args else item.config.getini("timeout") or 0)
    if 0 < left < (own or float("inf")):
        item.add_marker(pytest.mark.timeout(left), append=False)
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[_ends]:
        pytest.fail(f"not run: the {item.config.getoption('run_limit'):g} s of the run are over", pytrace=False)
