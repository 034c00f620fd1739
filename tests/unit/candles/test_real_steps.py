"""The candles of a recording of Kite's real feed, worked out by hand, of the reference and of the fast engine.

Two pieces of one index future (tests/fixtures/README.md); each is a subscription whose first packet is the cached
one.
"""

from __future__ import annotations

import csv
import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from tests.reference.candles import reference_candles
from tests.reference.case_building import at, pack
from tests.reference.engine_runs import run_engine
from tests.reference.inputs import Entry, ReferenceInstrument, ReferenceSettings

STEPS = Path(__file__).parents[2] / "fixtures" / "full_mode_steps.csv"
DATE = "2025-12-29"
TOKEN = 13_238_786
SETTINGS = ReferenceSettings(timeframes=(("15s", 15_000), ("1m", 60_000)))
FUTURE = ReferenceInstrument(
    "NFO:NIFTY25DECFUT", TOKEN, False, True, 100, 10, *(at(clock, DATE) for clock in ("09:15", "15:30") * 2)
)
MARK = {
    "token": TOKEN, "exchange": "NFO", "tradingsymbol": "NIFTY25DECFUT", "name": "NIFTY", "segment": "NFO-FUT",
    "instrument_type": "FUT", "expiry": "2025-12-30", "tick_size": 0.1, "lot_size": 75,
    "session_class": "index_derivative",
}  # fmt: skip

# Timeframe, start, open, high, low, close, volume, turnover, ticks, open interest.
# Seconds of 12:47 below; "+n at p": the volume grew by n. Prices are 25 9xx.x of the file, without the 25 9.
BY_HAND = [
    # 00 is the baseline (3 332 925). 02 opens: 78.9, +675. 03: 74.9, +75. 05: 80.0 alone, the price first; 06: its
    # volume, +150. 09: 77.8, +75. 10: 78.0 alone, gone in the next packet. 11: 77.8, +450. 13: 74.9, +75.
    # 14: 78.8, +75. 04, 07, 12, 15 show nothing new.
    (
        "15s", "12:47:00", 25978.9, 25980.0, 25974.9, 25978.8, 3_334_500 - 3_332_925,
        675 * 25978.9 + 75 * 25974.9 + 150 * 25980.0 + (75 + 450) * 25977.8 + 75 * 25974.9 + 75 * 25978.8,
        9, 11_154_825,
    ),
    # 17 (traded at 16) opens: 78.8, +75. 18: 78.6, +75. 19: 79.4, +375 of the second 18. 21: 78.3 alone, the low a
    # packet before its volume; 22: +225. 24: 80.0, +300. 25: 78.5, +75. 20, 27, 28, 29 show nothing new.
    (
        "15s", "12:47:15", 25978.8, 25980.0, 25978.3, 25978.5, 3_335_625 - 3_334_500,
        75 * 25978.8 + 75 * 25978.6 + 375 * 25979.4 + 225 * 25978.3 + 300 * 25980.0 + 75 * 25978.5,
        7, 11_154_825,
    ),
    # 30: 76.0, +150. 31: 76.0, +75. 32: 75.1, +600. 33: 75.1, +150. 36: 75.0, +225. 35 shows nothing new.
    (
        "15s", "12:47:30", 25976.0, 25976.0, 25975.0, 25975.0, 3_336_825 - 3_335_625,
        (150 + 75) * 25976.0 + (600 + 150) * 25975.1 + 225 * 25975.0,
        5, 11_154_825,
    ),
    # The baseline is 12:50:59 (3 364 575). 00 opens: 76.2, +600. 01: 72.0 alone, below its day low of 72.4, but its
    # own bid: it counts at once. 02: 71.5, +1 050, below its day low of 71.7, a tick below its bid. 03: 71.5, +375.
    # 04: 72.0 alone. 05: 72.2, +450. 06: 74.7, +225. A range check that knows one packet throws 01 and 02 away.
    (
        "15s", "12:51:00", 25976.2, 25976.2, 25971.5, 25974.7, 3_367_275 - 3_364_575,
        600 * 25976.2 + (1050 + 375) * 25971.5 + 450 * 25972.2 + 225 * 25974.7,
        7, 11_163_750,
    ),
    # The three of 12:47 together, and that of 12:51 again.
    (
        "1m", "12:47:00", 25978.9, 25980.0, 25974.9, 25975.0, 3_336_825 - 3_332_925,
        675 * 25978.9 + 75 * 25974.9 + 150 * 25980.0 + (75 + 450) * 25977.8 + 75 * 25974.9 + 75 * 25978.8
        + 75 * 25978.8 + 75 * 25978.6 + 375 * 25979.4 + 225 * 25978.3 + 300 * 25980.0 + 75 * 25978.5
        + (150 + 75) * 25976.0 + (600 + 150) * 25975.1 + 225 * 25975.0,
        21, 11_154_825,
    ),
    (
        "1m", "12:51:00", 25976.2, 25976.2, 25971.5, 25974.7, 3_367_275 - 3_364_575,
        600 * 25976.2 + (1050 + 375) * 25971.5 + 450 * 25972.2 + 225 * 25974.7,
        7, 11_163_750,
    ),
]  # fmt: skip


