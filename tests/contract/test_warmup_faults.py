"""A warm-up whose broker refuses or fails some instruments: the others get their history all the same."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

import pytest

from tests.shared.closed_candles import minute_candles
from tests.shared.history_broker import CALENDAR, INFY, Broker, as_answer, at, day_rows, serving, trading_days
from tests.shared.history_broker import NotedWaits as NoWaits
from tests.shared.warmup_stage import TIMEFRAMES, Stage, stage
from utils.journal.entries import EntryId
from utils.kite.history import KiteHistory
from utils.market.entry_limit import UntilTimeOfDay
from utils.signals.engine import SignalEngine
from utils.signals.warmup import Cut, WarmUp, WarmupResult

__all__ = ["stage"]

INSTRUMENTS = [replace(INFY, token=100 + index, tradingsymbol=f"S{index}") for index in range(7)]
BAD = ("NSE:S0", "NSE:S1", "NSE:S2")  # as many as end history for good when it is the broker's own trouble


@dataclass
class Moody(Broker):
    """Answers some tokens with a status of its own."""

    status_of: dict[str, int] = field(default_factory=dict)

    def answer(self, path: str, wanted: dict[str, str]) -> tuple[int, bytes]:
        status = self.status_of.get(path.split("/")[3], 200)
        return (status, b'{"status":"error"}') if status != 200 else super().answer(path, wanted)


@pytest.fixture
def broker() -> Iterator[Moody]:
    with serving(Moody()) as broker:
        assert isinstance(broker, Moody)
        broker.minutes = as_answer([row for day in trading_days(6, date(2026, 1, 2)) for row in day_rows(str(day))])
        yield broker


def warm(stage: Stage, broker: Moody, last: tuple[str, ...] = ()) -> WarmupResult:
    history = KiteHistory(broker.url, lambda: "token key:secret", 1_000.0, NoWaits())
    cut = Cut({0: EntryId.parse("0-0")}, at("2026-01-02T09:00"))
    pairs = [(instrument.symbol, "1m") for instrument in INSTRUMENTS]
    warm_up = WarmUp(stage.store, stage.mongo, history, CALENDAR, lambda *done: None)
    return warm_up.run(SignalEngine([], UntilTimeOfDay(1440)), INSTRUMENTS, TIMEFRAMES, pairs, cut, last)


def test_instruments_that_the_broker_refuses_do_not_end_history_for_the_others(stage: Stage, broker: Moody) -> None:
    broker.status_of = {str(instrument.token): 400 for instrument in INSTRUMENTS if instrument.symbol in BAD}
    result = warm(stage, broker)
    assert (result.refused, result.again) == (list(BAD), [])
    assert len(result.done) == len(INSTRUMENTS)
    assert result.fetched == 250 * (len(INSTRUMENTS) - len(BAD))
    assert len(broker.asked) == len(INSTRUMENTS), "a refusal was asked about twice"


def test_instruments_that_fail_come_last_when_it_is_tried_again(stage: Stage, broker: Moody) -> None:
    broker.status_of = {str(instrument.token): 502 for instrument in INSTRUMENTS if instrument.symbol in BAD}
    first = warm(stage, broker)
    assert (first.failed, first.done) == (list(BAD), [])
    second = warm(stage, broker, tuple(first.failed))
    assert sorted(symbol for symbol, _ in second.done) == [instrument.symbol for instrument in INSTRUMENTS[3:]]
    assert sorted(symbol for symbol, _ in second.again) == list(BAD)


def warm_from_mongo(stage: Stage) -> SignalEngine:
    engine, cut = SignalEngine([], UntilTimeOfDay(1440)), Cut({0: EntryId.parse("0-0")}, at("2026-01-02T09:00"))
    warm_up = WarmUp(stage.store, stage.mongo, None, CALENDAR, lambda *done: None)
    warm_up.run(engine, [INFY], TIMEFRAMES, [(INFY.symbol, "1m")], cut)
    return engine


@pytest.mark.parametrize(
    "odd",
    [
        {"close": "101.5"}, {"open": None}, {"high": math.nan}, {"low": [1]}, {"volume": "many"}, {"end_t": "noon"},
        {"rev": 1.5}, {"previous_close": "99"}, {"t": None},
    ],
)  # fmt: skip
def test_an_odd_candle_in_mongodb_is_left_out(stage: Stage, odd: dict[str, Any]) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    held = minute_candles(INFY.symbol, [at(f"{yesterday}T09:15")])[:60]
    documents = [candle.as_document() for candle in held]
    documents[30] |= odd
    stage.mongo.upsert_candles(documents)
    assert warm_from_mongo(stage).bars(INFY.symbol, "1m") == 59
