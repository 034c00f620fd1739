"""Cases: the last price comes first, and volume and trade time follow in the next packet."""

from __future__ import annotations

from tests.reference.case_building import (
    STOCK,
    Case,
    CaseEntry,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    minute,
    opening,
    quote,
    subscribed,
)

SMALL = STOCK.reference.symbol
FLAT = (100.0, 100.0, 100.0, 100.0)


def first_trade() -> tuple[CaseEntry, ...]:
    """1 000 at 100.0 at 09:15:05; it makes no day range."""
    return *opening(STOCK), frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05"))


SAME_BUCKET = Case(
    name="the price first: it counts at the exchange time, and the volume joins when it comes",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 100.5, 1000, "09:15:05", "09:15:10")),
        frame("09:15:11.500", full(STOCK, 100.5, 1200, "09:15:10", "09:15:11")),
        heartbeat("09:16:03"),
    ),
    expected=(
        # three ticks; the 200 came at 100.5
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 1200, (100_000 + 20_100) / 1200, 3),
        full_day(STOCK, (100.0, 100.5, 100.0, 100.5), 1200, (100_000 + 20_100) / 1200, 3),
    ),
    counts={"undated": 1},
)

GONE = Case(
    name="a price that is gone in the next packet was a trade that only its price shows",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 101.0, 1000, "09:15:05", "09:15:10")),
        frame("09:15:11.500", full(STOCK, 100.2, 1100, "09:15:11")),
        # back without volume: 99.8 and then 100.2 again are two prices more
        frame("09:15:12.500", full(STOCK, 99.8, 1100, "09:15:11", "09:15:12")),
        frame("09:15:13.500", full(STOCK, 100.2, 1100, "09:15:11", "09:15:13")),
        heartbeat("09:16:03"),
    ),
    expected=(
        # the 100 came at 100.2, the price of the packet that brought it
        minute(STOCK, "09:15", (100.0, 101.0, 99.8, 100.2), 1100, (100_000 + 10_020) / 1100, 5),
        full_day(STOCK, (100.0, 101.0, 99.8, 100.2), 1100, (100_000 + 10_020) / 1100, 5),
    ),
    counts={"undated": 3},
)

QUANTITY_ALONE = Case(
    name="a last quantity that moved alone is a trade at the same price",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:05", "09:15:10", quantity=75)),
        frame("09:15:11.500", full(STOCK, 100.0, 1000, "09:15:05", "09:15:11", quantity=75)),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 2),
        full_day(STOCK, FLAT, 1000, 100.0, 2),
    ),
)

ITS_CLOSE = Case(
    name="a minute whose last price came first closes with it, and a new minute may open with one",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:58.500", full(STOCK, 100.5, 1000, "09:15:05", "09:15:58")),
        frame("09:16:02.500", full(STOCK, 101.0, 1000, "09:15:05", "09:16:02")),
        # by its time the 300 were traded in 09:16, where the price that came first stays the open
        frame("09:16:03.500", full(STOCK, 101.5, 1300, "09:16:01", "09:16:03")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 1000, 100.0, 2),
        minute(STOCK, "09:16", (101.0, 101.5, 101.0, 101.5), 300, 101.5, 2),
        full_day(STOCK, (100.0, 101.5, 100.0, 101.5), 1300, (100_000 + 30_450) / 1300, 4),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:16", 0)),
)

WITHDRAWN = Case(
    name="over a bucket's edge: the volume dates the price into the minute before, the new candle is withdrawn",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        # at 09:16:00 a price alone: the 09:15 candle closes, and 09:16 opens with 101.0
        frame("09:16:00.500", full(STOCK, 101.0, 1000, "09:15:05", "09:16:00")),
        # 300 of 09:15:59: nothing had been traded in 09:16
        frame("09:16:01.500", full(STOCK, 100.8, 1300, "09:15:59", "09:16:01")),
        frame("09:16:10.500", full(STOCK, 102.0, 1400, "09:16:10")),
        heartbeat("09:17:03"),
    ),
    expected=(
        # high 101.0 of the withdrawn candle, whose tick went with it
        minute(STOCK, "09:15", (100.0, 101.0, 100.0, 100.8), 1300, (100_000 + 30_240) / 1300, 2, rev=1),
        minute(STOCK, "09:16", (102.0, 102.0, 102.0, 102.0), 100, 102.0, 1),
        full_day(STOCK, (100.0, 102.0, 100.0, 102.0), 1400, (100_000 + 30_240 + 10_200) / 1400, 4),
    ),
    counts={"withdrawn": 1},
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1), (SMALL, "1m", "09:16", 0)),
)

MOVED_BACK = Case(
    name="over a bucket's edge: the candle of prices alone becomes that of an earlier, empty minute",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        heartbeat("09:16:03"),
        frame("09:18:00.500", full(STOCK, 101.0, 1000, "09:15:05", "09:18:00")),
        frame("09:18:01.500", full(STOCK, 101.5, 1300, "09:17:58", "09:18:01")),
        # late, of the same minute; its open time is the minute's beginning, so nothing is before its open
        frame("09:18:02", full(STOCK, 100.9, 1050, "09:17:30")),
        heartbeat("09:18:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        minute(STOCK, "09:17", (101.0, 101.5, 100.9, 101.5), 300, 101.5, 3),
        full_day(STOCK, (100.0, 101.5, 100.0, 101.5), 1300, (100_000 + 30_450) / 1300, 4),
    ),
    counts={"moved_back": 1},
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:17", 0)),
)

