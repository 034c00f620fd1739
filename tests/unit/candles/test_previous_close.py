"""A closed candle carries the close of the day before as the exchange gave it, however its entries were read."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import orjson
import pytest

from tests.reference.case_building import (
    FUTURE,
    INDEX,
    STOCK,
    CaseInstrument,
    at,
    full,
    index_full,
    ltp,
    pack,
    subscribed,
)
from tests.shared.engine_candles import engine_candles
from tests.unit.candles.test_day_roll import EveryDay
from utils.candles.engine import CandleEngine
from utils.candles.kernels.layout import Rules
from utils.journal.entries import Entry, EntryId, Kind
from utils.market.candle import Candle
from utils.market.timeframes import Timeframe

AT = {184: 40, 44: 40, 32: 20, 28: 20}  # where a packet has it


def before(packet: bytes, who: CaseInstrument, price: float) -> bytes:
    """The packet with another previous close."""
    at_byte = AT[len(packet)]
    return packet[:at_byte] + struct.pack(">I", who.wire(price)) + packet[at_byte + 4 :]


def entry(clock: str, *packets: bytes) -> Entry:
    return Entry(EntryId(at(clock), 0), Kind.FRAME, pack(*packets) if packets else b"\x00")


def closed(entries: Sequence[Entry], at_once: int) -> tuple[list[Candle], list[bytes]]:
    rules = Rules(3_000, 60_000, 1_000, 2.5, 4.0, 10, 5.0, 3)
    engine = CandleEngine([Timeframe("1m", 60_000), Timeframe("1d", 0)], rules, 10, EveryDay())
    outputs = [engine.process(entries[first : first + at_once]) for first in range(0, len(entries), at_once)]
    jsons = [json for replica in outputs for records in replica.records for json in records.as_json()]
    return [engine_candle.candle for each in outputs for engine_candle in engine_candles(each)], jsons


@pytest.mark.parametrize("at_once", [1, 2, 3, 100])
def test_each_candle_has_what_was_known_when_it_closed(at_once: int) -> None:
    entries = [
        Entry(EntryId(at("09:14"), 0), Kind.MARK, subscribed("09:14", STOCK, FUTURE, INDEX)[2]),
        entry(
            "09:14:01",
            *(
                before(full(instrument, 99.0, 500_000, "yesterday"), instrument, 480.0)
                for instrument in (STOCK, FUTURE)
            ),
        ),
        entry("09:14:02", index_full(INDEX, 24_990.0, "yesterday")),
        entry("09:15:05", before(full(STOCK, 100.0, 10, "09:15:05"), STOCK, 99.5), full(FUTURE, 10.0, 1, "09:15:05")),
        entry("09:15:06", before(index_full(INDEX, 25_000.0, "09:15:06"), INDEX, 24_990.0)),
        entry("09:16:03"),
        entry("09:16:05", before(full(STOCK, 101.0, 20, "09:16:05"), STOCK, 99.6)),
        entry("09:17:03"),
        entry("09:17:05", ltp(STOCK, 102.0)),
        entry("09:19:00"),
    ]
    candles, jsons = closed(entries, at_once)
    found = {(candle.symbol, candle.start_ms): candle.previous_close for candle in candles}
    assert found == {
        (STOCK.reference.symbol, at("09:15")): 99.5,
        (STOCK.reference.symbol, at("09:16")): 99.6,
        (STOCK.reference.symbol, at("09:17")): None,
        (FUTURE.reference.symbol, at("09:15")): None,
        (INDEX.reference.symbol, at("09:15")): 24_990.0,
    }
    assert [orjson.loads(json)["previous_close"] for json in jsons] == [candle.previous_close for candle in candles]
    assert [Candle.from_document(orjson.loads(json)) for json in jsons] == candles


def test_a_candle_stored_before_there_was_the_field_has_none() -> None:
    (candle,), _ = closed(
        [
            Entry(EntryId(at("09:14"), 0), Kind.MARK, subscribed("09:14", STOCK)[2]),
            entry("09:14:01", full(STOCK, 99.0, 500_000, "yesterday")),
            entry("09:15:05", before(full(STOCK, 100.0, 10, "09:15:05"), STOCK, 99.5)),
            entry("09:19:00"),
        ],
        1,
    )
    document = candle.as_document()
    del document["previous_close"]
    assert Candle.from_document(document).previous_close is None
