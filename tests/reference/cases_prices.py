"""Cases: the day range, the checks before aggregation, and the z-score."""

from __future__ import annotations

from tests.reference.case_building import (
    FUTURE,
    INDEX,
    STOCK,
    Case,
    Said,
    entries,
    frame,
    full,
    heartbeat,
    index_quote,
    minute,
    opening,
    pack,
    quote,
    raw_frame,
    subscribed,
    whole_day,
)
from tests.reference.inputs import ReferenceSettings

FLAT = (100.0, 100.0, 100.0, 100.0)

EXTENDED = Case(
    name="a day range that moved extends the candle, except the first time it is seen",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=(100.0, 101.0, 99.0))),
        frame("09:15:10.500", full(STOCK, 100.5, 1100, "09:15:10", day=(100.0, 103.0, 98.0))),
        frame("09:16:05.500", full(STOCK, 101.0, 1200, "09:16:05", day=(100.0, 103.0, 98.0))),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 103.0, 98.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1),
        whole_day(STOCK, (100.0, 103.0, 98.0, 101.0), 1200, (110_050 + 10_100) / 1200, 3),
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
        minute(STOCK, "09:15", FLAT, 1000, 100.0, 1),
        minute(STOCK, "09:16", (101.0, 102.0, 101.0, 101.0), 100, 101.0, 1),
        whole_day(STOCK, (100.0, 102.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
    ),
)

REJECTED = Case(
    name="every reason for rejection once; the packets around the bad ones are taken",
    instruments=(STOCK, INDEX),
    entries=entries(
        subscribed("09:14:00", STOCK, INDEX),
        # a crossed book before the open is an auction's, and no fault: this is the baseline
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
        whole_day(STOCK, (100.0, 100.5, 100.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
    ),
    rejected={"length": 3, "token": 1, "price": 1, "range": 1, "time": 2, "crossed": 1},
)

TORN = Case(
    name="a torn frame is read as far as its packets are whole",
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
        whole_day(STOCK, (100.0, 101.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
    ),
    rejected={"frame": 3},
)

# Five trades at 100: mean 10000, deviation 0, floor 10 ticks of 0.05 = 50 units.
# A price is warned of beyond 1.25 from the mean and rejected beyond 2.00.
Z_SETTINGS = ReferenceSettings(timeframes=(("1m", 60_000),), z_window=10, z_min_ticks=5)


def five_at_100() -> tuple[Said, ...]:
    return *opening(STOCK), *(step(100.0, 100 * count, f"09:15:0{count}") for count in range(1, 6))


def step(price: float, volume: int, clock: str, exchange: str = "") -> Said:
    return frame(f"{exchange or clock}.500", full(STOCK, price, volume, clock, exchange))


Z_REJECTED = Case(
    name="z-score: an outlier is rejected and its volume comes with the next trade; a lesser one is warned of",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(),
        step(102.5, 600, "09:15:06"),
        step(100.0, 700, "09:15:07"),
        step(101.5, 800, "09:15:08"),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", (100.0, 101.5, 100.0, 101.5), 800, (70_000 + 10_150) / 800, 7),),
    rejected={"zscore": 1},
    counts={"warned": 2},
    choice="`z > ZSCORE_WARN is counted`: of the rejected too",
)

Z_ACCEPTED = Case(
    name="z-score: a level that persists is accepted at the third packet",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(),
        step(110.0, 600, "09:15:06"),
        step(110.5, 700, "09:15:07"),
        step(111.0, 800, "09:15:08"),
        step(111.0, 900, "09:15:09"),
        # the window holds two prices now: nothing is checked
        step(150.0, 1000, "09:15:10"),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", (100.0, 150.0, 100.0, 150.0), 1000, (50_000 + 400 * 111 + 15_000) / 1000, 8),),
    rejected={"zscore": 2},
)

Z_SUSPECTS = Case(
    name="z-score: the same packet again does not count, a far price and a good trade start the count anew",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(),
        step(110.0, 600, "09:15:06"),
        step(110.0, 600, "09:15:06", "09:15:07"),
        step(110.0, 700, "09:15:08"),
        step(120.0, 800, "09:15:09"),
        step(120.0, 900, "09:15:10"),
        step(100.0, 1000, "09:15:11"),
        step(120.0, 1100, "09:15:12"),
        step(120.0, 1200, "09:15:13"),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", FLAT, 1000, 100.0, 6),),
    rejected={"zscore": 7},
)

Z_LATE = Case(
    name="z-score: late packets are checked, but are no suspects and never persist",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(),
        frame("09:15:05.600", full(STOCK, 110.0, 351, "09:15:03")),
        frame("09:15:05.700", full(STOCK, 110.0, 352, "09:15:03")),
        frame("09:15:05.800", full(STOCK, 110.0, 353, "09:15:03")),
        step(110.0, 600, "09:15:06"),
        # a good late trade is none of the window's business: it does not clear the suspect either
        frame("09:15:06.700", full(STOCK, 100.5, 310, "09:15:03")),
        step(110.0, 700, "09:15:07"),
        step(110.0, 800, "09:15:08"),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", (100.0, 110.0, 100.0, 110.0), 800, (50_000 + 300 * 110) / 800, 7),),
    rejected={"zscore": 5},
)

CASES = (EXTENDED, EXTENDED_LATER, REJECTED, TORN, Z_REJECTED, Z_ACCEPTED, Z_SUSPECTS, Z_LATE)
