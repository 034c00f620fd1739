"""The doctor on both workers: how far behind they are, what was lost, what MongoDB lacks, shards that are left."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from commands.doctor.findings import CANDLE_WORKER, Finding, Limits, Moment, Report, duration, number_of
from utils.keys import Keys
from utils.runtime.health import SHARDS_FREE

_LOSSES = (
    (
        "lost_entries",
        "{count:,} frames ({stretch}) were dropped before they were read: raise STREAM_MAX_MB or add a worker.",
    ),
    ("cut_off", "closed candles were dropped before they were read, {count:,} times: raise CLOSED_MAX_ENTRIES."),
    ("file_lost", "{count:,} signals are missing in LOG_DIR's file, which refused them: MongoDB has them."),
    ("history_rejected", "{count:,} rows of the broker's history were left out: see history_rejected_*."),
)


def worker_findings(
    process: str, report: Report, unread_since_ms: int | None, moment: Moment, limits: Limits
) -> Iterator[Finding]:
    lag = moment.real_seconds_since(unread_since_ms) if unread_since_ms is not None else 0.0
    if lag > limits.lag_seconds:
        yield Finding(process, f"is {duration(lag)} behind: so long an entry has waited for it.", moment.in_session)
    if report.get("state") == SHARDS_FREE:
        sentence = "some shards are held by no worker: start another one, or see the workers' logs."
        yield Finding(process, sentence, moment.in_session)
    yield from _losses(process, report)
    if number_of(report, "file_waiting"):
        sentence = (
            f"{number_of(report, 'file_waiting'):,} signals wait for LOG_DIR's file, which refuses them: see its log."
        )
        yield Finding(process, sentence)
    if report.get("archive_state") == "failing":
        fault = report.get("archive_fault") or "no reason given"
        yield Finding(process, f"does not get its results into MongoDB ({fault}); they wait in Redis.")
    elif number_of(report, "archive_backlog") > limits.archive_entries:
        yield Finding(process, f"{number_of(report, 'archive_backlog'):,} results wait to be stored in MongoDB.")
    for name, what in (("archive_rejected", "refused by MongoDB"), ("archive_lost", "dropped before being stored")):
        if number_of(report, name):
            yield Finding(process, f"{number_of(report, name):,} results were {what}: see its log.", is_problem=False)


def _losses(process: str, report: Report) -> Iterator[Finding]:
    """What is over since the worker started: worth knowing, and no reason to be unwell until the next start."""
    for name, sentence in _LOSSES:
        count = number_of(report, name)
        if count:
            stretch = duration(number_of(report, "lost_ms") / 1000)
            yield Finding(process, sentence.format(count=count, stretch=stretch), is_problem=False)


def left_shard_findings(report: Report, keys: Keys) -> Iterator[Finding]:
    """What waits in one is a problem; one where nothing does is worth a note, as it takes memory."""
    for left_shard in filter(None, report.get("left_shards", "").split(";")):
        shard, has_frames, unstored = (int(part) for part in left_shard.split(":"))
        waiting = " and ".join(_waiting(bool(has_frames), unstored))
        if waiting:
            sentence = (
                f"CONNECTIONS was lowered while connection {shard} had {waiting}: set CONNECTIONS={shard + 1} until "
                "doctor names them no more, and lower it after the market's close."
            )
        else:
            sentence = (
                f"connection {shard} is not used any more, and nothing of it waits: "
                f"free its memory with redis-cli DEL {shlex.join(_names(keys, shard))}."
            )
        yield Finding(CANDLE_WORKER, sentence, is_problem=bool(waiting))


def _names(keys: Keys, shard: int) -> list[str]:
    """All that outlives a shard's workers."""
    streams = (keys.ticks, keys.closed, keys.signals, keys.rejected, keys.archive_rejected)
    others = (keys.ticks_subscribed, keys.candle_state, keys.candle_state_counts, keys.signal_state, keys.published)
    return [name(shard) for name in (*streams, *others)]


def _waiting(has_frames: bool, unstored: int) -> Iterator[str]:
    if has_frames:
        yield "frames that no worker has read"
    if unstored:
        yield f"{unstored:,} candles or signals that MongoDB has not got"
