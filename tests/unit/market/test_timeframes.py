"""Timeframes: how they are written, and where their candles start."""

from __future__ import annotations

import pytest

from utils.market.timeframes import Timeframe, bucket_start_ms, parse_timeframe, parse_timeframes

OPEN_MS = 1_795_146_300_000  # 2026-11-20 09:15 IST


@pytest.mark.parametrize(
    ("text", "length_ms"),
    [
        ("1s", 1_000),
        ("30s", 30_000),
        ("1m", 60_000),
        ("75m", 4_500_000),
        ("1h", 3_600_000),
        ("24h", 86_400_000),
        ("1440m", 86_400_000),
        (" 5m ", 300_000),
    ],
)
def test_any_whole_number_of_seconds_minutes_or_hours(text: str, length_ms: int) -> None:
    assert parse_timeframe(text) == Timeframe(text.strip(), length_ms)
    assert not parse_timeframe(text).is_day


def test_one_day_is_the_session() -> None:
    assert parse_timeframe("1d") == Timeframe("1d", 0)
    assert parse_timeframe("1d").is_day


@pytest.mark.parametrize("text", ["", "5", "m", "0m", "05m", "-5m", "1.5m", "2d", "1w", "5M", "5 m", "5m5", "٣m"])
def test_anything_else_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a timeframe"):
        parse_timeframe(text)


@pytest.mark.parametrize("text", ["25h", "1441m", "86401s"])
def test_nothing_is_longer_than_a_day(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is longer than a day"):
        parse_timeframe(text)


def test_a_list_keeps_its_order() -> None:
    assert [timeframe.name for timeframe in parse_timeframes("15m, 1m,,1d ,2h")] == ["15m", "1m", "1d", "2h"]


@pytest.mark.parametrize(
    ("text", "complaint"), [("1m,60s", "'60s' and '1m'"), ("5m,5m", "'5m' and '5m'"), (" , ", "empty")]
)
def test_a_list_without_sense_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_timeframes(text)


@pytest.mark.parametrize(
    ("after_open_ms", "length_ms", "start_after_open_ms"),
    [
        (0, 60_000, 0),
        (59_999, 60_000, 0),
        (60_000, 60_000, 60_000),
        (599_999, 600_000, 0),
        (600_000, 600_000, 600_000),
        (4_499_999, 4_500_000, 0),
        (9_000_001, 4_500_000, 9_000_000),
        (-1, 60_000, -60_000),
    ],
)
def test_buckets_are_anchored_at_the_open_and_half_open(
    after_open_ms: int, length_ms: int, start_after_open_ms: int
) -> None:
    assert bucket_start_ms(OPEN_MS + after_open_ms, OPEN_MS, length_ms) == OPEN_MS + start_after_open_ms
