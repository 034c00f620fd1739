"""The doctor on both workers: how far behind they are, what was lost, and whether MongoDB gets their results."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import Finding, Limits, Moment, Report, duration, number_of
from utils.stores.shared_health import SHARDS_FREE

_LOSSES = (
    (
        "lost_entries",
        "{count:,} frames ({stretch}) were dropped before they were read: raise STREAM_MAX_MB or add a worker.",
    ),
    ("cut_off", "closed candles were dropped before they were read, {count:,} times: raise CLOSED_MAX_ENTRIES."),
    ("file_lost", "{count:,} signals are missing in LOG_DIR's file, which refused them: MongoDB has them."),
    ("history_rejected", "{count:,} rows of the broker's history were left out: history_rejected_* say why."),
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
