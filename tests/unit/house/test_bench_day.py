"""The bench's day is worked out from a stretch of it."""

from __future__ import annotations

import pytest

from bench.rows_day import Stretch, candles_a_session
from utils.runtime.settings import Settings


def test_a_session_has_so_many_candles() -> None:
    """1m, 3m, 5m, 15m, 30m, 1h, 1d from 09:15 to 15:30; the last of 30m and 1h are short."""
    assert candles_a_session(Settings.load(_env_file=None)) == 375 + 125 + 75 + 25 + 13 + 7 + 1


def test_a_day_has_as_much_as_the_stretch_in_proportion() -> None:
    stretch = Stretch(instruments=500, seconds=60.0, packets=1, stream=1, journal=1, logs=1, document=400.0)
    assert stretch.a_day(1_000) == pytest.approx(375_000)
