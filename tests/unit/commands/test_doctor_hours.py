"""The findings of the doctor on trading hours, sentence by sentence."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from commands.doctor.hours import hours_findings
from utils.market.class_facts import ClassFacts, Outside, Quiet, Quiets, as_text
from utils.market.sessions import SessionCalendar

AT_MS = 1_795_146_300_000  # 09:15 IST
MUTE = ClassFacts("MCX commodity", 1, since_ms=AT_MS, quiet_ms=45_000, limit_ms=45_000)
CALENDAR = SessionCalendar.load()
FILE = Path("local/sessions.local.toml")


def sentences_of(today: str, *symbols: str, **report: str) -> list[tuple[str, bool]]:
    found = hours_findings(report, symbols or ("MCX:GOLD26DECFUT",), CALENDAR, date.fromisoformat(today), FILE)
    return [(f"{finding.process}: {finding.sentence}", finding.is_problem) for finding in found]


def test_an_ordinary_day_has_no_finding() -> None:
    assert sentences_of("2026-11-20", "NSE:INFY", "NFO:NIFTY26DECFUT", "MCX:GOLD26DECFUT", "MCX:MCXCRUDEX") == []
    assert sentences_of("2026-11-20", classes="") == []
    assert (
        sentences_of("2026-11-20", classes=as_text([ClassFacts("MCX commodity", 1, outside=Outside(2, AT_MS))])) == []
    )


def test_an_exchange_that_nobody_knows_is_named() -> None:
    assert sentences_of("2026-11-20", "NSE:INFY", "NSEIX:GIFT NIFTY", "GLOBAL:US500") == [
        (
            "connector: no trading hours are known for NSEIX:GIFT NIFTY, GLOBAL:US500, so they are not watched: "
            "take them out of INSTRUMENTS.",
            True,
        )
    ]


@pytest.mark.parametrize(
    ("today", "verb", "is_problem"),
    [
        ("2026-12-09", "", False),
        ("2026-12-10", "ends", False),
        ("2026-12-31", "ends", False),
        ("2027-01-01", "ended", True),
    ],
)
def test_the_end_of_the_calendar_is_reported_three_weeks_before(today: str, verb: str, is_problem: bool) -> None:
    found = sentences_of(today)
    if not verb:
        assert found == []
        return
    ((sentence, problem),) = found
    assert f"the calendar of trading days {verb} on 2026-12-31" in sentence
    assert "write the holidays after it into local/sessions.local.toml" in sentence
    assert problem is is_problem


@pytest.mark.parametrize(
    ("today", "day"),
    [("2026-12-03", ""), ("2026-12-04", "2026-12-07"), ("2026-12-07", "2026-12-07"), ("2026-12-08", "2026-12-08")],
)
def test_hours_that_are_not_certain_are_named_three_days_before(today: str, day: str) -> None:
    found = sentences_of(today, "NSE:INFY", "NFO:NIFTY26DECFUT", "MCX:GOLD26DECFUT")
    if not day:
        assert found == []
        return
    ((sentence, is_problem),) = found
    assert f"the hours of {day} are not certain for NSE equity_fno, NFO equity_derivative, NFO index_deri" in sentence
    assert f"'manage.py sessions {day}' shows them" in sentence
    assert "MCX" not in sentence
    assert not is_problem


def test_a_guessed_muhurat_is_named_before_it() -> None:
    ((sentence, _),) = sentences_of("2026-11-05", "MCX:GOLD26DECFUT")
    assert "the hours of 2026-11-08 are not certain for MCX commodity" in sentence
    assert sentences_of("2026-11-04", "MCX:GOLD26DECFUT") == []


@pytest.mark.parametrize(
    ("facts", "beginning", "is_problem"),
    [
        (
            ClassFacts("MCX commodity", 1, outside=Outside(3, AT_MS)),
            "trades come outside the hours that we believe in: MCX commodity (3 trades, the last of 09:15:00); ",
            True,
        ),
        (MUTE, "halted or mute: MCX commodity (since 09:15:00): heartbeats come, and no quote; ", True),
        (
            MUTE._replace(limit_ms=600_000, unseen_ms=45_000),
            "no quote came yet in a session that should be under way: MCX commodity (since 09:15:00); ",
            False,
        ),
        (
            ClassFacts("NSEIX", 2, is_known=False),
            "no trading hours are known, so there are no candles: NSEIX (2 instruments); ",
            True,
        ),
    ],
)
def test_what_the_worker_doubts_is_reported_with_the_remedy(
    facts: ClassFacts, beginning: str, is_problem: bool
) -> None:
    ((sentence, problem),) = sentences_of("2026-11-20", classes=as_text([facts]))
    assert sentence.startswith(f"candle_worker: {beginning}")
    assert ("local/sessions.local.toml" in sentence) is facts.is_known
    assert problem is is_problem


def test_a_class_that_is_mute_is_reported_once_with_both_remedies() -> None:
    unseen = MUTE._replace(unseen_ms=45_000, silent=Quiets(1, (Quiet("MCX:GOLD26DECFUT", 60_000),)))
    ((sentence, _),) = sentences_of("2026-11-20", classes=as_text([unseen, unseen._replace(name="NSE equity")]))
    assert "MCX commodity (since 09:15:00), NSE equity (since 09:15:00): heartbeats" in sentence
    assert "log in anew ('python manage.py login')" in sentence
    assert "if it is closed, write that into local/sessions.local.toml and restart the workers." in sentence
