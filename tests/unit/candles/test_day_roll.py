"""A connection that lasts over the night: what counts within a day starts again, without a new `subscribed` mark."""

from __future__ import annotations

from datetime import date

from tests.reference.case_building import DATE, STOCK, YESTERDAY, at, full, pack, subscribed
from tests.shared.engine_candles import engine_candles
from utils.candles.engine import CandleEngine
from utils.candles.engine_output import EngineOutput
from utils.candles.kernels.layout import Rules
from utils.journal.entries import Entry, EntryId, Kind
from utils.market.instruments import Instrument
from utils.market.sessions import Session
from utils.market.timeframes import Timeframe


class EveryDay:
    """The same hours each day."""

    def for_instrument(self, _: Instrument, day: date) -> Session:
        opens, closes, day_start = (at(clock, day.isoformat()) for clock in ("09:15", "15:30", "09:00"))
        return Session(day, opens, closes, day_start, closes)

    def is_known(self, day: date) -> bool:
        return True


def frame_at(ms: int, packet: bytes) -> Entry:
    return Entry(EntryId(ms, 0), Kind.FRAME, pack(packet))


def over_night(*entries: Entry) -> EngineOutput:
    """What a connection gives that is there since yesterday's 15:29."""
    rules = Rules(3_000, 60_000, 1_000, 2.5, 4.0, 10, 5.0, 2)
    engine = CandleEngine([Timeframe("1m", 60_000)], rules, 10, EveryDay())
    content = subscribed("09:14", STOCK)[2]
    return engine.process([Entry(EntryId(at("15:29", YESTERDAY), 0), Kind.MARK, content), *entries])


def heartbeat_at(ms: int) -> Entry:
    return Entry(EntryId(ms, 0), Kind.FRAME, b"\x00")


def test_a_new_day_counts_its_volume_from_zero() -> None:
    output = over_night(
        frame_at(at("15:29:59.500", YESTERDAY), full(STOCK, 99.0, 500_000, "yesterday")),
        frame_at(at("09:15:05.500", DATE), full(STOCK, 100.0, 600_000, "09:15:05")),
        heartbeat_at(at("09:16:03", DATE)),
    )
    assert [(closed.candle.start_ms, closed.candle.volume) for closed in engine_candles(output)] == [
        (at("09:15", DATE), 600_000)
    ]


def test_what_is_held_when_the_day_ends_is_rejected() -> None:
    """105.0 lies outside its day range: no packet of a new day can speak for it, as this one of 104.9 would."""
    day = (98.0, 101.0, 97.0)
    output = over_night(
        frame_at(at("15:29:59.500", YESTERDAY), full(STOCK, 99.0, 500_000, "yesterday", day=day)),
        frame_at(at("15:29:59.900", YESTERDAY), full(STOCK, 105.0, 500_100, "yesterday", day=day)),
        heartbeat_at(at("08:00", DATE)),
        frame_at(at("09:15:05.500", DATE), full(STOCK, 104.9, 600, "09:15:05", day=(104.9, 105.0, 104.9))),
        heartbeat_at(at("09:16:03", DATE)),
    )
    assert [rejected.reason for rejected in output.rejected] == ["range"]
    candles = [closed.candle for closed in engine_candles(output)]
    # the first trade of the day: the candle has the day's range
    assert [(candle.start_ms, candle.open, candle.high, candle.low, candle.volume) for candle in candles] == [
        (at("09:15", DATE), 104.9, 105.0, 104.9, 600)
    ]


def test_the_price_of_yesterday_is_none_that_a_price_moves_from() -> None:
    """Yesterday's packet again with another price, before the first trade: nothing shows when that was."""
    output = over_night(
        frame_at(at("15:29:59.500", YESTERDAY), full(STOCK, 99.0, 500_000, "yesterday")),
        frame_at(at("09:15:01.500", DATE), full(STOCK, 99.5, 500_000, "yesterday", "09:15:01")),
        frame_at(at("09:15:02.500", DATE), full(STOCK, 100.0, 600, "09:15:02")),
        heartbeat_at(at("09:16:03", DATE)),
    )
    candles = [closed.candle for closed in engine_candles(output)]
    assert [
        (candle.open, candle.high, candle.low, candle.close, candle.volume, candle.ticks) for candle in candles
    ] == [(100.0, 100.0, 100.0, 100.0, 600, 1)]


def test_a_cached_packet_of_the_first_reconnect_of_a_day_books_nothing_twice() -> None:
    """The night passed without a baseline; a cached packet from before the last trade must not lower the volume."""
    output = over_night(
        frame_at(at("15:29:59.500", YESTERDAY), full(STOCK, 99.0, 500_000, "yesterday")),
        frame_at(at("09:15:58.500", DATE), full(STOCK, 100.0, 5_000, "09:15:58")),
        Entry(EntryId(at("09:15:59", DATE), 0), Kind.MARK, subscribed("09:15", STOCK)[2]),
        frame_at(at("09:15:59.500", DATE), full(STOCK, 100.0, 4_900, "09:15:57")),
        frame_at(at("09:16:01.500", DATE), full(STOCK, 100.0, 5_100, "09:16:01")),
        heartbeat_at(at("09:17:03", DATE)),
    )
    assert [closed.candle.volume for closed in engine_candles(output)] == [5_000, 100]
