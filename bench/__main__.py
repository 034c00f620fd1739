"""`make bench`: every row in one run, as a table, as JSON and as a picture."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

# kiteconnect and vnpy give local times: in India's zone they agree with the session's hours.
os.environ["TZ"] = "Asia/Kolkata"
time.tzset()

from bench.check_candles import check_candles  # noqa: E402
from bench.machine import describe  # noqa: E402
from bench.peers import Peers  # noqa: E402
from bench.picture import svg  # noqa: E402
from bench.processes import stage  # noqa: E402
from bench.results import Report, Row  # noqa: E402
from bench.rows_boundary import boundary_rows  # noqa: E402
from bench.rows_candles import Size, cost_rows, frame_rows, kernel_rows  # noqa: E402
from bench.rows_footprint import footprint_rows  # noqa: E402
from bench.rows_indicators import indicator_rows  # noqa: E402
from bench.rows_latency import FULL_GRID, QUICK_GRID, Point, latency_rows  # noqa: E402
from bench.rows_replay import replay_rows  # noqa: E402
from bench.table import lines  # noqa: E402

RESULTS = Path(__file__).parent / "results"
COUNTS = (50, 500, 3_000, 9_000, 27_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of everything."""

    frames: Size
    kernel: Size
    repetitions: int
    cost_ticks: int
    indicator_instruments: int
    boundaries: int
    grid: tuple[Point, ...]
    load_seconds: float
    replay_seconds: int
    footprint_seconds: float


# The peers see the same ticks, as many of them as take a second or so.
FULL = Plan(Size(500, 300, 7, 25_000), Size(9_000, 20, 7, 90_000), 7, 1_000_000, 9_000, 3, FULL_GRID, 20.0, 240, 60.0)
QUICK = Plan(Size(500, 60, 3, 5_000), Size(9_000, 6, 3, 18_000), 3, 200_000, 9_000, 1, QUICK_GRID, 4.0, 30, 10.0)


def main() -> int:
    options = _options()
    report, peers = Report(describe(), options.quick, _now()), Peers()
    report.absent = peers.absent
    began = time.monotonic()
    plan, only = QUICK if options.quick else FULL, {one for one in options.only.split(",") if one}
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a table of what there is, not nothing
    try:
        _measure(report, peers, plan, only)
    except KeyboardInterrupt:
        report.failures.append("interrupted: what was measured until then is here")
    report.seconds = time.monotonic() - began
    sys.stdout.write("\n".join(lines(report)) + "\n")
    _write(report, options)
    return 0 if all(check.passed for check in report.checks) and not report.failures else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the same rows, smaller: under 3 minutes")
    parser.add_argument("--json", type=Path, help="write the results there, too")
    parser.add_argument("--only", default="", help="a comma-separated choice of rows 1 to 6, for who works on one")
    parser.add_argument("--keep", action="store_true", help="keep the results in bench/results/ though quick")
    return parser.parse_args()


def _measure(report: Report, peers: Peers, plan: Plan, only: set[str]) -> None:
    report.checks += check_candles(peers)
    _say("the candles of all sides are compared")
    with tempfile.TemporaryDirectory(prefix="candlewick-bench-") as directory:
        path = Path(directory)
        parts: list[tuple[str, Callable[[], list[Row]]]] = [
            ("1", lambda: frame_rows(plan.frames, peers, _say)),
            ("2", lambda: kernel_rows(plan.kernel, peers, _say)),
            ("3", lambda: _indicators(report, plan, peers)),
            ("4", lambda: _on_stage(path / "4", lambda where: boundary_rows(where, 9_000, plan.boundaries, _say))),
            (
                "4",
                lambda: _on_stage(path / "4b", lambda where: latency_rows(where, plan.grid, plan.load_seconds, _say)),
            ),
            ("5", lambda: _on_stage(path / "5", lambda where: replay_rows(where, 9_000, plan.replay_seconds, _say))),
            ("6", lambda: _on_stage(path / "6", lambda where: footprint_rows(where, plan.footprint_seconds, _say))),
            ("6", lambda: cost_rows(COUNTS, plan.cost_ticks, plan.repetitions, _say)),
        ]
        for part, measure in parts:
            if not only or part in only:
                _guarded(report, part, measure)


def _guarded(report: Report, part: str, measure: Callable[[], list[Row]]) -> None:
    """A part that fails says so in the report; the others are measured all the same."""
    began = time.monotonic()
    try:
        report.rows += measure()
    except Exception as error:
        report.failures.append(f"row {part}: {type(error).__name__}: {error}")
    _say(f"   … {time.monotonic() - began:.0f} s")


def _indicators(report: Report, plan: Plan, peers: Peers) -> list[Row]:
    checks, rows = indicator_rows(plan.indicator_instruments, plan.repetitions, peers, _say)
    report.checks += checks
    return rows


def _on_stage(directory: Path, measure: Callable[..., list[Row]]) -> list[Row]:
    directory.mkdir(parents=True)
    with stage(directory) as where:
        return measure(where)


def _write(report: Report, options: argparse.Namespace) -> None:
    content = json.dumps(report.as_dict(), indent=1, ensure_ascii=False) + "\n"
    if options.json:
        options.json.write_text(content, encoding="utf-8")
    if not options.only and (options.keep or not options.quick):
        RESULTS.mkdir(exist_ok=True)
        stem = RESULTS / report.started.replace(":", "").replace(" ", "_")
        stem.with_suffix(".json").write_text(content, encoding="utf-8")
        stem.with_suffix(".svg").write_text(svg(report), encoding="utf-8")
        _say(f"kept: {stem.relative_to(RESULTS.parent.parent)}.json and .svg")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    sys.exit(main())
