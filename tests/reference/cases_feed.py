"""Cases: outages and completeness, and what is received while the feed is down."""

from __future__ import annotations

from tests.reference.case_building import (
    FUTURE,
    STOCK,
    Case,
    Expected,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    mark,
    minute,
    opening,
    subscribed,
    text,
)
from tests.reference.inputs import ReferenceSettings

SMALL, NEAR = STOCK.reference.symbol, FUTURE.reference.symbol
FLAT = (100.0, 100.0, 100.0, 100.0)

OUTAGE = Case(
    name="an outage makes the open candle incomplete; its volume is not lost, the next candle is complete",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        mark("09:15:20", "down"),
        subscribed("09:15:40", STOCK),
        frame("09:15:41", full(STOCK, 101.0, 1500, "09:15:38", "09:15:41")),
        frame("09:15:50.500", full(STOCK, 102.0, 1600, "09:15:50")),
        frame("09:16:10.500", full(STOCK, 103.0, 1700, "09:16:10")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 102.0, 100.0, 102.0), 1600, (100_000 + 600 * 102) / 1600, 2, complete=False),
        minute(STOCK, "09:16", (103.0, 103.0, 103.0, 103.0), 100, 103.0, 1),
        # the cached packet goes to the day candle: 500 at 101, which is no tick
        full_day(
            STOCK,
            (100.0, 103.0, 100.0, 103.0),
            1700,
            (100_000 + 50_500 + 10_200 + 10_300) / 1700,
            3,
            complete=False,
        ),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:16", 0)),
)

CLOSED_BLINDLY = Case(
    name="a candle closed by the clock in silence is revised when the silence turns out to be an outage",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        mark("09:15:12", "clock"),
        mark("09:16:03", "clock"),
        mark("09:16:05", "down"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1, complete=False, rev=1),
        full_day(STOCK, FLAT, 1000, 100.0, 1, complete=False),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1)),
)

CLOSED_KNOWINGLY = Case(
    name="a candle closed while the server still spoke stays complete",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        text("09:16:03"),
        mark("09:16:05", "down"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        full_day(STOCK, FLAT, 1000, 100.0, 1, complete=False),
    ),
    events=((SMALL, "1m", "09:15", 0),),
)

CLOSED_BY_TRADE = Case(
    name="a candle closed by the last frame before the outage stays complete, though its grace was not over",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        frame("09:16:01.500", full(STOCK, 101.0, 1100, "09:16:01")),
        mark("09:16:05", "down"),
        mark("09:17:03", "clock"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1, complete=False),
        full_day(STOCK, (100.0, 101.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2, complete=False),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:16", 0)),
)

OLD_BASELINE = Case(
    name="a cached packet older than what is known lowers nothing; the range it brings is no candle's but the day's",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10", day=FLAT[:3])),
        mark("09:15:20", "down"),
        subscribed("09:15:30", STOCK),
        frame("09:15:31", full(STOCK, 100.0, 900, "09:15:08", "09:15:09", day=(100.0, 102.0, 99.0))),
        frame("09:16:05.500", full(STOCK, 101.0, 1100, "09:16:05", day=(100.0, 102.0, 99.0))),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1, complete=False),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1),
        full_day(STOCK, (100.0, 102.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2, complete=False),
    ),
)

UP_WHILE_UP = Case(
    name="`up` while up and `subscribed` while up are outages",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        mark("09:15:30", "up"),
        subscribed("09:15:31", STOCK),
        frame("09:15:32", full(STOCK, 100.0, 1000, "09:15:10", "09:15:32")),
        frame("09:16:10.500", full(STOCK, 101.0, 1200, "09:16:10")),
        subscribed("09:16:30", STOCK),
        frame("09:16:31", full(STOCK, 101.0, 1200, "09:16:10", "09:16:31")),
        frame("09:17:05.500", full(STOCK, 102.0, 1300, "09:17:05")),
        heartbeat("09:18:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1, complete=False),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 200, 101.0, 1, complete=False),
        minute(STOCK, "09:17", (102.0, 102.0, 102.0, 102.0), 100, 102.0, 1),
        full_day(STOCK, (100.0, 102.0, 100.0, 102.0), 1300, (100_000 + 20_200 + 10_200) / 1300, 3, complete=False),
    ),
)

RECEIVED_WHILE_DOWN = Case(
    name="a frame that comes while the feed is down makes an incomplete candle",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        mark("09:15:30", "down"),
        frame("09:16:10.500", full(STOCK, 100.0, 1000, "09:16:10")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:16", FLAT, 1000, 100.0, 1, complete=False),
        full_day(STOCK, FLAT, 1000, 100.0, 1, complete=False),
    ),
)

NOT_NAMED_YET = Case(
    name="before a `subscribed` mark names it, a token is unknown",
    instruments=(STOCK,),
    entries=entries(
        frame("09:13:00", full(STOCK, 100.0, 900, "09:08:00", "09:12:59")),
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        full_day(STOCK, FLAT, 1000, 100.0, 1),
    ),
    rejected={"token": 1},
)

CLOSING_ORDER = Case(
    name="the clock closes instruments in the order named, timeframes in the order listed",
    instruments=(STOCK, FUTURE),
    settings=ReferenceSettings(timeframes=(("1m", 60_000), ("2m", 120_000))),
    entries=entries(
        *opening(FUTURE, STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10"), full(FUTURE, 100.0, 50, "09:15:10", oi=700)),
        mark("09:17:03", "clock"),
    ),
    expected=(
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        Expected(SMALL, "2m", "09:15", "09:17", *FLAT, 1000, 100.0, 1),
        minute(FUTURE, "09:15", FLAT, 50, 100.0, 1, oi=700),
        Expected(NEAR, "2m", "09:15", "09:17", *FLAT, 50, 100.0, 1, oi=700),
    ),
    events=(
        (NEAR, "1m", "09:15", 0),
        (NEAR, "2m", "09:15", 0),
        (SMALL, "1m", "09:15", 0),
        (SMALL, "2m", "09:15", 0),
    ),
)

CASES = (
    OUTAGE,
    CLOSED_BLINDLY,
    CLOSED_KNOWINGLY,
    CLOSED_BY_TRADE,
    OLD_BASELINE,
    UP_WHILE_UP,
    RECEIVED_WHILE_DOWN,
    NOT_NAMED_YET,
    CLOSING_ORDER,
)
