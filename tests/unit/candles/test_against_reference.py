"""The fast engine against the slow reference, over feeds with everything wrong in them: equal to the last digit."""

from __future__ import annotations

import os

import pandas as pd
import pytest

from tests.reference.candles import ReferenceCandles, reference_candles
from tests.reference.engine_runs import EngineRun, run_engine
from tests.reference.inputs import ReferenceSettings
from tests.reference.random_feed import WHO, random_feed
from tests.shared.length import length

INSTRUMENTS = [who.reference for who in WHO]
SETTINGS = ReferenceSettings(
    timeframes=(("5s", 5_000), ("1m", 60_000), ("2m", 120_000), ("75m", 4_500_000), ("1d", 0)), z_window=30
)
SEEDS = range(int(os.environ.get("CANDLEWICK_SEEDS", length(short="8", long="60"))))
# What the engine counts, and what the reference calls it.
SAME = ("packets", "trades", "baselines", "amended", "rebased", "warned", "undated", "outside", "held_now")
COUNTED = {**dict(zip(SAME, SAME, strict=True)), "late_dropped": "late"}
SPANS = [("09:13:00", 900), ("15:12:30", 600), ("15:28:30", 900), ("11:00:00", 1_200)]


def differences(ours: EngineRun, reference: ReferenceCandles) -> list[str]:
    expected = {
        f"{row.symbol}|{row.timeframe}|{row.start_ms:015d}": row
        for row in reference.candles.itertuples()
        if row.closed
    }
    found = [f"missing {key}" for key in expected.keys() - ours.final.keys()]
    found += [f"extra {key}" for key in ours.final.keys() - expected.keys()]
    for key in sorted(expected.keys() & ours.final.keys()):
        candle, row = ours.final[key], expected[key]
        for field in ("open", "high", "low", "close", "ticks", "complete", "rev", "timed_by", "end_ms"):
            if getattr(candle, field) != getattr(row, field):
                found.append(f"{key} {field}: engine {getattr(candle, field)}, reference {getattr(row, field)}")
        for field in ("volume", "oi", "vwap"):
            candle_value, other = getattr(candle, field), getattr(row, field)
            absent = bool(pd.isna(other))
            if (candle_value is None) != absent or (
                candle_value is not None and candle_value != pytest.approx(other, rel=1e-12)
            ):
                found.append(f"{key} {field}: engine {candle_value}, reference {other}")
    return found


def check_counts(ours: EngineRun, reference: ReferenceCandles) -> None:
    """What both count is equal, and each packet was accepted, rejected or is held."""
    counted = {name: ours.counts[name] for name in COUNTED}
    assert counted == {name: reference.counts[other] for name, other in COUNTED.items()}
    accepted = ours.counts["trades"] + ours.counts["baselines"] + ours.counts["unchanged"]
    rejected = sum(count for reason, count in ours.rejected.items() if reason not in ("frame", "mark"))
    assert ours.counts["packets"] == accepted + ours.counts["held_now"] + rejected


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("start", "seconds"), SPANS)
def test_engine_equals_reference(seed: int, start: str, seconds: int) -> None:
    entries = random_feed(seed, start, seconds)
    reference = reference_candles(entries, INSTRUMENTS, SETTINGS)
    ours = run_engine(entries, INSTRUMENTS, SETTINGS)
    assert differences(ours, reference) == []
    assert [
        (message.candle.symbol, message.candle.timeframe, message.candle.start_ms, message.candle.rev)
        for message in ours.published
    ] == [tuple(event) for event in reference.events]
    assert ours.rejected == reference.rejected
    check_counts(ours, reference)
    assert len(ours.final) > 100, "the feed made too few candles to mean anything"


@pytest.mark.parametrize("seed", SEEDS)
def test_batches_and_restarts_change_nothing(seed: int) -> None:
    entries = random_feed(seed, "09:13:00", 600)
    whole = run_engine(entries, INSTRUMENTS, SETTINGS, batch=10_000)
    for batch in (1, 7, 100):
        assert run_engine(entries, INSTRUMENTS, SETTINGS, batch=batch, restart_every=3).published == whole.published
