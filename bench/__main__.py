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
from bench.processes import Stage, compile_kernels, stage  # noqa: E402
from bench.results import Report, Row  # noqa: E402
from bench.rows_boundary import Minutes, boundary_rows  # noqa: E402
from bench.rows_candles import Size, cost_rows, frame_rows, kernel_rows  # noqa: E402
from bench.rows_footprint import footprint_rows, start_rows  # noqa: E402
from bench.rows_guarded import guarded_rows  # noqa: E402
from bench.rows_indicators import indicator_rows  # noqa: E402
from bench.rows_latency import FULL_GRID, QUICK_GRID, Point, latency_rows  # noqa: E402
from bench.rows_replay import Replay, replay_rows  # noqa: E402
from bench.rows_sustained import Climb, sustained_rows  # noqa: E402
from bench.table import lines  # noqa: E402

_BEGAN = time.monotonic()
RESULTS = Path(__file__).parent / "results"
INDICATOR_INSTRUMENTS = 9_000
GUARDED_ROUNDS = 200
COUNTS = (50, 500, 3_000, 9_000, 27_000)


@dataclass(frozen=True, slots=True)
class Plan:
    """The sizes of all rows."""

    frames: Size
    kernel: Size
    costs: tuple[int, ...]
    cost_ticks: int
    repetitions: int
    indicator_repetitions: int
    minutes: tuple[Minutes, ...]
    grid: tuple[Point, ...]
    load_seconds: float
    climbs: tuple[Climb, ...]
    replay: Replay
    pipelines: tuple[int, ...]
    footprint_seconds: float


FULL = Plan(
    frames=Size(500, 900, 7, 25_000),
    kernel=Size(9_000, 20, 7),
    costs=COUNTS,
    cost_ticks=1_000_000,
    repetitions=7,
    indicator_repetitions=7,
    minutes=(Minutes(50, 1), Minutes(500, 1), Minutes(3_000, 1), Minutes(9_000, 3)),
    grid=FULL_GRID,
    load_seconds=20.0,
    climbs=tuple(Climb(count, max(4.0, 4_000 / count), 4.0, 14) for count in COUNTS),
    replay=Replay(9_000, 480, 3, 300.0),
    pipelines=(50, 500, 3_000),
    footprint_seconds=60.0,
)
QUICK = Plan(
    frames=Size(500, 240, 3, 4_000),
    kernel=Size(9_000, 4, 2),
    costs=(50, 9_000, 27_000),
    cost_ticks=200_000,
    repetitions=2,
    indicator_repetitions=2,
    minutes=(Minutes(9_000, 1, 4_000),),
    grid=QUICK_GRID,
    load_seconds=4.0,
    climbs=(Climb(9_000, 4.0, 2.0, 5),),
    replay=Replay(9_000, 120, 1, 20.0),
    pipelines=(50,),
    footprint_seconds=8.0,
)


def main() -> int:
    options = _options()
    report, peers = Report(describe(), options.quick, _now()), Peers()
    report.absent = peers.absent
    plan, only = (
        QUICK if options.quick else FULL,
        {row_number for row_number in options.only.split(",") if row_number},
    )
    # After SIGTERM the table of what was measured so far is still printed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _measure(report, peers, plan, only)
    except KeyboardInterrupt:
        report.failures.append("interrupted: what was measured until then is here")
    report.seconds = time.monotonic() - _BEGAN
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
    _log("the kernels are compiled, or found in their cache")
    compile_kernels()
    _log("the candles of all sides are compared")
    report.checks += check_candles(peers)
    with tempfile.TemporaryDirectory(prefix="candlewick-bench-") as directory:
        parts = [part for part in _parts(report, peers, plan, Path(directory)) if not only or part[0] in only]
        for number, (row, measure) in enumerate(parts, start=1):
            _log(f"part {number} of {len(parts)}")
            _guarded(report, row, measure)


def _parts(report: Report, peers: Peers, plan: Plan, path: Path) -> list[tuple[str, Callable[[], list[Row]]]]:
    """(row number, its measurement), in the table's order."""

    def staged(name: str, measure: Callable[[Stage], list[Row]]) -> Callable[[], list[Row]]:
        return lambda: _on_stage(path / name, measure)

    return [
        ("1", lambda: frame_rows(plan.frames, peers, _log)),
        ("2", lambda: kernel_rows(plan.kernel, peers, _log)),
        ("3", lambda: _indicators(report, plan, peers)),
        ("4", staged("minute", lambda stage: boundary_rows(stage, plan.minutes, _log))),
        ("4", staged("latency", lambda stage: latency_rows(stage, plan.grid, plan.load_seconds, _log))),
        ("4", staged("sustained", lambda stage: sustained_rows(stage, plan.climbs, _log))),
        ("4", staged("guarded", lambda stage: guarded_rows(stage, GUARDED_ROUNDS, plan.repetitions, _log))),
        ("5", staged("replay", lambda stage: replay_rows(stage, plan.replay, _log))),
        ("6", staged("start", lambda stage: start_rows(stage, _log))),
        (
            "6",
            staged("pipeline", lambda stage: footprint_rows(stage, plan.pipelines, plan.footprint_seconds, _log)),
        ),
        ("6", lambda: cost_rows(plan.costs, plan.cost_ticks, plan.repetitions, _log)),
    ]


def _guarded(report: Report, part: str, measure: Callable[[], list[Row]]) -> None:
    """Measures a part. An error goes into the report, and the other parts are measured all the same."""
    began = time.monotonic()
    try:
        report.rows += measure()
    except Exception as error:
        report.failures.append(f"row {part}: {type(error).__name__}: {error}")
    _log(f"   took {time.monotonic() - began:.0f} s")


def _indicators(report: Report, plan: Plan, peers: Peers) -> list[Row]:
    checks, rows = indicator_rows(INDICATOR_INSTRUMENTS, plan.indicator_repetitions, peers, _log)
    report.checks += checks
    return rows


def _on_stage(directory: Path, measure: Callable[[Stage], list[Row]]) -> list[Row]:
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
        _log(f"kept: {stem.relative_to(RESULTS.parent.parent)}.json and .svg")


def _log(text: str) -> None:
    """A line of progress, with the time since the beginning."""
    minutes, seconds = divmod(round(time.monotonic() - _BEGAN), 60)
    sys.stderr.write(f"{minutes:2d}:{seconds:02d}  {text}\n")
    sys.stderr.flush()


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M")


if __name__ == "__main__":
    sys.exit(main())
