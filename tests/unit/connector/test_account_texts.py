"""A text about the account and the heartbeat in its place are the same to candles, so old journals replay."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from tests.reference.engine_runs import new_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.engine_candles import engine_candles
from utils.journal.entries import HEARTBEAT, Entry, EntryId, Kind, down_mark

SETTINGS = ReferenceSettings(timeframes=(("5s", 5_000), ("1m", 60_000), ("1d", 0)))
ORDER = b'{"type":"order","data":{"order_id":"1"}}'


@pytest.mark.parametrize("seed", range(3))
def test_a_heartbeat_in_the_place_of_an_order_update_changes_no_candle(seed: int) -> None:
    chance = random.Random(seed)
    entries = [
        Entry(EntryId(*entry[:2]), Kind(entry.kind), entry.payload) for entry in random_feed(seed, "09:13:00", 300)
    ]
    with_texts = [
        replace(entry, kind=Kind.TEXT, payload=ORDER) if entry.kind is Kind.FRAME and chance.random() < 0.2 else entry
        for entry in entries
    ]
    lost_at = with_texts[-1].id
    with_texts += [
        Entry(EntryId(lost_at.ms + 2_000, 0), Kind.TEXT, ORDER),
        Entry(EntryId(lost_at.ms + 9_000, 0), Kind.MARK, down_mark("gone")),
    ]
    with_heartbeats = [
        replace(entry, kind=Kind.FRAME, payload=HEARTBEAT) if entry.payload == ORDER else entry
        for entry in with_texts
    ]
    engines = [new_engine([who.reference for who in WHO], SETTINGS) for _ in range(2)]
    texts, heartbeats = (
        engine.process(run) for engine, run in zip(engines, (with_texts, with_heartbeats), strict=True)
    )
    assert len(engine_candles(texts)) > 20
    assert engine_candles(texts) == engine_candles(heartbeats)
    assert engines[0].snapshot() == engines[1].snapshot()
