"""What the candle worker's report says of shards that CONNECTIONS does not ask for any more."""

from __future__ import annotations

from collections.abc import Iterator

from commands.findings import CANDLE_WORKER, Finding, Moment, Report

KEYS = ("ticks", "ticks-subscribed", "closed", "state", "signal-state")


def left_shard_findings(report: Report, _moment: Moment) -> Iterator[Finding]:
    """What waits in one is a problem; one where nothing does is worth a note, as it takes memory."""
    for one in filter(None, report.get("left_shards", "").split(";")):
        shard, has_frames, candles = (int(part) for part in one.split(":"))
        waiting = " and ".join(_waiting(bool(has_frames), candles))
        if waiting:
            sentence = (
                f"CONNECTIONS was lowered while connection {shard} had {waiting}: set CONNECTIONS={shard + 1} until "
                "doctor names them no more, and lower it after the market's close."
            )
        else:
            names = " ".join(f"{name}:{shard}" for name in KEYS)
            sentence = (
                f"connection {shard} is not used any more, and nothing of it waits: "
                f"free its memory with redis-cli DEL {names}."
            )
        yield Finding(CANDLE_WORKER, sentence, is_problem=bool(waiting))


def _waiting(has_frames: bool, candles: int) -> Iterator[str]:
    if has_frames:
        yield "frames that no worker has read"
    if candles:
        yield f"{candles:,} candles that MongoDB has not got"
