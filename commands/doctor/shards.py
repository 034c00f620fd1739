"""What the candle worker's report says of shards that CONNECTIONS does not ask for any more."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import CANDLE_WORKER, Finding, Report
from utils.keys import Keys


def left_shard_findings(report: Report, keys: Keys) -> Iterator[Finding]:
    """What waits in one is a problem; one where nothing does is worth a note, as it takes memory."""
    names = (keys.ticks, keys.ticks_subscribed, keys.closed, keys.candle_state, keys.signal_state)
    for one in filter(None, report.get("left_shards", "").split(";")):
        shard, has_frames, candles = (int(part) for part in one.split(":"))
        waiting = " and ".join(_waiting(bool(has_frames), candles))
        if waiting:
            sentence = (
                f"CONNECTIONS was lowered while connection {shard} had {waiting}: set CONNECTIONS={shard + 1} until "
                "doctor names them no more, and lower it after the market's close."
            )
        else:
            free = " ".join(name(shard) for name in names)
            sentence = (
                f"connection {shard} is not used any more, and nothing of it waits: "
                f"free its memory with redis-cli DEL {free}."
            )
        yield Finding(CANDLE_WORKER, sentence, is_problem=bool(waiting))


def _waiting(has_frames: bool, candles: int) -> Iterator[str]:
    if has_frames:
        yield "frames that no worker has read"
    if candles:
        yield f"{candles:,} candles that MongoDB has not got"
