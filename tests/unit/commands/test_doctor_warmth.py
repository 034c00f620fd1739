"""The doctor's sentences on cold rows of indicators, and on strategies that fail."""

from __future__ import annotations

import pytest

from commands.doctor.findings import Moment
from commands.doctor.past import warmth_findings

LIVE = Moment(1_795_150_000_000, in_session=True, soon=True)
NIGHT = Moment(1_795_150_000_000, in_session=False, soon=False)
WELL = {"rows": "36", "warm_rows": "36", "state": "running", "history_fault": "", "strategy_faults": "0"}
DENIED = "the broker refuses history: the Kite app has no market data (PermissionException 403)"


def found(moment: Moment = LIVE, **fields: str) -> list[tuple[str, bool]]:
    return [(finding.sentence, finding.is_problem) for finding in warmth_findings({**WELL, **fields}, moment)]


def test_warm_rows_are_well_whatever_the_last_answer_was() -> None:
    assert found() == []
    assert found(history_fault="the broker's history of NSE:X (minute) did not come: HTTP 503") == []
    assert list(warmth_findings({}, LIVE)) == []


def test_cold_rows_for_want_of_history_are_a_problem() -> None:
    for moment, is_problem in ((LIVE, True), (NIGHT, False)):
        assert found(moment, warm_rows="0", history_fault=DENIED) == [
            (f"36 of 36 rows of indicators are cold and give no signal: {DENIED}.", is_problem)
        ]


@pytest.mark.parametrize("state", ["warming up 3/50", "warming up later", "waiting for the instruments", "starting"])
def test_cold_rows_on_their_way_are_no_finding(state: str) -> None:
    assert found(warm_rows="0", state=state) == []


def test_cold_rows_without_a_past_are_a_note() -> None:
    assert found(warm_rows="30") == [
        ("6 of 36 rows of indicators are cold and give no signal yet: they have too little past.", False)
    ]


def test_strategies_that_fail_are_a_note() -> None:
    assert found(strategy_faults="1200") == [
        ("strategies failed 1,200 times, and gave no signal there: see its log.", False)
    ]
