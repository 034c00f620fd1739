"""A late packet that counts more volume than the ones in order: no candle's volume may fall below zero."""

from __future__ import annotations

import pytest

from tests.fuzz.candle_checks import check_candle
from tests.reference.case_building import STOCK, entries, frame, full, mark, subscribed
from tests.reference.engine_runs import run_engine
from tests.reference.inputs import ReferenceSettings

SETTINGS = ReferenceSettings(timeframes=(("5s", 5_000),))
BEGIN = subscribed("09:14:00", STOCK)


@pytest.mark.parametrize(
    ("received", "packets"),
    [
        # It becomes the open of the open candle; the next one amends the candle before up to that open.
        (
            "09:16:20",
            [
                (0, "09:16:14", "09:16:14"),
                (0, "09:16:18", "09:16:18"),
                (100, "09:16:15", "09:16:15"),
                (100, "09:15:51", "09:15:51"),
            ],
        ),
        # It opens a candle by itself; the next ones open a later one and amend the first.
        (
            "09:15:16",
            [
                (5, "09:15:16", "09:15:16"),
                (105, "09:15:11", "09:15:11"),
                (0, "09:15:15", "09:15:15"),
                (0, "09:15:14", "09:15:16"),
            ],
        ),
    ],
)
def test_late_volume_from_nowhere(received: str, packets: list[tuple[int, str, str]]) -> None:
    frames = [frame(received, full(STOCK, 89, volume, trade, exchange)) for volume, trade, exchange in packets]
    run = run_engine(entries(BEGIN, *frames, mark("09:17:30", "clock")), [STOCK.reference], SETTINGS)
    assert run.published
    for message in run.published:
        check_candle(message.candle)
