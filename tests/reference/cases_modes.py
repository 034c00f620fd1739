"""Cases: a subscription that starts in quote mode and becomes full, as the official client's does."""

from __future__ import annotations

from tests.reference.case_building import (
    INDEX,
    STOCK,
    Case,
    cached,
    entries,
    frame,
    full,
    full_day,
    index_full,
    index_quote,
    ltp,
    mark,
    minute,
    quote,
    subscribed,
)

YESTERDAY = (98.0, 101.0, 97.0)
TODAY = (99.0, 101.0, 98.0)

BEFORE_THE_OPEN = Case(
    name="yesterday's cached quote before the open leaves no trace",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:05:00", STOCK),
        frame("09:05:01", quote(STOCK, 99.0, 500_000, day=YESTERDAY)),
        frame("09:05:02", cached(STOCK)),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100, 100, 100))),
        mark("09:16:03", "clock"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
    ),
)

IN_MID_SESSION = Case(
    name="a cached quote and then a cached full packet in mid-session: no trade, and the day as the exchange has it",
    instruments=(STOCK,),
    entries=entries(
        subscribed("11:00:02", STOCK),
        frame("11:00:02.100", quote(STOCK, 100.0, 50_000, day=TODAY)),
        frame("11:00:02.200", full(STOCK, 100.0, 50_000, "10:58:30", "11:00:02", day=TODAY, average=99.5)),
        frame("11:00:06", full(STOCK, 100.5, 50_100, "11:00:05", day=TODAY, average=99.5)),
        mark("11:01:03", "clock"),
    ),
    expected=(
        minute(STOCK, "11:00", (100.5, 100.5, 100.5, 100.5), 100, 100.5, 1, complete=False),
        full_day(
            STOCK, (99.0, 101.0, 98.0, 100.5), 50_100, (50_000 * 99.5 + 100 * 100.5) / 50_100, 1, complete=False
        ),
    ),
)

TRADED_IN_BETWEEN = Case(
    name="a trade between the cached quote and the first full packet is a trade",
    instruments=(STOCK,),
    entries=entries(
        subscribed("11:00:02", STOCK),
        frame("11:00:02.100", quote(STOCK, 100.0, 50_000, day=TODAY)),
        frame("11:00:04", full(STOCK, 100.5, 50_100, "11:00:03", day=TODAY, average=99.5)),
        mark("11:01:03", "clock"),
    ),
    expected=(
        minute(STOCK, "11:00", (100.5, 100.5, 100.5, 100.5), 100, 100.5, 1, complete=False),
        full_day(STOCK, (99.0, 101.0, 98.0, 100.5), 50_100, 99.5, 1, complete=False),
    ),
)

PRICE_ONLY_FIRST = Case(
    name="a cached 8-byte packet books no day: the first packet with volume is cached too",
    instruments=(STOCK,),
    entries=entries(
        subscribed("11:00:02", STOCK),
        frame("11:00:02.100", ltp(STOCK, 100.0)),
        frame("11:00:02.200", full(STOCK, 100.0, 50_000, "10:58:30", "11:00:02", day=TODAY, average=99.5)),
        frame("11:00:06", full(STOCK, 100.5, 50_100, "11:00:05", day=TODAY, average=99.5)),
        mark("11:01:03", "clock"),
    ),
    expected=(
        minute(STOCK, "11:00", (100.5, 100.5, 100.5, 100.5), 100, 100.5, 1, complete=False),
        full_day(
            STOCK, (99.0, 101.0, 98.0, 100.5), 50_100, (50_000 * 99.5 + 100 * 100.5) / 50_100, 1, complete=False
        ),
    ),
)

INDEX_BOTH = Case(
    name="an index: the cached quote and the first packet with a time are both cached",
    instruments=(INDEX,),
    entries=entries(
        subscribed("11:00:02", INDEX),
        frame("11:00:02.100", index_quote(INDEX, 100.0, TODAY)),
        frame("11:00:02.200", index_full(INDEX, 100.0, "10:59:59", TODAY)),
        frame("11:00:03", index_full(INDEX, 100.5, "11:00:02", TODAY)),
        mark("11:01:03", "clock"),
    ),
    expected=(
        minute(INDEX, "11:00", (100.5, 100.5, 100.5, 100.5), None, None, 1, complete=False),
        full_day(INDEX, (99.0, 101.0, 98.0, 100.5), None, None, 1, complete=False),
    ),
)

WITHOUT_A_TIME = Case(
    name="yesterday's cached quote, then its full form without a time: the day's first trade is not swallowed",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:05:00", STOCK),
        frame("09:05:01", quote(STOCK, 99.0, 500_000, day=YESTERDAY)),
        frame("09:05:02", full(STOCK, 99.0, 500_000, "yesterday", "-", day=YESTERDAY)),
        # once more: no form of the quote any longer
        frame("09:05:03", full(STOCK, 99.0, 500_000, "yesterday", "-", day=YESTERDAY)),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100, 100, 100), average=100.0)),
        mark("09:16:03", "clock"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
    ),
    rejected={"time": 1},
)

QUOTE_OF_ANOTHER_SUBSCRIPTION = Case(
    name="yesterday's cached quote, and after a new subscription its full form: the first trade is not swallowed",
    instruments=(STOCK,),
    entries=entries(
        subscribed("08:50:00", STOCK),
        frame("08:50:01", quote(STOCK, 99.0, 500_000, day=YESTERDAY)),
        subscribed("09:05:00", STOCK),
        frame("09:05:01", full(STOCK, 99.0, 500_000, "yesterday", "09:05:00", day=YESTERDAY)),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100, 100, 100))),
        mark("09:16:03", "clock"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
    ),
)

CASES = (
    BEFORE_THE_OPEN,
    IN_MID_SESSION,
    TRADED_IN_BETWEEN,
    PRICE_ONLY_FIRST,
    INDEX_BOTH,
    WITHOUT_A_TIME,
    QUOTE_OF_ANOTHER_SUBSCRIPTION,
)