AMENDED = Case(
    name="over a bucket's edge: where the new candle has volume of its own, the minute before is amended",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:59.500", full(STOCK, 101.0, 1000, "09:15:05", "09:15:59")),
        # 100 of 09:16:00: the new candle has volume, base 1 000 and open_cum 1 100
        frame("09:16:00.500", full(STOCK, 101.0, 1100, "09:16:00")),
        # dated into the minute before: that minute gets the volume up to 1 100, and the new candle has none
        frame("09:16:01.500", full(STOCK, 101.5, 1300, "09:15:59", "09:16:01")),
        frame("09:16:10.500", full(STOCK, 102.0, 1400, "09:16:10")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.5, 100.0, 101.5), 1100, (100_000 + 10_150) / 1100, 3, rev=1),
        # 300 since 1 100, at 102.0
        minute(STOCK, "09:16", (101.0, 102.0, 101.0, 102.0), 300, 102.0, 2),
        full_day(STOCK, (100.0, 102.0, 100.0, 102.0), 1400, (100_000 + 10_100 + 20_300 + 10_200) / 1400, 5),
    ),
    counts={"withdrawn": 0, "moved_back": 0, "amended": 1},
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1), (SMALL, "1m", "09:16", 0)),
)

NOT_SO_FAR_BACK = Case(
    name="a candle of prices alone does not go back behind the last closed one: the trade is dropped",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:16:05.500", full(STOCK, 101.0, 1100, "09:16:05")),
        frame("09:17:00.500", full(STOCK, 102.0, 1100, "09:16:05", "09:17:00")),
        frame("09:17:01.500", full(STOCK, 102.0, 1300, "09:15:58", "09:17:01")),
        frame("09:17:10.500", full(STOCK, 102.5, 1400, "09:17:10")),
        heartbeat("09:18:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1),
        # the dropped trade's 200 come with the next one: 1 400 - 1 100
        minute(STOCK, "09:17", (102.0, 102.5, 102.0, 102.5), 300, 102.5, 2),
        full_day(STOCK, (100.0, 102.5, 100.0, 102.5), 1400, (100_000 + 10_100 + 20_400 + 10_250) / 1400, 5),
    ),
    counts={"late": 1, "moved_back": 0, "withdrawn": 0},
)

OUTSIDE_THE_HOURS = Case(
    name="a price alone counts inside the hours of continuous trading only",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:14:59.500", full(STOCK, 99.5, 500_000, "yesterday", "09:14:59")),
        # unchanged since: no trade at 09:15:01 either
        frame("09:15:01.500", full(STOCK, 99.5, 500_000, "yesterday", "09:15:01")),
        frame("15:29:59.900", full(STOCK, 100.0, 1000, "15:29:58", "15:29:59")),
        frame("15:30:00.900", full(STOCK, 101.0, 1000, "15:29:58", "15:30:00")),
        heartbeat("15:30:03"),
    ),
    expected=(
        minute(STOCK, "15:29", FLAT, 1000, 100.0, 1),
        full_day(STOCK, FLAT, 1000, 100.0, 1, closed=True),
    ),
    counts={"undated": 0},
)

FIRST_PRICE = Case(
    name="the day's first price comes first, with yesterday's time, volume and range: only the price is of today",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:01.500", full(STOCK, 99.5, 500_000, "yesterday", "09:15:01", day=(98.0, 100.0, 97.0))),
        frame("09:15:02.500", full(STOCK, 99.5, 6675, "09:15:01", "09:15:02", day=(99.5, 99.5, 99.5))),
        # a high of 99.9 was missed; it would not be one beside yesterday's 100.0
        frame("09:15:10.500", full(STOCK, 99.8, 7000, "09:15:10", day=(99.5, 99.9, 99.5))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (99.5, 99.9, 99.5, 99.8), 7000, (6675 * 99.5 + 325 * 99.8) / 7000, 3),
        full_day(STOCK, (99.5, 99.9, 99.5, 99.8), 7000, (6675 * 99.5 + 325 * 99.8) / 7000, 3),
    ),
)

AFTER_A_QUOTE = Case(
    name="a price alone after yesterday's cached quote: yesterday's volume is not what it starts from",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:14:00", STOCK),
        frame("09:14:01", quote(STOCK, 99.0, 500_000)),
        frame("09:15:01.500", full(STOCK, 99.5, 500_000, "yesterday", "09:15:01")),
        # the first volume of the day: its day open is the open
        frame("09:15:02.500", full(STOCK, 99.5, 6675, "09:15:01", "09:15:02", day=(99.4, 99.6, 99.4))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (99.4, 99.6, 99.4, 99.5), 6675, 99.5, 2),
        full_day(STOCK, (99.4, 99.6, 99.4, 99.5), 6675, 99.5, 2),
    ),
)

QUOTE_MODE = Case(
    name="a price alone in quote mode: timed by receipt, the volume joins",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:14:00", STOCK),
        frame("09:14:01", quote(STOCK, 99.0, 0)),
        frame("09:15:05", quote(STOCK, 100.0, 1000)),
        frame("09:15:10", quote(STOCK, 100.5, 1000)),
        frame("09:15:11", quote(STOCK, 100.5, 1200)),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 1200, (100_000 + 20_100) / 1200, 3, timed_by="receive"),
        full_day(STOCK, (100.0, 100.5, 100.0, 100.5), 1200, (100_000 + 20_100) / 1200, 3, timed_by="receive"),
    ),
)

CASES = (
    SAME_BUCKET,
    GONE,
    QUANTITY_ALONE,
    ITS_CLOSE,
    WITHDRAWN,
    MOVED_BACK,
    AMENDED,
    NOT_SO_FAR_BACK,
    OUTSIDE_THE_HOURS,
    FIRST_PRICE,
    AFTER_A_QUOTE,
    QUOTE_MODE,
)
