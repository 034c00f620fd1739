"""Cases: indices, derivatives and currencies, and the modes without a time of their own."""

from __future__ import annotations

from tests.reference.case_building import (
    CURRENCY,
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
    index_quote,
    ltp,
    minute,
    opening,
    quote,
    subscribed,
)

INDEX_FULL = Case(
    name="index: every packet is a price, volume is none",
    instruments=(INDEX,),
    entries=entries(
        subscribed("09:14:00", INDEX),
        frame("09:14:01", index_full(INDEX, 24900.0, "yesterday")),
        frame("09:15:01.500", index_full(INDEX, 25000.0, "09:15:01", (25000.0, 25000.0, 25000.0))),
        frame("09:15:02.500", index_full(INDEX, 25010.0, "09:15:02", (25000.0, 25015.0, 25000.0))),
        frame("09:15:03", index_full(INDEX, 25010.0, "09:15:02", (25000.0, 25015.0, 25000.0))),
        frame("09:16:01.500", index_full(INDEX, 25005.0, "09:16:01", (25000.0, 25015.0, 25000.0))),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(INDEX, "09:15", (25000.0, 25015.0, 25000.0, 25010.0), None, None, 3),
        minute(INDEX, "09:16", (25005.0, 25005.0, 25005.0, 25005.0), None, None, 1),
        full_day(INDEX, (25000.0, 25015.0, 25000.0, 25005.0), None, None, 4),
    ),
)

INDEX_MID_SESSION = Case(
    name="index in mid-session: the cached packet gives the day its open and range",
    instruments=(INDEX,),
    entries=entries(
        subscribed("11:00:10", INDEX),
        frame("11:00:11", index_full(INDEX, 25000.0, "11:00:10", (24900.0, 25100.0, 24800.0))),
        frame("11:00:12.500", index_full(INDEX, 25001.0, "11:00:12", (24900.0, 25100.0, 24800.0))),
        heartbeat("11:01:03"),
    ),
    expected=(
        minute(INDEX, "11:00", (25001.0, 25001.0, 25001.0, 25001.0), None, None, 1, complete=False),
        full_day(INDEX, (24900.0, 25100.0, 24800.0, 25001.0), None, None, 1, complete=False),
    ),
)

INDEX_QUOTE = Case(
    name="index in quote mode: timed by receipt",
    instruments=(INDEX,),
    entries=entries(
        subscribed("08:59:00", INDEX),
        frame("08:59:01", index_quote(INDEX, 24900.0)),
        frame("09:15:01.500", index_quote(INDEX, 25000.0)),
        frame("09:15:30", index_quote(INDEX, 25020.0)),
        frame("09:16:00", index_quote(INDEX, 25010.0)),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(INDEX, "09:15", (25000.0, 25020.0, 25000.0, 25020.0), None, None, 2, timed_by="receive"),
        minute(INDEX, "09:16", (25010.0, 25010.0, 25010.0, 25010.0), None, None, 1, timed_by="receive"),
        full_day(INDEX, (25000.0, 25020.0, 25000.0, 25010.0), None, None, 3, timed_by="receive"),
    ),
)

QUOTE = Case(
    name="quote mode: a moved price or grown volume is a trade, timed by receipt; yesterday's volume is rebased away",
    instruments=(STOCK,),
    entries=entries(
        subscribed("08:59:00", STOCK),
        frame("08:59:01", quote(STOCK, 99.0, 500_000)),
        frame("09:15:02", quote(STOCK, 100.0, 1000)),
        frame("09:15:10", quote(STOCK, 101.0, 1300)),
        frame("09:15:12", quote(STOCK, 101.0, 1300)),
        frame("09:16:05", quote(STOCK, 102.0, 1400)),
        heartbeat("09:17:03"),
    ),
    expected=(
        # 100.0 rebases 500 000 to 1 000, and is a price that moved (99.0 before): undated, without volume of its own
        minute(STOCK, "09:15", (100.0, 101.0, 100.0, 101.0), 300, 101.0, 2, timed_by="receive"),
        minute(STOCK, "09:16", (102.0, 102.0, 102.0, 102.0), 100, 102.0, 1, timed_by="receive"),
        full_day(
            STOCK, (100.0, 102.0, 100.0, 102.0), 1400, (100_000 + 30_300 + 10_200) / 1400, 3, timed_by="receive"
        ),
    ),
    counts={"rebased": 1},
)

