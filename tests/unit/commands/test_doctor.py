"""The doctor's findings, from reports written by hand."""

from __future__ import annotations

from datetime import datetime

import pytest

from commands.doctor.diagnosis import diagnose, moment_of
from commands.doctor.findings import PROCESSES, Limits, Moment
from utils.market.ist import IST
from utils.market.sessions import SessionCalendar
from utils.runtime.health import merged, with_free_shards

NOW_MS = 1_795_150_000_000
LIVE = Moment(NOW_MS, in_session=True, soon=True)
NIGHT = Moment(NOW_MS, in_session=False, soon=False)


def _reports() -> dict[str, dict[str, str]]:
    """Everything is well: the last frame came half a second ago, the workers are that far behind."""
    sent_to = f"{NOW_MS - 500}-3"
    return {
        "connector": {
            "shards": "1",
            "instruments": "50",
            "shard0_instruments": "50",
            "shard0_state": "up",
            "shard0_last_frame_ms": str(NOW_MS - 500),
            "shard0_sent_to": sent_to,
            "shard0_backlog_ms": "0",
            "shard0_lost": "0",
            "shard0_disk_fault": "",
        },
        "candle_worker": {
            "lag_ms": "700",
            "position_0": sent_to,
            "archive_state": "waiting",
            "archive_backlog": "0",
            "archive_lost": "0",
        },
        "signal_worker": {"lag_ms": "900", "position_0": "1-0", "archive_state": "waiting", "archive_backlog": "3"},
    }


def _findings(
    reports: dict[str, dict[str, str]], moment: Moment = LIVE, unread_since_ms: dict[str, int] | None = None
) -> list[tuple[str, bool]]:
    found = diagnose(reports, unread_since_ms or {}, PROCESSES, moment, Limits())
    return [(f"{finding.process} {finding.sentence}", finding.is_problem) for finding in found]


@pytest.mark.parametrize("moment", [LIVE, NIGHT])
def test_all_is_well(moment: Moment) -> None:
    assert _findings(_reports(), moment) == []


def test_a_process_that_does_not_report_is_a_problem_at_any_hour() -> None:
    for name in PROCESSES:
        reports = _reports()
        del reports[name]
        ((sentence, is_problem),) = _findings(reports, NIGHT)
        assert sentence.startswith(f"{name} does not report")
        assert is_problem


@pytest.mark.parametrize(
    ("process", "field", "value", "sentence"),
    [
        ("connector", "shard0_last_frame_ms", str(NOW_MS - 37_000), "connection 0: the last frame came 37 s ago."),
        ("connector", "shard0_last_frame_ms", "0", "no frame came yet"),
        ("connector", "shard0_state", "waiting to connect", "not up but 'waiting to connect'"),
        ("connector", "shard0_state", "waiting for a new access token", "'python manage.py login'"),
        ("connector", "instruments", "0", "has no instruments yet"),
        (
            "connector",
            "shard0_recent_breaks",
            "3",
            "0 broke 3 times in the last 10 min (no reason given):",
        ),
    ],
)
def test_stale_data_is_a_problem_in_session_and_a_note_at_night(
    process: str, field: str, value: str, sentence: str
) -> None:
    reports = _reports()
    reports[process][field] = value
    for moment, is_problem in ((LIVE, True), (NIGHT, False)):
        ((found_sentence, problem),) = _findings(reports, moment)
        assert found_sentence.startswith(process)
        assert sentence in found_sentence
        assert problem is is_problem


@pytest.mark.parametrize(
    ("process", "fields", "sentence"),
    [
        ("connector", {"shard0_disk_fault": "No space left"}, "(No space left): free the disk"),
        ("connector", {"shard0_lost": "1200"}, "1,200 entries of shard 0 are lost"),
        ("connector", {"shard0_backlog_ms": "180000"}, "3 min of frames wait in the journal"),
        ("candle_worker", {"archive_state": "failing", "archive_fault": "away"}, "into MongoDB (away)"),
        ("signal_worker", {"archive_backlog": "60000"}, "60,000 results wait"),
        ("signal_worker", {"file_waiting": "12"}, "12 signals wait for LOG_DIR's file"),
    ],
)
def test_what_loses_or_holds_up_data_is_a_problem_at_any_hour(
    process: str, fields: dict[str, str], sentence: str
) -> None:
    reports = _reports()
    reports[process] |= fields
    ((found_sentence, is_problem),) = _findings(reports, NIGHT)
    assert sentence in found_sentence
    assert is_problem


def test_signals_that_never_reached_the_file_are_noted() -> None:
    reports = _reports()
    reports["signal_worker"]["file_lost"] = "3"
    ((found_sentence, is_problem),) = _findings(reports)
    assert "3 signals are missing in LOG_DIR's file" in found_sentence
    assert not is_problem


@pytest.mark.parametrize("worker", ["candle_worker", "signal_worker"])
def test_a_worker_is_behind_when_an_entry_has_waited_long(worker: str) -> None:
    since = {worker: NOW_MS - 14_000}
    assert _findings(_reports(), LIVE, since) == []
    since[worker] -= 46_000
    for moment, is_problem in ((LIVE, True), (NIGHT, False)):
        assert _findings(_reports(), moment, since) == [
            (f"{worker} is 60 s behind: so long an entry has waited for it.", is_problem)
        ]


