"""The journal's part of the connector's report, in plain words. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from commands.doctor.findings import CONNECTOR, Finding, Moment, Report, number_of
from utils.market.ist import iso_ist, ist_date

CHECK_DISK = "check the disk of JOURNAL_DIR"
FRESH_SECONDS = 600.0  # a disk that damages the journal again and again stays a problem


def journal_findings(report: Report, moment: Moment) -> Iterator[Finding]:
    """Damage, what the disk refused, and what cannot be read. `report` is the connector's."""
    fault = report.get("journal_fault", "")
    if fault:
        sentence = (
            f"the journal cannot be read ({fault}): nothing is sent to Redis; move the file that it names away."
        )
        yield Finding(CONNECTOR, sentence)
    shards = range(number_of(report, "shards"))
    journals = {f"shard{shard}_": f"the journal of shard {shard}" for shard in shards}
    for prefix, journal in (journals | {"account_": "the account's journal"}).items():
        yield from _damage(report, prefix, journal, moment)
        yield from _unsynced(report, prefix, journal)
    yield from _account(report)


def _damage(report: Report, prefix: str, journal: str, moment: Moment) -> Iterator[Finding]:
    """It was passed and marked when it was met: a problem while that is fresh, a note for the rest of that day."""
    gaps, met_ms = (number_of(report, f"{prefix}{name}") for name in ("gaps", "gap_met_ms"))
    if not gaps or ist_date(met_ms) != ist_date(moment.now_ms):
        return
    last = _clock(number_of(report, f"{prefix}last_gap_ms"))
    result = "" if prefix == "account_" else "; the candles that it touches have complete=false"
    stretches = "1 damaged stretch" if gaps == 1 else f"{gaps:,} damaged stretches"
    sentence = f"{journal} has {stretches}, the last before {last}{result}: {CHECK_DISK}."
    yield Finding(CONNECTOR, sentence, moment.real_seconds_since(met_ms) < FRESH_SECONDS)


def _unsynced(report: Report, prefix: str, journal: str) -> Iterator[Finding]:
    since_ms = number_of(report, f"{prefix}unsynced_since_ms")
    if since_ms:
        sentence = (
            f"the disk refused to keep {journal} (fsync): a power cut may lose what came after {_clock(since_ms)}; "
            f"{CHECK_DISK}."
        )
        yield Finding(CONNECTOR, sentence)


def _account(report: Report) -> Iterator[Finding]:
    """As for the journals of the shards, whose sentences are in `diagnosis_connector`."""
    fault = report.get("account_disk_fault", "")
    if fault:
        yield Finding(CONNECTOR, f"the account's journal cannot be written ({fault}): free the disk.")
    lost = number_of(report, "account_lost")
    if lost:
        yield Finding(CONNECTOR, f"{lost:,} updates of the account are lost: the disk failed for too long.")


def _clock(at_ms: int) -> str:
    """`2026-11-20 10:31:05`, IST."""
    return iso_ist(at_ms)[:19].replace("T", " ")
