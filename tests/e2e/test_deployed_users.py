"""The workers under the users of deploy/redis/start.sh, while packets are rejected and candles are revised.

A missing right is an error that no retry removes: the worker would stop for good.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.e2e.harness import WORKERS, Scripts, pipeline, stores
from tests.reference.candles import ReferenceCandles, reference_candles
from tests.reference.comparison import compare
from tests.reference.inputs import Entry, ReferenceSettings
from tests.reference.random_feed import WHO, random_feed

TIMEFRAMES = {"1s": 1, "5s": 5, "1m": 60}
SETTINGS = ReferenceSettings(tuple((name, seconds * 1_000) for name, seconds in TIMEFRAMES.items()), z_window=30)
SEED = int(os.environ.get("CANDLEWICK_SEED", "1"))
FED_BY = {
    "INSTRUMENTS": ",".join(who.reference.symbol for who in WHO),
    "TIMEFRAMES": ",".join(TIMEFRAMES),
    "WARMUP": "false",
    "ZSCORE_WINDOW": "30",
    "SNAPSHOT_SECONDS": "0.5",
}


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata"])
def test_candles_close_after_rejections_and_revisions(tmp_path: Path, zone: str) -> None:
    entries = random_feed(SEED, "09:13:00", 900)
    expected = reference_candles(entries, [who.reference for who in WHO], SETTINGS)
    print(f"\n  seed {SEED}: {dict(expected.rejected)}, {len(expected.events)} published")
    assert_faults_come_before_most_candles(expected)
    with stores(tmp_path) as where, pipeline(tmp_path, where, {**FED_BY, "TZ": zone}) as scripts:
        send(scripts, entries)
        for name in WORKERS:
            scripts.start(name)
        scripts.until_ready(*WORKERS)
        scripts.drain()
        candles = scripts.candles_published_once()
        rejected = Counter(str(entry["reason"]) for entry in scripts.stream("ticks.rejected:{a}"))
        for name in WORKERS:
            scripts.stop(name)
        refused = [(refusal["username"], refusal["object"]) for refusal in where.client.acl_log()]
    assert refused == []
    assert compare(expected.candles, candles) == []
    assert rejected == expected.rejected


def assert_faults_come_before_most_candles(expected: ReferenceCandles) -> None:
    assert expected.rejected["price"] and expected.rejected["zscore"], expected.rejected
    assert any(rev for *_, rev in expected.events)


def send(scripts: Scripts, entries: Sequence[Entry]) -> None:
    """Writes entries and instruments directly to Redis, in the connector's place."""
    named: dict[Any, Any] = {who.reference.symbol: orjson.dumps(dict(who.mark)) for who in WHO}
    scripts.stores.client.hset("instruments", mapping=named)
    pipe = scripts.stores.client.pipeline(transaction=False)
    for entry in entries:
        pipe.xadd("ticks:{a}", {entry.kind: entry.payload}, id=f"{entry.ms}-{entry.counter}")
    pipe.execute()
