"""A pytest plugin: a failing test explains itself on one screen.

After the assertion come the seeds, then of each process that the test or its fixtures started the last lines of the
log, and what the processes last reported of themselves. Long differences and long output are cut in the middle.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.shared.started_processes import ProcessRecord, StartedProcess, health_lines, last_lines

LINES_A_LOG = 8
LINES_OF_ALL_LOGS = 60
LINES_AN_ENTRY = 16  # of a traceback, the explanation of the assertion with it
ENTRIES = 8
LINES_OF_OUTPUT = 10
WIDTH = 160
WIDTH_OF_HEALTH = 480

_Thing = TypeVar("_Thing")

record = ProcessRecord()


def pytest_configure() -> None:
    record.install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    record.forget_all_but(_owners(item))
    with record.owned_by(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(request: pytest.FixtureRequest) -> Generator[None, object, object]:
    with record.owned_by(request.node.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        own_first = sorted(record.owned(_owners(item)), key=lambda process: process.owner != item.nodeid)
        added = {"seeds": _seeds(item, report), "processes": list(_processes(own_first))}
        _shorten(report)
        report.sections += [(name, "\n".join(lines)) for name, lines in added.items() if lines]
    return report


def _owners(item: pytest.Item) -> set[str]:
    return {node.nodeid for node in item.listchain()}


# -- seeds ----------------------------------------------------------------------------------------------------------


def _seeds(item: pytest.Item, report: pytest.TestReport) -> list[str]:
    """Those of its parameters, of its file's constants, and those that it printed."""
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    constants = vars(getattr(item, "module", None) or object)
    named = chain(parameters.items(), constants.items())
    seeds = [f"{name} = {value}" for name, value in named if "seed" in name.lower() and isinstance(value, int)]
    printed = re.findall(r"\bseeds?[ =:]+\d+", report.capstdout + report.capstderr)
    return list(dict.fromkeys(seeds + printed))


# -- length ---------------------------------------------------------------------------------------------------------


def _shorten(report: pytest.TestReport) -> None:
    report.sections = [(name, _cut(text, LINES_OF_OUTPUT)) for name, text in report.sections]
    chained: list[tuple[Any, Any, Any]] = getattr(report.longrepr, "chain", [])
    for traceback, crash, _ in chained:
        traceback.reprentries = _middle_out(traceback.reprentries, ENTRIES)
        for entry in traceback.reprentries:
            entry.lines = _cut("\n".join(entry.lines), LINES_AN_ENTRY).split("\n")
        if crash is not None:
            crash.message = crash.message.partition("\n")[0][:WIDTH]


def _cut(text: str, most: int) -> str:
    lines = [line if len(line) <= WIDTH else f"{line[:WIDTH]} …" for line in text.split("\n")]
    kept = _middle_out(lines, most)
    if len(kept) < len(lines):
        kept.insert(most * 2 // 3, f"… {len(lines) - len(kept)} lines more …")
    return "\n".join(kept)


def _middle_out(things: Sequence[_Thing], most: int) -> list[_Thing]:
    """The first two thirds and the last third of `most`."""
    first = most * 2 // 3
    return list(things) if len(things) <= most else [*things[:first], *things[first - most :]]


# -- processes ------------------------------------------------------------------------------------------------------


def _processes(processes: Sequence[StartedProcess]) -> Iterator[str]:
    logs: dict[Path, StartedProcess] = {}
    for process in processes:
        if process.log is not None:
            logs[process.log] = process
    for process in processes:
        for log in process.logs_of_children():
            logs.setdefault(log, process)
    each = max(1, min(LINES_A_LOG, LINES_OF_ALL_LOGS // max(1, len(logs)) - 1))
    for log, process in logs.items():
        yield f"--- {process.program} ({process.state}), {log}"
        yield from _cut("\n".join(last_lines(log, each)), each).split("\n")
    yield from (line[:WIDTH_OF_HEALTH] for line in health_lines(processes))
