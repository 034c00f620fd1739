"""The doctor's sentences about the journal: what is wrong, and what to do."""

from __future__ import annotations

import pytest

from commands.doctor.connector import connector_findings
from commands.doctor.findings import Limits, Moment
from commands.doctor.journal import journal_findings

AT_MS = "1795150865000"  # 2026-11-20 10:31:05 IST
DAY_MS = 86_400_000
NOW = Moment(int(AT_MS) + 5_000, in_session=True, soon=True)
WELL = {"shards": "2", "shard0_gaps": "0", "shard1_unsynced_since_ms": "0", "account_lost": "0", "journal_fault": ""}


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"journal_fault": "ticks-0.journal is no journal"},
            "the journal cannot be read (ticks-0.journal is no journal): nothing is sent to Redis; "
            "move the file that it names away.",
        ),
        (
            {"shard1_gaps": "2", "shard1_last_gap_ms": AT_MS, "shard1_gap_met_ms": AT_MS},
            "the journal of shard 1 has 2 damaged stretches, the last before 2026-11-20 10:31:05; the candles "
            "that it touches have complete=false: check the disk of JOURNAL_DIR.",
        ),
        (
            {"account_gaps": "1", "account_last_gap_ms": AT_MS, "account_gap_met_ms": AT_MS},
            "the account's journal has 1 damaged stretch, the last before 2026-11-20 10:31:05: "
            "check the disk of JOURNAL_DIR.",
        ),
        (
            {"shard0_unsynced_since_ms": AT_MS},
            "the disk refused to keep the journal of shard 0 (fsync): a power cut may lose what came after "
            "2026-11-20 10:31:05; check the disk of JOURNAL_DIR.",
        ),
        (
            {"account_disk_fault": "No space left on device"},
            "the account's journal cannot be written (No space left on device): free the disk.",
        ),
        ({"account_lost": "1200"}, "1,200 updates of the account are lost: the disk failed for too long."),
    ],
)
def test_one_sentence_each(fields: dict[str, str], sentence: str) -> None:
    (finding,) = journal_findings({**WELL, **fields}, NOW)
    assert (finding.process, finding.sentence, finding.is_problem) == ("connector", sentence, True)


@pytest.mark.parametrize("journal", ["shard1", "account"])
def test_damage_that_was_passed_is_a_note_and_goes_with_the_day(journal: str) -> None:
    """Met at 10:31 in what was written a day before: Redis was away over night."""
    met_ms = int(AT_MS)
    report = {**WELL, f"{journal}_gaps": "1", f"{journal}_last_gap_ms": str(met_ms - DAY_MS)}
    report[f"{journal}_gap_met_ms"] = AT_MS
    expected = {1: [True], 9 * 60: [True], 11 * 60: [False], 13 * 3600: [False], 14 * 3600: [], 26 * 3600: []}
    for seconds, problems in expected.items():
        moment = Moment(met_ms + 1000 * seconds, in_session=False, soon=False)
        assert [finding.is_problem for finding in journal_findings(report, moment)] == problems, f"{seconds} s later"


@pytest.mark.parametrize("report", [{}, WELL, {"shards": "nonsense"}])
def test_nothing_is_reported_of_a_journal_that_is_well(report: dict[str, str]) -> None:
    assert list(journal_findings(report, NOW)) == []


def test_a_refused_sync_is_reported_once() -> None:
    """While something may be lost for it that is reported; once it is on disk, how often it happened."""
    moment = Moment(int(AT_MS), in_session=True, soon=True)
    report = {**WELL, "instruments": "1", "sync_faults": "3"}
    (note,) = connector_findings(report, moment, Limits())
    assert (note.sentence, note.is_problem) == (
        "the journal could not be forced to disk 3 times: see the disk of JOURNAL_DIR.",
        False,
    )
    for name in ("shard1_unsynced_since_ms", "account_unsynced_since_ms"):
        report[name] = AT_MS
        assert list(connector_findings(report, moment, Limits())) == []
        assert len(list(journal_findings(report, NOW))) == 1
        report[name] = "0"
