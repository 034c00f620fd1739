"""Candles and ticks written column by column are what the objects give, to the byte."""

from __future__ import annotations

import random

import numpy as np
import orjson
import pytest

from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.engine_candles import candles_of, engine_candles
from utils.candles.encoding import ClosedRecords, Rows
from utils.candles.kernels.layout import CANDLE, EVENT_HEAD
from utils.candles.texts import DUE, INT, ISO, REAL, write_texts
from utils.journal.entries import Entry, EntryId, Kind
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import iso_ist

MOST = 20_000
NAMES = ("1m", "75m", "1d")
TOKENS = (256_002, 256_003, 256_006, 256_001)  # by 100, 10 000 000 and 10 000, and by 100 again


def dice_of(request: pytest.FixtureRequest) -> random.Random:
    seed = random.randrange(1 << 32)
    print(f"seed {seed} of {request.node.name}")
    return random.Random(seed)


def some_rows() -> Rows:
    symbols = ("INFY", 'M&M "x" ☃', "A-B", "Z$Z")
    return Rows(
        [
            Instrument(token, "NSE", symbol, "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
            for token, symbol in zip(TOKENS, symbols, strict=True)
        ],
        NAMES,
    )


def any_candles(dice: random.Random, count: int) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """Anything a record can hold, sensible or not."""
    candles = np.zeros(count, CANDLE)
    for candle in candles:
        candle["start_ms"] = dice.choice([dice.randrange(1 << 41), 1_795_146_300_000, 1_795_146_300_500, 0])
        candle["end_ms"] = candle["start_ms"] + dice.choice([5_000, 60_000, 1])
        for name in ("open", "high", "low", "close"):
            candle[name] = dice.choice([dice.randrange(1 << 32), dice.randrange(2_000), 100, 1, 0])
        candle["base"] = dice.choice([0, dice.randrange(1 << 31), -5])
        candle["end_cum"] = candle["base"] + dice.choice([0, 1, 7, dice.randrange(1 << 31), -3])
        candle["turnover"] = dice.choice(
            [0, dice.randrange(1 << 62), dice.randrange(1 << 40), 3, -dice.randrange(1 << 60)]
        )
        candle["oi"], candle["ticks"], candle["rev"] = (
            dice.randrange(1 << 32),
            dice.randrange(1 << 31),
            dice.randrange(9),
        )
        for name in ("has_volume", "has_oi", "complete", "by_receive"):
            candle[name] = dice.randrange(2)
    return candles


def test_json_is_that_of_the_objects(request: pytest.FixtureRequest) -> None:
    dice, rows, count = dice_of(request), some_rows(), MOST // 4
    heads = np.zeros(count, EVENT_HEAD)
    heads["row"] = [dice.randrange(len(TOKENS)) for _ in range(count)]
    heads["column"] = [dice.randrange(len(NAMES)) for _ in range(count)]
    heads["previous_close"] = [dice.choice([0, 1, 100_005, dice.randrange(1 << 32)]) for _ in range(count)]
    records = ClosedRecords(rows, heads, any_candles(dice, count), np.zeros(count, np.int64))
    expected = [orjson.dumps(candle.as_document()) for candle in candles_of(records)]
    assert records.as_json() == expected


def texts_of(kind: int, values: list[int] | list[float], form: str) -> list[bytes]:
    column = np.array(values, np.float64 if kind == REAL else np.int64)[:, None].view(np.int64)
    lengths = np.full(column.shape, DUE, np.int8)
    texts = write_texts(np.array([kind]), column, lengths, form)  # type: ignore[arg-type]
    return [row[0, :length].tobytes() for row, length in zip(texts, lengths[:, 0].tolist(), strict=True)]


def test_whole_numbers(request: pytest.FixtureRequest) -> None:
    dice = dice_of(request)
    values = [sign * dice.randrange(1 << dice.randrange(1, 63)) for sign in (1, -1) for _ in range(MOST)] + [0, 9, 10]
    assert texts_of(INT, values, "repr") == [str(value).encode() for value in values]


def test_times(request: pytest.FixtureRequest) -> None:
    dice = dice_of(request)
    days = [day * 86_400_000 - 19_800_000 + shift for day in range(20_000, 60_000, 7) for shift in (0, -1, 1)]
    values = [dice.randrange(1 << 42) for _ in range(MOST)] + days + [0]
    assert texts_of(ISO, values, "repr") == [iso_ist(value).encode() for value in values]


def test_real_numbers(request: pytest.FixtureRequest) -> None:
    dice = dice_of(request)
    values = [dice.randrange(1 << 40) / dice.choice([100, 10_000, 10_000_000]) for _ in range(MOST)]
    values += [dice.random() * 10 ** dice.randrange(-9, 19) for _ in range(MOST)] + [0.0, -0.0, 1e16, 1e-5, 9999e12]
    assert texts_of(REAL, values, "repr") == [repr(value).encode() for value in values]
    assert texts_of(REAL, values, "json") == [orjson.dumps(value) for value in values]


@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_what_an_entry_caused(seed: int) -> None:
    """However the output is drained, each source counts from 0."""
    settings = ReferenceSettings(timeframes=(("5s", 5_000), ("1m", 60_000)))
    engine = new_engine([who.reference for who in WHO], settings)
    counted: dict[EntryId, int] = {}
    for entry in random_feed(seed, "09:13:00", 300):
        for event in engine_candles(
            engine.process([Entry(EntryId(entry.ms, entry.counter), Kind(entry.kind), entry.payload)])
        ):
            assert event.number == counted.get(event.source, 0)
            counted[event.source] = event.number + 1
    assert len(counted) > 50