def packet_of(row: dict[str, str]) -> bytes:
    """184 bytes; of the depth only the first level is known."""
    whole = {name: round(float(value)) for name, value in row.items()}
    units = {name: round(float(value) * 100) for name, value in row.items()}
    head = struct.pack(
        ">16I",
        TOKEN, units["last_price"], whole["last_traded_quantity"], units["average_traded_price"],
        whole["volume_traded"], 0, 0, units["day_open"], units["day_high"], units["day_low"],
        units["previous_close"], whole["last_trade_time"], whole["oi"], 0, 0, whole["exchange_timestamp"],
    )  # fmt: skip
    sides = (
        struct.pack(">IIHH", whole[f"{side}_quantity"], units[side], 1, 0) + bytes(48) for side in ("bid", "ask")
    )
    return head + b"".join(sides)


def journal() -> Iterator[Entry]:
    """Each packet a second after its exchange time; the first piece ends with the socket, after its minute closed."""
    with STEPS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    pieces = [
        ("12:46:59", "12:48:03", [row for row in rows if int(row["exchange_timestamp"]) < at("12:50", DATE) // 1000]),
        ("12:50:58", "12:52:03", [row for row in rows if int(row["exchange_timestamp"]) > at("12:50", DATE) // 1000]),
    ]
    subscribed = json.dumps({"mark": "subscribed", "mode": "full", "instruments": [MARK]}).encode()
    for begins, ends, piece in pieces:
        yield Entry(at(begins, DATE), 0, "m", subscribed)
        for row in piece:
            yield Entry((int(row["exchange_timestamp"]) + 1) * 1000, 0, "f", pack(packet_of(row)))
        yield Entry(at(ends, DATE), 0, "f", b"\x00")
        yield Entry(at(ends, DATE) + 500, 0, "m", b'{"mark":"down","reason":"closed"}')


def wanted() -> list[tuple[object, ...]]:
    return [
        (timeframe, at(start, DATE), *prices_and_volume, pytest.approx(turnover / prices_and_volume[4], rel=1e-12),
         ticks, oi, True, 0)
        for timeframe, start, *prices_and_volume, turnover, ticks, oi in BY_HAND
    ]  # fmt: skip


def test_the_recording_is_complete() -> None:
    assert sum(len(entry.payload) == 2 + 2 + 184 for entry in journal()) == 39


def test_the_reference_makes_these_candles() -> None:
    result = reference_candles(journal(), [FUTURE], SETTINGS)
    table: pd.DataFrame = result.candles
    found = [
        (row.timeframe, row.start_ms, row.open, row.high, row.low, row.close, row.volume, row.vwap, row.ticks,
         row.oi, row.complete, row.rev)
        for row in table.itertuples()
    ]  # fmt: skip
    assert found == wanted()
    assert not result.rejected
    assert result.counts["undated"] == 5


def test_the_engine_makes_these_candles() -> None:
    run = run_engine(list(journal()), [FUTURE], SETTINGS)
    found = [
        (bar.timeframe, bar.start_ms, bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap, bar.ticks,
         bar.oi, bar.complete, bar.rev)
        for bar in sorted(run.final.values(), key=lambda bar: (bar.timeframe, bar.start_ms))
    ]  # fmt: skip
    assert found == wanted()
    assert not run.rejected