LTP = Case(
    name="ltp mode: a price each time, neither volume nor open interest",
    instruments=(FUTURE,),
    entries=entries(
        subscribed("08:59:00", FUTURE),
        frame("08:59:01", ltp(FUTURE, 99.0)),
        frame("09:15:05", ltp(FUTURE, 100.0)),
        frame("09:15:10", ltp(FUTURE, 100.0)),
        frame("09:16:01", ltp(FUTURE, 101.0)),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(FUTURE, "09:15", (100.0, 100.0, 100.0, 100.0), None, None, 2, timed_by="receive"),
        minute(FUTURE, "09:16", (101.0, 101.0, 101.0, 101.0), None, None, 1, timed_by="receive"),
        full_day(FUTURE, (100.0, 101.0, 100.0, 101.0), None, None, 3, timed_by="receive"),
    ),
)

OPEN_INTEREST = Case(
    name="open interest is that of the last in-order trade of a derivative, and none for a stock",
    instruments=(FUTURE, STOCK),
    entries=entries(
        *opening(FUTURE, STOCK),
        frame("09:15:05.500", full(FUTURE, 100.0, 1000, "09:15:05", oi=700)),
        frame("09:15:10.500", full(FUTURE, 101.0, 1100, "09:15:10", oi=650)),
        frame("09:15:11", full(FUTURE, 99.0, 900, "09:15:03", oi=999)),
        frame("09:15:12.500", full(STOCK, 100.0, 10, "09:15:12", oi=5)),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(FUTURE, "09:15", (99.0, 101.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 3, oi=650),
        full_day(FUTURE, (99.0, 101.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 3, oi=650),
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 10, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 10, 100.0, 1),
    ),
)

BASELINE_INTEREST = Case(
    name="a day candle made of the cached packet alone: no tick, its open interest",
    instruments=(FUTURE,),
    entries=entries(
        subscribed("11:00:10", FUTURE),
        frame("11:00:11", full(FUTURE, 100.0, 5000, "11:00:05", "11:00:11", average=100.0, oi=800)),
        heartbeat("11:01:03"),
    ),
    expected=(full_day(FUTURE, (100.0, 100.0, 100.0, 100.0), 5000, 100.0, 0, oi=800, complete=False),),
    choice="a baseline that opens or closes the day candle gives it its open interest",
)

CURRENCY_FUTURE = Case(
    name="a currency: another divisor, another session; the day began before the feed did",
    instruments=(CURRENCY,),
    entries=entries(
        *opening(CURRENCY),
        frame("09:15:05.500", full(CURRENCY, 84.1025, 10, "09:15:05", oi=3)),
        frame("09:15:06.500", full(CURRENCY, 84.105, 15, "09:15:06", oi=4)),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(CURRENCY, "09:15", (84.1025, 84.105, 84.1025, 84.105), 15, (841.025 + 5 * 84.105) / 15, 2, oi=4),
        full_day(
            CURRENCY,
            (84.1025, 84.105, 84.1025, 84.105),
            15,
            (841.025 + 5 * 84.105) / 15,
            2,
            oi=4,
            complete=False,
        ),
    ),
)

CASES = (
    INDEX_FULL,
    INDEX_MID_SESSION,
    INDEX_QUOTE,
    QUOTE,
    LTP,
    OPEN_INTEREST,
    BASELINE_INTEREST,
    CURRENCY_FUTURE,
)
