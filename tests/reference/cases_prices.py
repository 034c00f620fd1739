"""Cases: the day range, and the checks before aggregation."""

from __future__ import annotations

from tests.reference.case_building import (
    FUTURE,
    INDEX,
    STOCK,
    Case,
    cached,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    index_quote,
    minute,
    opening,
    pack,
    quote,
    raw_frame,
    subscribed,
)

FLAT = (100.0, 100.0, 100.0, 100.0)

EXTENDED = Case(
    name="a day range that moved extends the candle, except the first time it is seen",
    instruments=(STOCK,),
    entries=entries(
        subscribed("08:59:00", STOCK),
        frame("08:59:01", cached(STOCK)),
        # the auction's volume begins the day, so the first minute is not the first trade of the day
        frame("09:08:01.500", full(STOCK, 100.0, 300, "09:08:01")),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100.0, 101.0, 99.0))),
        frame("09:16:10.500", full(STOCK, 100.5, 1100, "09:16:10", day=(100.0, 103.0, 98.0))),
        frame("09:17:05.500", full(STOCK, 101.0, 1200, "09:17:05", day=(100.0, 103.0, 98.0))),
        heartbeat("09:18:03"),
    ),
    expected=(
        # 101 and 99 are seen for the first time: they may be of the auction
        minute(STOCK, "09:15", FLAT, 700, 100.0, 1),
        minute(STOCK, "09:16", (100.5, 103.0, 98.0, 100.5), 100, 100.5, 1),
        minute(STOCK, "09:17", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1),
        full_day(STOCK, (100.0, 103.0, 98.0, 101.0), 1200, (100_000 + 10_050 + 10_100) / 1200, 4),
    ),
)

EXTENDED_LATER = Case(
    name="a range that moved on a packet that is no trade extends the candle of the next trade",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100.0, 101.0, 99.0))),
        frame("09:15:59.500", full(STOCK, 100.0, 1000, "09:15:05", "09:15:59", day=(100.0, 102.0, 99.0))),
        frame("09:16:05.500", full(STOCK, 101.0, 1100, "09:16:05", day=(100.0, 102.0, 99.0))),
        heartbeat("09:17:03"),
    ),
    expected=(
        # the first trade of the day: its day range is the candle's
        minute(STOCK, "09:15", (100.0, 101.0, 99.0, 100.0), 1000, 100.0, 1),
        minute(STOCK, "09:16", (101.0, 102.0, 101.0, 101.0), 100, 101.0, 1),
        full_day(STOCK, (100.0, 102.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
    ),
)

REJECTED = Case(
    name="every reason for rejection once; the packets around the bad ones are processed",
    instruments=(STOCK, INDEX),
    entries=entries(
        subscribed("09:14:00", STOCK, INDEX),
        # a crossed book before the open is an auction's, and no error: this is the baseline
        frame("09:14:01", full(STOCK, 99.0, 500_000, "yesterday", "09:14:00", book=(101.0, 100.0))),
        frame(
            "09:15:05.500",
            bytes(10),
            full(FUTURE, 100.0, 900, "09:15:05"),
            index_quote(STOCK, 100.0),
            quote(INDEX, 25000.0, 900),
            full(STOCK, 0.0, 900, "09:15:05"),
            full(STOCK, 105.0, 900, "09:15:05", day=(100.0, 104.0, 99.0)),
            full(STOCK, 100.0, 900, "09:15:05", "-"),
            full(STOCK, 100.0, 900, "09:17:00", "09:15:05"),
            full(STOCK, 100.0, 900, "09:15:05", book=(101.0, 100.0)),
            full(STOCK, 100.0, 1000, "09:15:05", book=(100.0, 100.0)),
        ),
        # exchange time = receive time + skew is still sane
        frame("09:15:06", full(STOCK, 100.5, 1100, "09:15:06", "09:16:06")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
        full_day(STOCK, (100.0, 100.5, 100.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
    ),
    rejected={"length": 3, "token": 1, "price": 1, "range": 1, "time": 2, "crossed": 1},
)

TORN = Case(
    name="a torn frame is read as far as its packets are complete",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        raw_frame(
            "09:15:05.500",
            pack(full(STOCK, 100.0, 1000, "09:15:05"), full(STOCK, 150.0, 1050, "09:15:05"))[:-100],
        ),
        raw_frame("09:15:06", b""),
        raw_frame("09:15:07.500", pack(full(STOCK, 101.0, 1100, "09:15:07")) + b"xx"),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
        full_day(STOCK, (100.0, 101.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
    ),
    rejected={"frame": 3},
)

CASES = (EXTENDED, EXTENDED_LATER, REJECTED, TORN)
