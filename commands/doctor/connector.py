"""The doctor on the connector: its connections, its journal, its instruments."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import CONNECTOR, Finding, Limits, Moment, Report, duration, number_of

FEWEST_BREAKS = 3  # of a connection, in the minutes that utils/connector/connection.py counts


def connector_findings(report: Report, moment: Moment, limits: Limits) -> Iterator[Finding]:
    for shard in range(number_of(report, "shards")):
        yield from _connection(report, shard, moment, limits)
        yield from _breaks(report, shard, moment)
        yield from _notices(report, shard, moment)
        yield from _recording(report, shard, moment, limits)
    forced_out = number_of(report, "forced_out")
    if forced_out:
        sentence = f"{forced_out:,} entries left their stream before its time was over: raise STREAM_MAX_MB."
        yield Finding(CONNECTOR, sentence, is_problem=False)
    yield from _waiting(report, limits)
    yield from _syncs(report)
    yield from _instruments(report, moment)


def _waiting(report: Report, limits: Limits) -> Iterator[Finding]:
    """A backlog that waits for the candle worker's snapshot, for longer than a worker at work lets it wait."""
    seconds = number_of(report, "sending_waits_seconds")
    if seconds > limits.lag_seconds:
        sentence = (
            f"sending has waited for {duration(seconds)} for the candle worker, which does not read on: see that it "
            "runs. Until then frames stay in the journal, and readers of ticks:* get none."
        )
        yield Finding(CONNECTOR, sentence)


def _syncs(report: Report) -> Iterator[Finding]:
    """While something is not on disk for it, `diagnosis_journal` reports it."""
    syncs = number_of(report, "sync_faults")
    if syncs and not any(number_of(report, name) for name in report if name.endswith("_unsynced_since_ms")):
        sentence = f"the journal could not be forced to disk {syncs:,} times: see the disk of JOURNAL_DIR."
        yield Finding(CONNECTOR, sentence, is_problem=False)


def _instruments(report: Report, moment: Moment) -> Iterator[Finding]:
    fault = report.get("instruments_fault", "")
    if not number_of(report, "instruments"):
        sentence = f"has no instruments: {fault}." if fault else "has no instruments yet: it waits for /instruments."
        yield Finding(CONNECTOR, sentence, moment.soon or fault.startswith("INSTRUMENTS"))
    elif fault:
        yield Finding(CONNECTOR, f"{fault}.", is_problem=False)
    if number_of(report, "instruments") and report.get("instruments_missing"):
        yield Finding(CONNECTOR, f"{report['instruments_missing']}: correct INSTRUMENTS.")
    if report.get("instruments_note"):
        yield Finding(CONNECTOR, f"{report['instruments_note']}.", is_problem=False)


def _connection(report: Report, shard: int, moment: Moment, limits: Limits) -> Iterator[Finding]:
    """Out of hours a connection that is down is worth a note, no more: nothing is lost."""
    if not number_of(report, f"shard{shard}_instruments"):
        return
    state, last_frame_ms = report.get(f"shard{shard}_state", ""), number_of(report, f"shard{shard}_last_frame_ms")
    refusal = report.get(f"shard{shard}_refusal", "")
    if refusal:
        yield Finding(CONNECTOR, f"connection {shard}: {refusal}.", moment.soon)
    elif "token" in state:
        sentence = "waits for a new access token: log in with 'python manage.py login'."
        yield Finding(CONNECTOR, sentence, moment.soon)
    elif state != "up":
        reason = report.get(f"shard{shard}_down_reason") or "no reason given"
        sentence = f"connection {shard} is not up but '{state}' ({reason}): see its log."
        yield Finding(CONNECTOR, sentence, moment.in_session)
    elif not last_frame_ms:
        yield Finding(CONNECTOR, f"connection {shard} is up, but no frame came yet.", moment.in_session)
    elif moment.real_seconds_since(last_frame_ms) > limits.frame_seconds:
        age = duration(moment.real_seconds_since(last_frame_ms))
        yield Finding(CONNECTOR, f"connection {shard}: the last frame came {age} ago.", moment.in_session)


def _breaks(report: Report, shard: int, moment: Moment) -> Iterator[Finding]:
    """A connection that is not up is reported as that."""
    count = number_of(report, f"shard{shard}_recent_breaks")
    if count < FEWEST_BREAKS or report.get(f"shard{shard}_state") != "up":
        return
    reason = report.get(f"shard{shard}_break_reason") or "no reason given"
    sentence = (
        f"connection {shard} broke {count:,} times in the last 10 min ({reason}): the candles of that time are "
        "incomplete; see the network, and whether another program uses this API_KEY."
    )
    yield Finding(CONNECTOR, sentence, moment.in_session)


def _notices(report: Report, shard: int, moment: Moment) -> Iterator[Finding]:
    """What the broker wrote in text frames, as it wrote it."""
    error, message = (report.get(f"shard{shard}_{name}", "") for name in ("broker_error", "broker_message"))
    if error:
        sentence = f"connection {shard}: the broker reports an error: '{error}'; what it names gets no data."
        yield Finding(CONNECTOR, sentence, moment.soon)
    if message:
        yield Finding(CONNECTOR, f"connection {shard}: the broker writes: '{message}'.", is_problem=False)


def _recording(report: Report, shard: int, moment: Moment, limits: Limits) -> Iterator[Finding]:
    fault = report.get(f"shard{shard}_disk_fault", "")
    if fault:
        yield Finding(CONNECTOR, f"the journal of shard {shard} cannot be written ({fault}): free the disk.")
    lost = number_of(report, f"shard{shard}_lost")
    if lost:
        yield Finding(CONNECTOR, f"{lost:,} entries of shard {shard} are lost: the disk failed for too long.")
    behind = number_of(report, f"shard{shard}_backlog_ms") / 1000 / moment.speed
    if behind > limits.lag_seconds:
        yield Finding(
            CONNECTOR, f"shard {shard}: {duration(behind)} of frames wait in the journal for Redis to take them."
        )
