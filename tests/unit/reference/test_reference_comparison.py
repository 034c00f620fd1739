"""The comparison must see every kind of difference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.reference.candles import reference_candles
from tests.reference.case_building import MINUTE_AND_DAY, STOCK
from tests.reference.cases_volume import BASELINE
from tests.reference.comparison import compare

TABLE = reference_candles(BASELINE.entries, [STOCK.reference], MINUTE_AND_DAY).candles


def documents() -> list[dict[str, Any]]:
    """The two closed minutes of the case, written out as they would be stored."""
    shared = {
        "symbol": "NSE:SMALLCO",
        "timeframe": "1m",
        "oi": None,
        "complete": True,
        "rev": 0,
        "timed_by": "exchange",
    }
    first = {"t": 1_795_146_300_000, "end_t": 1_795_146_360_000, "open": 100.0, "high": 100.5, "low": 100.0}
    second = {"t": 1_795_146_360_000, "end_t": 1_795_146_420_000, "open": 99.5, "high": 99.5, "low": 99.5}
    return [
        {**shared, **first, "close": 100.5, "volume": 1500, "vwap": 150_250 / 1500, "ticks": 2},
        {**shared, **second, "close": 99.5, "volume": 200, "vwap": 99.5, "ticks": 1},
    ]


def test_equal_documents_have_no_difference_and_the_open_day_is_not_asked_for() -> None:
    assert compare(TABLE, documents()) == []


def test_missing_extra_and_doubled_candles_are_named() -> None:
    first, second = documents()
    other = {**second, "t": 1_795_146_420_000}
    assert compare(TABLE, [first]) == ["NSE:SMALLCO 1m 2026-11-20 09:16:00: missing"]
    assert compare(TABLE, [first, second, second]) == ["NSE:SMALLCO 1m 2026-11-20 09:16:00: stored twice"]
    assert compare(TABLE, [first, second, other]) == [
        "NSE:SMALLCO 1m 2026-11-20 09:17:00: extra, the reference has no such closed candle"
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("end_t", 1_795_146_361_000),
        ("open", 100.01),
        ("high", 100.50000000000001),
        ("low", None),
        ("close", 100.4),
        ("volume", 1501),
        ("volume", None),
        ("oi", 0),
        ("vwap", 150_250 / 1500 * (1 + 2e-9)),
        ("vwap", None),
        ("ticks", 3),
        ("complete", False),
        ("complete", 1),
        ("rev", 1),
        ("timed_by", "receive"),
    ],
)
def test_a_difference_in_any_field_is_seen(field: str, value: Any) -> None:
    first, second = documents()
    differences = compare(TABLE, [{**first, field: value}, second])
    assert len(differences) == 1
    assert differences[0].startswith("NSE:SMALLCO 1m 2026-11-20 09:15:00: ")
    assert repr(value) in differences[0]


def test_an_absent_field_is_a_difference() -> None:
    first, second = documents()
    del first["oi"]
    assert compare(TABLE, [first, second]) == ["NSE:SMALLCO 1m 2026-11-20 09:15:00: oi should be None, is 'absent'"]


def test_a_field_may_be_left_out_and_the_vwap_has_a_tolerance() -> None:
    first, second = documents()
    near = {**first, "vwap": first["vwap"] * (1 + 5e-10), "rev": 4}
    assert compare(TABLE, [near, second], fields=("open", "volume", "vwap")) == []