def test_a_connector_that_is_down_does_not_make_the_workers_look_ill() -> None:
    reports = _reports()
    reports["connector"]["shard0_state"] = "waiting to connect"
    for worker in ("candle_worker", "signal_worker"):
        reports[worker]["lag_ms"] = "900000"
    ((sentence, _),) = _findings(reports)
    assert sentence.startswith("connector")


def test_only_the_processes_asked_for_are_looked_at() -> None:
    assert diagnose({"connector": _reports()["connector"]}, {}, ["connector"], LIVE, Limits()) == []


def test_ages_are_real_seconds_whatever_the_speed_of_the_market_clock() -> None:
    reports = _reports()
    reports["connector"]["shard0_last_frame_ms"] = str(NOW_MS - 600_000)
    fast = Moment(NOW_MS, in_session=True, soon=True, speed=60.0)
    assert _findings(reports, fast) == []
    reports["connector"]["shard0_last_frame_ms"] = str(NOW_MS - 1_200_000)
    ((sentence, _),) = _findings(reports, fast)
    assert "the last frame came 20 s ago" in sentence


@pytest.mark.parametrize(
    ("symbols", "clock", "in_session", "soon"),
    [
        (["NSE:INFY"], "2026-11-20T08:44:59", False, False),
        (["NSE:INFY"], "2026-11-20T08:45:00", False, True),
        (["NSE:INFY"], "2026-11-20T09:15:00", True, True),
        (["NSE:INFY"], "2026-11-20T15:30:00", False, False),
        (["NSE:INFY", "NFO:NIFTY26NOVFUT"], "2026-11-20T15:35:00", True, True),
        (["NSE:INFY", "MCX:GOLD26DECFUT"], "2026-11-20T23:54:59", True, True),
        (["NSE:INFY"], "2026-11-21T11:00:00", False, False),
        (["NSE:INFY"], "2026-11-24T11:00:00", False, False),
        (["MCX:GOLD26DECFUT"], "2026-11-24T18:00:00", True, True),
        (["CDS:USDINR26NOVFUT"], "2026-11-20T16:59:59", True, True),
        (["MCX:MCXCRUDEX"], "2026-11-20T23:54:59", True, True),
        (["MCX:MENTHAOIL26DECFUT"], "2026-11-20T16:59:59", True, True),
        (["MCX:MENTHAOIL26DECFUT"], "2026-11-20T17:00:00", False, False),
        (["MCX:MENTHAOIL26DECFUT"], "2026-11-24T18:00:00", False, False),
        (["MCX:COTTONCNDY26DECFUT"], "2026-11-20T20:59:59", True, True),
        (["NSEIX:GIFT NIFTY"], "2026-11-20T11:00:00", False, False),
    ],
)
def test_session_hours_follow_the_exchanges_asked_for(
    symbols: list[str], clock: str, in_session: bool, soon: bool
) -> None:
    now_ms = round(datetime.fromisoformat(clock).replace(tzinfo=IST).timestamp() * 1000)
    moment = moment_of(symbols, now_ms, 1.0, SessionCalendar.load())
    assert (moment.in_session, moment.soon) == (in_session, soon)


def test_a_backlog_that_waits_for_the_candle_worker_is_a_problem() -> None:
    reports = _reports()
    for seconds, expected in (("14.9", []), ("16.2", [True]), ("7200.0", [True])):
        reports["connector"]["sending_waits_seconds"] = seconds
        found = _findings(reports)
        assert [is_problem for _, is_problem in found] == expected
    assert found[0][0].startswith("connector sending has waited for 2.0 h for the candle worker")


@pytest.mark.parametrize(
    ("process", "fields", "sentence"),
    [
        (
            "connector",
            {"forced_out": "1200"},
            "1,200 entries left their stream before its time was over: raise STREAM",
        ),
        ("candle_worker", {"lost_entries": "30", "lost_ms": "42000"}, "30 frames (42 s) were dropped"),
        ("signal_worker", {"cut_off": "2"}, "dropped before they were read, 2 times: raise CLOSED_MAX_ENTRIES."),
        ("signal_worker", {"history_rejected": "7"}, "7 rows of the broker's history were left out"),
    ],
)
def test_what_is_lost_for_good_is_a_note(process: str, fields: dict[str, str], sentence: str) -> None:
    reports = _reports()
    reports[process].update(fields)
    ((found, is_problem),) = _findings(reports)
    assert sentence in found
    assert not is_problem
    reports[process].update(dict.fromkeys(fields, "0"))
    assert _findings(reports) == []


@pytest.mark.parametrize("process", ["candle_worker", "signal_worker"])
def test_the_health_of_several_workers_shows_when_one_is_missing(process: str) -> None:
    reports = _reports()
    part = {**reports[process], "shards": "0", "all_shards": "3", "state": "running", "cut_off": "1"}
    for shards, is_problem in (("1", True), ("1,2", False)):
        whole = with_free_shards(merged([part, {**part, "shards": shards}]))
        reports[process] = {name: str(value) for name, value in whole.items()}
        found = _findings(reports)
        assert any("held by no worker" in sentence and bad for sentence, bad in found) is is_problem
        assert any("2 times" in sentence for sentence, _ in found)
