"""The live view: what it draws of a picture, and the arithmetic behind the picture."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from commands.shared.child_process import ChildProcess
from commands.shared.picture import LiveCandle, Picture, ProcessLine, ShownSignal, Step
from commands.shared.picture_view import (
    candle_body,
    decimals_of,
    draw,
    draw_steps,
    first_candle_line,
    progress_line,
    sparkline,
    steps_line,
)
from commands.shared.pipeline_reader import Rate, choose_shown, process_line, shown_timeframe
from commands.shared.readiness import candles_wait_for, position_of, signals_wait_for, workers_ready
from commands.shared.terminal import Terminal
from utils.journal.entries import ZERO_ID, EntryId
from utils.market.timeframes import parse_timeframes

TEN_MS = 1_795_149_000_000  # 2026-11-20 10:00 IST


def _live(**changed: float) -> LiveCandle:
    values = {"open": 101.0, "high": 104.0, "low": 100.0, "close": 103.0} | changed
    return LiveCandle("NSE:INFY", "5m", **values, volume=12_345, ticks=7, closes=(1.0, 2.0), complete=True)


def _picture() -> Picture:
    return Picture(
        title="A demo",
        market_ms=TEN_MS,
        from_ms=TEN_MS - 3_600_000,
        until_ms=TEN_MS + 10_800_000,
        packets=1_234_567,
        packets_a_second=890.0,
        candles={"1m": 1_000, "5m": 200},
        candles_a_second=85.0,
        revisions=12,
        signals_published=3,
        live=(_live(),),
        signals=(ShownSignal(TEN_MS, "NSE:TCS", "15m", "SHORT", 3500.5, 3510.1234, 3480.0),),
        processes=(ProcessLine("connector", True, 1_500, "up"), ProcessLine("signal_worker", False, None, "")),
        rejected={"zscore": 4, "frame": 1},
    )


def _text(picture: Picture, width: int = 130) -> str:
    return _drawn(draw(picture), width)


def _drawn(what: RenderableType, width: int = 130) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(what)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_view_shows_what_the_picture_holds() -> None:
    text = _text(_picture())
    for part in ("A demo", "10:00:00", "09:00 to 13:00", "1,234,567 ticks (890/s)", "1,200 candles", "12 revised"):
        assert part in text
    for part in ("NSE:INFY 5m", "103.00", "12,345", "NSE:TCS 15m", "SHORT", "3,500.50", "3,510.12", "connector"):
        assert part in text
    for part in ("1.5 s", "rejected: zscore 4, frame 1"):
        assert part in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_view_keeps_to_the_terminals_width(width: int) -> None:
    assert all(len(line) <= width for line in _text(_picture(), width).splitlines())


_STEPS = (Step("history", 12, 50, "12 of 50 instruments"), Step("kernels", 0, 0, "compiling, 7 s"))


def test_what_is_made_ready_is_shown_with_a_bar_each() -> None:
    text = _drawn(draw_steps(_STEPS))
    for part in ("history", "12 of 50 instruments", "kernels", "compiling, 7 s"):
        assert part in text
    assert text.count("━") > 20


def test_the_view_shows_what_is_still_made_ready_until_it_is() -> None:
    assert "12 of 50 instruments" in _text(replace(_picture(), steps=_STEPS))
    assert "being made ready" not in _text(_picture())


def test_what_is_made_ready_fits_one_line() -> None:
    assert steps_line(_STEPS) == "  ready    history: 12 of 50 instruments; kernels: compiling, 7 s"


def test_the_first_candle_is_shown_with_its_values_and_the_time_it_took() -> None:
    line = "First live candle after 12.3 s: NSE:INFY 5m  O 101.00 H 104.00 L 100.00 C 103.00 volume 12,345"
    assert first_candle_line(_live(), 12.34) == line
    index = replace(_live(), volume=None, open=100.0025)
    assert first_candle_line(index, 0.0).endswith("O 100.0025 H 104.0000 L 100.0000 C 103.0000")


def test_a_picture_of_nothing_can_be_drawn() -> None:
    empty = Picture("A demo", 0, 0, 1, 0, 0.0, {}, 0.0, 0, 0)
    assert "waiting for the first trade" in _text(empty)
    assert "none yet" in _text(empty)


def test_the_progress_line_shows_the_same_in_one_line() -> None:
    line = progress_line(_picture())
    assert "\n" not in line
    assert line.startswith("10:00:00  25%  packets 1,234,567 (890/s)  candles 1,200 (+12 revised)  signals 3")
    assert "rejected 5" in line
    assert "lag: connector 1.5 s" in line
    assert "NO WORD FROM: signal_worker" in line


@pytest.mark.parametrize(
    ("at_ms", "progress"), [(-5, 0.0), (0, 0.0), (3_600_000, 0.25), (14_400_000, 1.0), (99_000_000, 1.0)]
)
def test_progress_stays_between_none_and_all(at_ms: int, progress: float) -> None:
    picture = _picture()
    moved = Picture("", picture.from_ms + at_ms, picture.from_ms, picture.until_ms, 0, 0.0, {}, 0.0, 0, 0)
    assert moved.progress == progress


@pytest.mark.parametrize(
    ("closes", "bars"), [((), ""), ((5.0, 5.0), "▁▁"), ((1.0, 2.0, 8.0), "▁▂█"), ((3.0, 1.0, 2.0), "█▁▅")]
)
def test_a_sparkline_runs_from_the_lowest_to_the_highest(closes: tuple[float, ...], bars: str) -> None:
    assert sparkline(closes) == bars


@pytest.mark.parametrize(
    ("changed", "body"),
    [
        ({}, "──█████──"),
        ({"open": 103.0, "close": 101.0}, "──█████──"),
        ({"open": 100.0, "close": 104.0}, "█████████"),
        ({"open": 104.0, "close": 104.0}, "────────█"),
        ({"open": 100.0, "high": 100.0, "close": 100.0}, "█────────"),
    ],
)
def test_a_candle_lies_with_its_body_between_open_and_close(changed: dict[str, float], body: str) -> None:
    assert candle_body(_live(**changed), width=9) == body


def test_currencies_are_shown_with_four_decimals() -> None:
    assert decimals_of((1500.05, 22.1)) == 2
    assert decimals_of((90.9, 90.9025)) == 4


def test_a_rate_is_over_the_last_seconds() -> None:
    rate = Rate()
    assert rate.at(1_000, 10.0) == 0.0
    assert rate.at(1_200, 11.0) == 200.0
    for second in range(12, 31):
        last = rate.at(1_200 + (second - 11) * 50, float(second))
    assert last == 50.0
    assert rate.at(0, 31.0) == 0.0  # a worker that started anew counts from 0


def test_what_is_shown_is_a_mix_of_classes() -> None:
    by_class = {"index": ["N50", "BANK"], "stock": ["A", "B", "C", "D"], "future": ["F"]}
    assert choose_shown(by_class, 5) == ["N50", "A", "F", "BANK", "B"]
    assert choose_shown(by_class, 99) == ["N50", "A", "F", "BANK", "B", "C", "D"]


@pytest.mark.parametrize(("speed", "name"), [(1.0, "1m"), (15.0, "1m"), (60.0, "5m"), (10_000.0, "1d")])
def test_the_timeframe_shown_takes_long_enough_to_be_seen(speed: float, name: str) -> None:
    assert shown_timeframe(parse_timeframes("1d,5m,1m,1h"), speed).name == name


# ---- the health reports


def test_lag_is_the_age_of_the_newest_frame_or_entry() -> None:
    child = ChildProcess("connector", ["true"], log_path=Path("/dev/null"))
    child.popen.wait()
    line = process_line(child, {"market_ms": "10000", "last_frame_ms": "9000", "state": "up"})
    assert (line.lag_ms, line.note, line.alive) == (1_000, "up", False)
    child.name = "candle_worker"
    line = process_line(child, {"market_ms": "10000", "last_entry_ms": "7000", "archive_backlog": "1200"})
    assert (line.lag_ms, line.note) == (3_000, "1,200 to be stored")
    child.name = "signal_worker"
    assert process_line(child, {"market_ms": "10000", "last_entry_ms": "7000"}).lag_ms is None
    assert process_line(child, None).lag_ms is None


def test_readiness_names_what_is_waited_for() -> None:
    assert candles_wait_for({}, 5) == [
        "the connector has not reported yet", "the candle worker has not reported yet"
    ]  # fmt: skip
    reports = {"connector": {"state": "up"}, "candle_worker": {"instruments": "3"}}
    assert candles_wait_for(reports, 5) == ["3 of 5 instruments are subscribed"]
    reports["candle_worker"]["instruments"] = "5"
    assert candles_wait_for(reports, 5) == ["0 of 10 cached packets have come"]
    reports["candle_worker"]["packets"] = "10"
    assert candles_wait_for(reports, 5) == []
    assert signals_wait_for(reports) == ["the signal worker has not reported yet"]
    assert not workers_ready(reports)
    reports["signal_worker"] = {"state": "warming up 3/5"}
    assert signals_wait_for(reports) == ["the signal worker is warming up 3/5"]
    reports["signal_worker"] = {"state": "running"}
    assert workers_ready(reports)


def test_a_position_is_read_by_shard() -> None:
    reports = {"candle_worker": {"position_0": "17-3", "position_1": ""}}
    assert position_of(reports, "candle_worker", 0) == EntryId(17, 3)
    assert position_of(reports, "candle_worker", 1) == ZERO_ID
    assert position_of(reports, "signal_worker", 0) == ZERO_ID


def test_text_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal(with_view=False).print_line("hgetall demo:candle:NSE:INFY:5m [bold]")
    assert capsys.readouterr().out == "hgetall demo:candle:NSE:INFY:5m [bold]\n"  # rich knows a :candle: of its own
