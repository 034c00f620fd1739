"""A connection that lasts over the night: what counts within a day starts again, without a new `subscribed` mark."""

from __future__ import annotations

from datetime import date

from tests.reference.case_building import DATE, STOCK, YESTERDAY, at, full, pack, subscribed
from utils.candles.engine import CandleEngine
from utils.candles.layout import Rules
from utils.feed import Entry, EntryId, Kind
from utils.instruments import Instrument
from utils.sessions import Session
from utils.timeframes import Timeframe


class EveryDay:
    """The same hours each day."""

    def for_instrument(self, _: Instrument, day: date) -> Session:
        opens, closes, day_start = (at(clock, day.isoformat()) for clock in ("09:15", "15:30", "09:00"))
        return Session(day, opens, closes, day_start, closes)

    def is_known(self, day: date) -> bool:
        return True


def frame_at(ms: int, packet: bytes) -> Entry:
    return Entry(EntryId(ms, 0), Kind.FRAME, pack(packet))


def test_a_new_day_counts_its_volume_from_zero() -> None:
    rules = Rules(3_000, 60_000, 1_000, 2.5, 4.0, 10, 5, 3)
    engine = CandleEngine([Timeframe("1m", 60_000)], rules, 10, EveryDay())
    content = subscribed("09:14", STOCK)[2]
    said = engine.take(
        [
            Entry(EntryId(at("15:29", YESTERDAY), 0), Kind.MARK, content),
            frame_at(at("15:29:59.500", YESTERDAY), full(STOCK, 99.0, 500_000, "yesterday")),
            frame_at(at("09:15:05.500", DATE), full(STOCK, 100.0, 600_000, "09:15:05")),
            Entry(EntryId(at("09:16:03", DATE), 0), Kind.FRAME, b"\x00"),
        ]
    )
    assert [(closed.candle.start_ms, closed.candle.volume) for closed in said.closed] == [
        (at("09:15", DATE), 600_000)
    ]
