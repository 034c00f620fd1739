"""The clock that `MARKET_CLOCK` bends."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from utils.market.clock import REAL_TIME, MarketClock, new_stepped_clock, parse_market_clock

NINE_IST_MS = 1_795_145_400_000  # 2026-11-20 09:00 IST


def test_empty_is_real_time() -> None:
    assert parse_market_clock("  ") == REAL_TIME
    before = time.time_ns() // 1_000_000
    now_ms = REAL_TIME.now_ms()
    assert before <= now_ms <= time.time_ns() // 1_000_000
    assert REAL_TIME.real_seconds(3) == 3


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-20T09:00:00+05:30@60@1795000000.5",
        "2026-11-20T03:30:00+00:00@60@1795000000.5",
        "2026-11-20T03:30:00Z@60@1795000000.5",
        "2026-11-20T09:00@60.0@1795000000.5",
        " 2026-11-20 09:00:00@60@1795000000.5 ",
    ],
)
def test_market_time_at_a_speed_since_an_instant(text: str) -> None:
    clock = parse_market_clock(text)
    assert clock == MarketClock(NINE_IST_MS, 60.0, 1_795_000_000_500)
    assert clock.at(1_795_000_000_500) == NINE_IST_MS
    assert clock.at(1_795_000_001_500) == NINE_IST_MS + 60_000
    assert clock.at(1_795_000_000_000) == NINE_IST_MS - 30_000
    assert clock.real_seconds(90) == 1.5


def test_now_moves_with_real_time() -> None:
    real_ms = time.time_ns() // 1_000_000
    clock = MarketClock(NINE_IST_MS, 1000.0, real_ms)
    market_ms = clock.now_ms()
    passed_ms = time.time_ns() // 1_000_000 - real_ms
    assert NINE_IST_MS <= market_ms <= NINE_IST_MS + 1000 * passed_ms


def test_what_it_shows_can_be_read_again() -> None:
    clock = MarketClock(NINE_IST_MS + 250, 12.5, 1_795_000_000_123)
    assert parse_market_clock(str(clock)) == clock


@pytest.mark.parametrize(
    "text", ["now", "2026-11-20T09:00@60", "2026-11-20@fast@1", "x@60@1", "2026-11-20T09:00@60@1@2"]
)
def test_anything_else_is_refused_with_the_form(text: str) -> None:
    with pytest.raises(ValueError, match="is not '<market time, ISO 8601>@<speed>@"):
        parse_market_clock(text)


@pytest.mark.parametrize("speed", ["0", "-1", "inf", "nan"])
def test_the_speed_is_above_zero(speed: str) -> None:
    with pytest.raises(ValueError, match="must be above 0"):
        parse_market_clock(f"2026-11-20T09:00@{speed}@1795000000")


# ---- virtual time


def test_a_stepped_clock_shows_the_last_step_to_every_reader(tmp_path: Path) -> None:
    clock = new_stepped_clock(tmp_path / "clock", NINE_IST_MS)
    reader = parse_market_clock(str(clock))
    assert (reader, reader.now_ms()) == (clock, NINE_IST_MS)
    clock.step_to(NINE_IST_MS + 1)
    assert reader.now_ms() == NINE_IST_MS + 1


@pytest.mark.parametrize("content", [None, b"", b"short"])
def test_a_file_that_is_no_stepped_clock_is_refused_by_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "clock").write_bytes(content)
    with pytest.raises(ValueError, match="clock is not the clock of a simulated exchange"):
        parse_market_clock(f"stepped:{tmp_path}/clock")
