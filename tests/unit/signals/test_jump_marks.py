"""Candles before a jump are marked whenever MongoDB is there, and the doctor speaks of the jump."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest
import structlog

from commands.doctor.findings import Finding, Moment
from commands.doctor.past import past_findings
from tests.unit.signals.test_price_scale import FRIDAY, NAME, new_engine, two_days
from utils.market.ist import ist_midnight_ms
from utils.runtime.health import merged
from utils.signals.jump_marks import AGAIN_SECONDS, JumpMarks
from utils.stores.documents import StoreError

ON_FRIDAY = Moment(ist_midnight_ms(FRIDAY) + 36_000_000, in_session=True, soon=True)
ON_MONDAY = Moment(ON_FRIDAY.now_ms + 3 * 86_400_000, in_session=True, soon=True)


class _Mongo:
    """Away at first."""

    def __init__(self) -> None:
        self.is_away = True
        self.marked: list[tuple[object, ...]] = []

    def mark_candles(self, symbol: str, from_ms: int, before_ms: int, fields: Mapping[str, Any]) -> int:
        if self.is_away:
            raise StoreError("MongoDB is away")
        self.marked.append((symbol, from_ms, before_ms, dict(fields)))
        return 75


def wait_for_marks() -> None:
    for thread in threading.enumerate():
        if thread.name == "jump-marks":
            thread.join()


def test_what_mongodb_did_not_take_is_marked_later_and_once() -> None:
    engine, mongo = new_engine(), _Mongo()
    anything: Any = mongo
    marks = JumpMarks(anything, structlog.get_logger("test"))
    marks.look(engine, 0.0)
    engine.apply(two_days(0.2))
    marks.make_due()
    for now_seconds in (1.0, 2.0, 1.0 + AGAIN_SECONDS):
        marks.look(engine, now_seconds)
        wait_for_marks()
        assert [jump.is_marked for jump in engine.jumps] == [False]
    mongo.is_away = False
    for again in range(2, 6):
        marks.look(engine, 1.0 + AGAIN_SECONDS * again)
        wait_for_marks()
    assert [jump.is_marked for jump in engine.jumps] == [True]
    fields = {"rescaled_on": "2026-07-03", "rescaled_by": pytest.approx(0.2, rel=1e-3)}
    assert mongo.marked == [(NAME, 0, ist_midnight_ms(FRIDAY), fields)]


def findings(moment: Moment, **fields: str) -> list[Finding]:
    return list(past_findings(fields, moment))


def test_the_doctor_names_a_jump_and_what_becomes_of_it() -> None:
    (found,) = findings(ON_FRIDAY, jumped="NSE:NIFTY 50|2026-07-03|5004|1000")
    assert found.is_problem
    assert found.sentence == (
        "NSE:NIFTY 50 jumped from 5004 to 1000 over the night to 2026-07-03, as after a split: it gives no signals"
        " until its rows are warm from candles since; older ones are marked `rescaled_on` in MongoDB."
    )
    (later,) = findings(ON_MONDAY, jumped="NSE:NIFTY 50|2026-07-03|5004|1000")
    assert not later.is_problem


def test_of_many_the_doctor_names_some_those_of_the_day_first() -> None:
    old = [f"NSE:A{number}|2026-07-01|5|1" for number in range(9)]
    found = findings(ON_FRIDAY, jumped=";".join([*old, "NSE:Z|2026-07-03|5|1"]))
    assert [finding.sentence.split()[0] for finding in found] == ["NSE:Z", "NSE:A0", "NSE:A1", "7"]
    assert [finding.is_problem for finding in found] == [True, False, False, False]


def test_what_is_well_or_none_of_ours_is_no_finding() -> None:
    for jumped in ("", ";", "x", "a|b"):
        assert findings(ON_FRIDAY, jumped=jumped, history_refused="0") == []
    assert list(past_findings({}, ON_FRIDAY)) == []


def test_refused_history_is_a_note() -> None:
    (found,) = findings(ON_FRIDAY, history_refused="3")
    assert (found.is_problem, found.sentence[:36]) == (False, "3 instruments got no history, the br")


def test_the_jumps_of_all_workers_are_in_the_report() -> None:
    parts = [
        {"jumped": "NSE:B|2026-07-03|5|1"},
        {"jumped": ""},
        {"jumped": "NSE:A|2026-07-03|5|1;NSE:C|2026-07-03|5|1"},
    ]
    assert merged(parts)["jumped"] == "NSE:A|2026-07-03|5|1;NSE:B|2026-07-03|5|1;NSE:C|2026-07-03|5|1"
