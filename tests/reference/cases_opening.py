"""Cases: how a day begins: cached packets, auctions, the first trade, the exchange's own open and range."""

from __future__ import annotations

from tests.reference.case_building import (
    FUTURE,
    INDEX,
    STOCK,
    Case,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    index_full,
    mark,
    minute,
    opening,
    subscribed,
)

FLAT = (100.0, 100.0, 100.0, 100.0)

WITHOUT_A_TIME = Case(
    name="a cached packet with exchange time 0 is a baseline: the day's first trade is not swallowed",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:05:00", STOCK),
        frame("09:05:01", full(STOCK, 99.0, 0, "yesterday", "-", day=(98.0, 101.0, 97.0))),
        # a second one is no baseline
        frame("09:05:02", full(STOCK, 99.0, 0, "yesterday", "-", day=(98.0, 101.0, 97.0))),
        frame("09:15:01.500", full(STOCK, 100.0, 150, "09:15:01", day=FLAT[:3], average=100.0)),
        frame("09:15:40.500", full(STOCK, 100.5, 6675, "09:15:40", day=(100.0, 100.5, 100.0), average=100.4)),
        heartbeat("09:16:03"),
    ),
    expected=(
        # 150 at 100.0 and 6 525 at 100.5
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 6675, (15_000 + 6525 * 100.5) / 6675, 2),
        full_day(STOCK, (100.0, 100.5, 100.0, 100.5), 6675, (15_000 + 6525 * 100.5) / 6675, 2),
    ),
    rejected={"time": 1},
)

TWO_TRADES = Case(
    name="the first packet of the day holds several trades: open, high and low are the exchange's own",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:02.500", full(STOCK, 100.2, 300, "09:15:02", day=(100.0, 100.4, 99.9))),
        # late, before the first packet's trade, but not before the open
        frame("09:15:03", full(STOCK, 100.1, 100, "09:15:01", day=(100.0, 100.2, 100.0))),
        frame("09:15:04.500", full(STOCK, 100.3, 400, "09:15:04", day=(100.0, 100.4, 99.9))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.4, 99.9, 100.3), 400, (30_060 + 10_030) / 400, 3),
        full_day(STOCK, (100.0, 100.4, 99.9, 100.3), 400, (30_060 + 10_030) / 400, 3),
    ),
    counts={"first_of_day": 1},
)

FUTURES_AUCTION = Case(
    name="a future's auction before its hours: of today, in no minute, in the day's volume and open",
    instruments=(FUTURE,),
    entries=entries(
        *opening(FUTURE),
        # the class's day begins at 09:15: no trade, but the 60 000 are not forgotten
        frame("09:14:30", full(FUTURE, 100.0, 60_000, "09:08:00", "09:14:30", day=FLAT[:3], oi=700)),
        frame("09:15:01.500", full(FUTURE, 100.5, 60_800, "09:15:01", day=(100.0, 100.5, 100.0), oi=710)),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(FUTURE, "09:15", (100.5, 100.5, 100.5, 100.5), 800, 100.5, 1, oi=710),
        # one packet brings the day: 60 800 at its price; the open is the exchange's
        full_day(FUTURE, (100.0, 100.5, 100.0, 100.5), 60_800, 100.5, 1, oi=710),
    ),
    counts={"outside": 1, "first_of_day": 0},
)

CORRECTED_OPEN = Case(
    name="the day's open is the exchange's, whenever it corrects it; the minute's stays what was traded",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=FLAT[:3])),
        frame("09:20:05.500", full(STOCK, 100.0, 1100, "09:20:05", day=(99.8, 100.0, 99.8))),
        heartbeat("09:21:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        # a low that moved since the packet before
        minute(STOCK, "09:20", (100.0, 100.0, 99.8, 100.0), 100, 100.0, 1),
        full_day(STOCK, (99.8, 100.0, 99.8, 100.0), 1100, 100.0, 2),
    ),
)

