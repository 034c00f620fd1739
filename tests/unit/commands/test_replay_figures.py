"""The closing sentences of a replay."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from commands.replay.figures import ReplayFigures
from commands.shared.closing_figures import StoredCandles


def _figures(**changed: object) -> ReplayFigures:
    stored = StoredCandles(Counter({"1m": 1_200, "5m": 300}), Counter(), Counter(), Counter())
    figures = ReplayFigures(
        {"1m": 1_200, "5m": 300}, 7, stored, signals_published=3, signals_stored=3, live=0, equal=0
    )
    return replace(figures, **changed)  # type: ignore[arg-type]


def test_a_replay_of_which_all_is_stored_has_no_fault() -> None:
    assert list(_figures().faults()) == []
    assert list(_figures().lines()) == [
        "candles   1,500 (1m 1,200, 5m 300), 7 revisions",
        "stored    1,500 candles and 3 signals in MongoDB",
        "signals   3",
    ]


def test_the_live_day_is_spoken_of_where_there_is_one() -> None:
    *_, last = _figures(live=1_400, equal=1_399).lines()
    assert last == "live      1,399 of the 1,400 candles stored live that day came out the same"


def test_each_fault_is_a_sentence_with_its_numbers() -> None:
    wrong = StoredCandles(Counter(), Counter({"1m": 1_000, "5m": 5}), Counter({"1m": 2}), Counter({"5m": 3}))
    assert list(_figures(stored=wrong).faults()) == [
        "MongoDB differs from the published candles: 1,005 are missing, 2 are different, 3 were never published."
    ]
    assert list(_figures(uncounted=12_345).faults()) == [
        "12,345 closed candles were dropped from their streams before they were counted."
    ]
    assert len(list(_figures(cut_off=2).faults())) == 1
    assert list(_figures(signals_stored=2).faults()) == ["3 signals were published, 2 are in MongoDB."]
    assert len(list(_figures(stored=wrong, uncounted=1, cut_off=1, signals_published=9).faults())) == 4
