"""What the doctor says of trading hours, sentence by sentence."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from commands.diagnosis_hours import hours_findings
from utils.sessions import SessionCalendar

CALENDAR = SessionCalendar.load()
FILE = Path("local/sessions.local.toml")


def said(today: str, *symbols: str, **report: str) -> list[tuple[str, bool]]:
    found = hours_findings(report, symbols or ("MCX:GOLD26DECFUT",), CALENDAR, date.fromisoformat(today), FILE)
    return [(f"{one.process}: {one.sentence}", one.is_problem) for one in found]


def test_an_ordinary_day_has_nothing_to_say() -> None:
    assert said("2026-11-20", "NSE:INFY", "NFO:NIFTY26DECFUT", "MCX:GOLD26DECFUT", "MCX:MCXCRUDEX") == []
    assert said("2026-11-20", hours_outside="", hours_silent="", hours_quiet="", hours_unknown="") == []


def test_an_exchange_that_nobody_knows_is_named() -> None:
    assert said("2026-11-20", "NSE:INFY", "NSEIX:GIFT NIFTY", "GLOBAL:US500") == [
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
def test_the_end_of_the_calendar_is_said_three_weeks_before(today: str, verb: str, is_problem: bool) -> None:
    found = said(today)
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
    found = said(today, "NSE:INFY", "NFO:NIFTY26DECFUT", "MCX:GOLD26DECFUT")
    if not day:
        assert found == []
        return
    ((sentence, is_problem),) = found
    assert f"the hours of {day} are not certain for NSE equity_fno, NFO equity_derivative, NFO index_deri" in sentence
    assert f"'manage.py sessions {day}' shows them" in sentence
    assert "MCX" not in sentence
    assert not is_problem


def test_a_guessed_muhurat_is_named_before_it() -> None:
    ((sentence, _),) = said("2026-11-05", "MCX:GOLD26DECFUT")
    assert "the hours of 2026-11-08 are not certain for MCX commodity" in sentence
    assert said("2026-11-04", "MCX:GOLD26DECFUT") == []


@pytest.mark.parametrize(
    ("field", "beginning", "is_problem"),
    [
        ("hours_outside", "trades come outside the hours that we believe in: MCX commodity (3 trades)", True),
        ("hours_silent", "no trade came yet in a session that should be under way: MCX commodity (3 trades)", True),
        ("hours_quiet", "no trade comes any more in a session that should go on: MCX commodity (3 trades)", False),
        ("hours_unknown", "no trading hours are known, so there are no candles: MCX commodity (3 trades)", True),
    ],
)
def test_what_the_worker_doubts_is_said_with_the_remedy(field: str, beginning: str, is_problem: bool) -> None:
    ((sentence, problem),) = said("2026-11-20", **{field: "MCX commodity (3 trades)"})
    assert sentence.startswith(f"candle_worker: {beginning}; ")
    assert ("local/sessions.local.toml" in sentence) is (field != "hours_unknown")
    assert problem is is_problem


def test_a_class_that_is_mute_is_not_told_of_twice() -> None:
    """`halted or mute` names it already, with both remedies; who is silent for the hours alone is still named."""
    silent = "NSE equity (since 09:15:00), NFO-FUT index_derivative (since 09:15:00)"
    for field in ("hours_silent", "hours_quiet"):
        ((sentence, _),) = said("2026-11-20", feed_equity="halted or mute", **{field: silent})
        assert "NFO-FUT index_derivative (since 09:15:00)" in sentence
        assert "NSE equity" not in sentence
        mute = {"feed_equity": "halted or mute", "feed_index_derivative": "halted or mute"}
        assert said("2026-11-20", **mute, **{field: silent}) == []
    ((sentence, _),) = said("2026-11-20", feed_equity="halted or mute", hours_outside="NSE equity (3 trades)")
    assert "NSE equity (3 trades)" in sentence
