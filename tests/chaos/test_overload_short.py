"""The short form of `make overload`: an hour away, with limits that are too small for it."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.overload_bounds import Scenario
from tests.chaos.overload_run import play

SEED = 20_261_121
AN_HOUR_AWAY = Scenario(
    "an hour away",
    instruments=60,
    shards=1,
    parts=((4_500.0, 1.0),),
    speed=900.0,
    timeframes="1m,5m",
    settings=(("STREAM_MAX_MB", "16"),),
    away_seconds=3_600.0,
    leave_after_seconds=60.0,
    loses=True,
)


def test_what_is_forced_out_is_counted_announced_and_seen_in_the_candles(tmp_path: Path) -> None:
    played = play(AN_HOUR_AWAY, SEED, tmp_path / "run", print)
    print(f"\n  seed {SEED}: {played.figures}")
    assert played.findings == [], f"seed {SEED}: {played.findings}"
    figures = played.figures
    assert figures["forced_out"] >= figures["lost_entries"] > 100
    assert 0 < figures["incomplete"] < figures["candles"]
