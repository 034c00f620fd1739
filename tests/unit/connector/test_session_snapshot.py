"""Redis' snapshot after the session: once a trading day, when the last instrument's day is over."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest
import redis
import structlog

from utils.connector.session_snapshot import SessionSnapshot
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import ist_midnight_ms
from utils.market.sessions import SessionCalendar

FRIDAY, SATURDAY = date(2026, 11, 20), date(2026, 11, 21)
STOCK = Instrument(257, "NSE", "AAA", "", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
GOLD = Instrument(258, "MCX", "GOLD26DECFUT", "", "MCX", "FUT", "", 1.0, 1, SessionClass.COMMODITY)


class Server:
    def __init__(self) -> None:
        self.snapshots = 0
        self.error: Exception | None = None

    def bgsave(self) -> None:
        if self.error is not None:
            raise self.error
        self.snapshots += 1


class Evening:
    def __init__(self, instruments: list[Instrument]) -> None:
        self.server = Server()
        self.now_ms = 0
        self.snapshot = SessionSnapshot(
            cast("Any", self.server), SessionCalendar.load(), lambda: instruments, lambda: self.now_ms,
            structlog.get_logger("test"),
        )  # fmt: skip

    def at(self, day: date, hours: int, minutes: int = 0) -> int:
        self.now_ms = ist_midnight_ms(day) + (60 * hours + minutes) * 60_000
        self.snapshot.look()
        return self.server.snapshots


def test_once_a_day_after_the_last_session() -> None:
    evening = Evening([STOCK])
    assert [evening.at(FRIDAY, hour) for hour in (0, 9, 12, 15)] == [0, 0, 0, 0]
    assert [evening.at(FRIDAY, *when) for when in ((17, 0), (17, 1), (23, 59))] == [1, 1, 1]
    assert [evening.at(SATURDAY, hour) for hour in (0, 12, 23)] == [1, 1, 1]


def test_the_last_instrument_decides() -> None:
    evening = Evening([STOCK, GOLD])
    assert evening.at(FRIDAY, 17) == 0
    assert evening.at(FRIDAY, 23, 59) == 1


def test_without_instruments_there_is_no_session() -> None:
    assert Evening([]).at(FRIDAY, 20) == 0


def test_a_refused_right_is_tried_again_and_a_save_under_way_is_enough() -> None:
    evening = Evening([STOCK])
    evening.server.error = redis.exceptions.NoPermissionError("no")
    with pytest.raises(redis.exceptions.NoPermissionError):
        evening.at(FRIDAY, 17)
    evening.server.error = redis.ResponseError("Background save already in progress")
    assert evening.at(FRIDAY, 17) == 0
    evening.server.error = None
    assert evening.at(FRIDAY, 18) == 0