INDEX_OPEN = Case(
    name="an index's day has the exchange's open and range; its first minute has what was sent",
    instruments=(INDEX,),
    entries=entries(
        subscribed("09:14:00", INDEX),
        frame("09:14:01", index_full(INDEX, 24900.0, "yesterday")),
        frame("09:15:02.500", index_full(INDEX, 25000.0, "09:15:02", (24990.0, 25010.0, 24985.0))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(INDEX, "09:15", (25000.0, 25000.0, 25000.0, 25000.0), None, None, 1),
        full_day(INDEX, (24990.0, 25010.0, 24985.0, 25000.0), None, None, 1),
    ),
)

INDEX_WITHOUT_A_TIME = Case(
    name="an index's cached packet with time 0 is a baseline; the first one with a time is a value",
    instruments=(INDEX,),
    entries=entries(
        subscribed("09:05:00", INDEX),
        frame("09:05:01", index_full(INDEX, 24900.0, "-")),
        frame("09:15:02.500", index_full(INDEX, 25000.0, "09:15:02")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(INDEX, "09:15", (25000.0, 25000.0, 25000.0, 25000.0), None, None, 1),
        full_day(INDEX, (25000.0, 25000.0, 25000.0, 25000.0), None, None, 1),
    ),
)

PRICELESS_BASELINE = Case(
    name="a cached packet outside its own day range has no price: the next packet gives the day range",
    instruments=(STOCK,),
    entries=entries(
        subscribed("11:00:10", STOCK),
        frame("11:00:11", full(STOCK, 103.0, 50_000, "11:00:05", "11:00:11", day=(98.0, 102.0, 97.0), average=99.0)),
        frame("11:00:12", full(STOCK, 101.0, 50_000, "11:00:05", "11:00:12", day=(98.0, 102.0, 97.0), average=99.0)),
        frame("11:00:20.500", full(STOCK, 101.5, 50_100, "11:00:20", day=(98.0, 102.0, 97.0), average=99.0)),
        heartbeat("11:01:03"),
    ),
    expected=(
        # 101.0 is the first price: nothing had moved
        minute(STOCK, "11:00", (101.5, 101.5, 101.5, 101.5), 100, 101.5, 1, complete=False),
        full_day(STOCK, (98.0, 102.0, 97.0, 101.5), 50_100, (50_000 * 99.0 + 10_150) / 50_100, 1, complete=False),
    ),
    counts={"without_price": 1, "undated": 0},
)

OLD_BASELINE_PRICE = Case(
    name="a cached packet older than what is known does not bring its price back",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        frame("09:15:10.500", full(STOCK, 100.5, 1100, "09:15:10")),
        mark("09:15:20", "down"),
        subscribed("09:15:30", STOCK),
        frame("09:15:31", full(STOCK, 100.0, 1000, "09:15:05", "09:15:08")),
        # what was known before: no trade
        frame("09:15:40.500", full(STOCK, 100.5, 1100, "09:15:10", "09:15:40")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2, complete=False),
        full_day(STOCK, (100.0, 100.5, 100.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2, complete=False),
    ),
)

NEVER_NARROWS = Case(
    name="a day range never narrows: a poorer one and a return to the old one extend nothing",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100.0, 103.0, 98.0))),
        frame("09:15:10.500", full(STOCK, 100.0, 1100, "09:15:10", day=(100.0, 101.0, 99.0))),
        frame("09:16:10.500", full(STOCK, 100.5, 1200, "09:16:10", day=(100.0, 102.0, 98.5))),
        heartbeat("09:17:03"),
    ),
    expected=(
        # the first trade of the day holds the day's range
        minute(STOCK, "09:15", (100.0, 103.0, 98.0, 100.0), 1100, 100.0, 2),
        minute(STOCK, "09:16", (100.5, 100.5, 100.5, 100.5), 100, 100.5, 1),
        full_day(STOCK, (100.0, 103.0, 98.0, 100.5), 1200, (110_000 + 10_050) / 1200, 3),
    ),
)

CASES = (
    WITHOUT_A_TIME,
    TWO_TRADES,
    FUTURES_AUCTION,
    CORRECTED_OPEN,
    INDEX_OPEN,
    INDEX_WITHOUT_A_TIME,
    PRICELESS_BASELINE,
    OLD_BASELINE_PRICE,
    NEVER_NARROWS,
)
