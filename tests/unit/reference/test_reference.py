"""The reference against the hand-made cases, and against a packet of the real exchange."""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.reference.candles import COLUMNS, ReferenceCandles, reference_candles
from tests.reference.case_building import (
    MINUTE_AND_DAY,
    STOCK,
    Case,
    CaseInstrument,
    Expected,
    at,
    cached,
    entries,
    frame,
    full,
    heartbeat,
    mark,
    opening,
    subscribed,
)
from tests.reference.cases import CASES
from tests.reference.inputs import Entry, ReferenceInstrument
from tests.reference.packets import decode, split_frame
from tests.reference.recording import entries_from_recording

REAL = Path(__file__).parents[4] / "shared" / "real"


def run(case: Case) -> ReferenceCandles:
    return reference_candles(case.entries, [instrument.reference for instrument in case.instruments], case.settings)


def row_of(expected: Expected) -> dict[str, Any]:
    row = {name: getattr(expected, name) for name in COLUMNS if name not in ("start_ms", "end_ms")}
    return {**row, "start_ms": at(expected.start), "end_ms": at(expected.end)}


def plain(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in table.astype(object).to_dict(orient="records")
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_reference_agrees_with_what_was_worked_out_by_hand(case: Case) -> None:
    result = run(case)
    wanted = sorted(map(row_of, case.expected), key=lambda row: (row["symbol"], row["timeframe"], row["start_ms"]))
    got = plain(result.candles)
    for want, have in zip(wanted, got, strict=False):
        if want["vwap"] is not None:
            want["vwap"] = pytest.approx(want["vwap"], rel=1e-12)
        assert have == want
    assert len(got) == len(wanted)
    assert dict(result.rejected) == dict(case.rejected)
    assert {name: result.counts[name] for name in case.counts} == dict(case.counts)
    if case.events is not None:
        assert result.events == [(symbol, frame, at(start), rev) for symbol, frame, start, rev in case.events]


def test_case_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 30


def test_a_day_without_a_session_makes_no_candle() -> None:
    shut = ReferenceInstrument(STOCK.reference.symbol, STOCK.token, False, False, 100, 5, None, None, None, None)
    feed = entries(*opening(STOCK), frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")))
    result = reference_candles(feed, [shut], MINUTE_AND_DAY)
    assert result.candles.empty
    assert list(result.candles.columns) == list(COLUMNS)


def test_two_dates_are_refused() -> None:
    ms = at("09:14:00", "2026-11-23")
    feed = [*entries(*opening(STOCK)), Entry(ms, 0, "f", b"\x00")]
    with pytest.raises(AssertionError, match="two dates"):
        reference_candles(feed, [STOCK.reference], MINUTE_AND_DAY)


def test_a_frame_splits_into_its_whole_packets() -> None:
    assert split_frame(b"\x00") == ([], True)
    assert split_frame(b"\x00\x00") == ([], True)
    assert split_frame(b"\x00\x01\x00\x02ab") == ([b"ab"], True)
    assert split_frame(b"\x00\x02\x00\x02ab") == ([b"ab"], False)
    assert split_frame(b"\x00\x02\x00\x02ab\x00\x02a") == ([b"ab"], False)
    assert split_frame(b"\x00\x01\x00\x02abc") == ([b"ab"], False)


@pytest.mark.parametrize("mode", ["full", "quote"])
def test_a_real_packet_decodes_to_the_values_beside_it(mode: str) -> None:
    if not REAL.exists():
        pytest.skip("the real packets are not here")
    raw = base64.b64decode((REAL / f"ticker_{mode}.packet").read_text())
    want = json.loads((REAL / f"ticker_{mode}.json").read_text())
    packet = decode(raw)
    assert packet is not None
    assert packet.price / 100 == want["last_price"]
    assert packet.volume == want.get("volume_traded", want.get("volume"))
    assert (packet.day_open / 100, packet.day_high / 100, packet.day_low / 100) == (
        want["ohlc"]["open"],
        want["ohlc"]["high"],
        want["ohlc"]["low"],
    )
    if mode == "full":
        assert packet.oi == want["oi"]
        assert packet.best_bid / 100 == want["depth"]["buy"][0]["price"]
        assert packet.best_ask / 100 == want["depth"]["sell"][0]["price"]


def test_a_recording_gives_the_candles_of_its_frames(tmp_path: Path) -> None:
    feed = entries(frame("09:14:01", cached(STOCK)), *_two_trades(STOCK), heartbeat("09:16:03"))
    records = [struct.pack("<qI", entry.ms, len(entry.payload)) + entry.payload for entry in feed]
    (tmp_path / "sent-2.frames").write_bytes(b"".join(records))
    write_facts(tmp_path, "quote", "full")
    recorded = entries_from_recording(tmp_path, 2)
    direct = [*entries(subscribed("09:14:00", STOCK)), *feed]
    assert [entry[:3] for entry in recorded] == [entry[:3] for entry in direct]
    assert [entry.payload for entry in recorded[1:]] == [entry.payload for entry in feed]
    want = reference_candles(direct, [STOCK.reference], MINUTE_AND_DAY).candles
    have = reference_candles(recorded, [STOCK.reference], MINUTE_AND_DAY).candles
    pd.testing.assert_frame_equal(have, want)
    assert len(want) == 2


def _two_trades(who: CaseInstrument) -> tuple[tuple[str, str, bytes], ...]:
    packet = frame("09:15:05.500", full(who, 100.0, 1000, "09:15:05"))
    other = frame("09:15:06.500", full(who, 101.0, 1100, "09:15:06"))
    return packet, other


def write_facts(directory: Path, *modes: str) -> None:
    asked = [{"market_ms": at("09:14:00"), "mode": mode, "tokens": [STOCK.token]} for mode in modes]
    (directory / "sent-2.json").write_text(json.dumps({"connection": 2, "opened_ms": 0, "subscribes": asked}))


def test_a_recording_begins_with_its_mark_after_early_heartbeats_and_leaves_a_torn_end_out(tmp_path: Path) -> None:
    whole = struct.pack("<qI", at("09:13:59"), 1) + b"\x00" + struct.pack("<qI", at("09:14:00"), 1) + b"\x00"
    (tmp_path / "sent-2.frames").write_bytes(whole + struct.pack("<qI", at("09:14:01"), 10) + b"short")
    write_facts(tmp_path, "quote", "full")
    kinds = [(entry.ms, entry.counter, entry.kind) for entry in entries_from_recording(tmp_path, 2)]
    assert kinds == [(at("09:13:59"), 0, "f"), (at("09:14:00"), 0, "m"), (at("09:14:00"), 1, "f")]


def test_a_recording_without_a_subscription_is_named(tmp_path: Path) -> None:
    write_facts(tmp_path, "unsubscribe")
    with pytest.raises(ValueError, match="nothing was subscribed on connection 2"):
        entries_from_recording(tmp_path, 2)


def test_the_clock_mark_is_no_sign_of_the_server() -> None:
    """The outage reaches back to the last thing the server sent, over marks of our own."""
    feed = entries(
        *opening(STOCK),
        *_two_trades(STOCK),
        heartbeat("09:15:59"),
        mark("09:16:03", "clock"),
        mark("09:16:04", "down"),
    )
    result = reference_candles(feed, [STOCK.reference], MINUTE_AND_DAY)
    assert result.candles.query("timeframe == '1m'")["complete"].tolist() == [False]
    assert [event[3] for event in result.events] == [0, 1]
