"""Cases: the rolling z-score."""

from __future__ import annotations

from dataclasses import replace

from tests.reference.case_building import (
    FUTURE,
    STOCK,
    Case,
    CaseEntry,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    ltp,
    minute,
    opening,
    subscribed,
)
from tests.reference.inputs import ReferenceSettings

FLAT = (100.0, 100.0, 100.0, 100.0)

# Five trades at 100: mean 10000, deviation 0, floor 10 ticks of 0.05 = 50 units.
# A price is warned of beyond 1.25 from the mean and doubted beyond 2.00.
Z_SETTINGS = ReferenceSettings(timeframes=(("1m", 60_000),), z_window=10, z_min_ticks=5)
Z_THREE_TIMES = replace(Z_SETTINGS, z_accept_after=3)


def five_at_100(day: tuple[float, float, float] = (0, 0, 0)) -> tuple[CaseEntry, ...]:
    return *opening(STOCK), *(step(100.0, 100 * count, f"09:15:0{count}", day=day) for count in range(1, 6))


def step(
    price: float,
    volume: int,
    clock: str,
    *,
    day: tuple[float, float, float] = (0, 0, 0),
    book: tuple[float, float] = (0, 0),
) -> CaseEntry:
    return frame(f"{clock}.500", full(STOCK, price, volume, clock, day=day, book=book))


REJECTED = Case(
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
    choice="`z > ZSCORE_WARN is counted`: of the doubted too",
)

ACCEPTED = Case(
    name="z-score: a level that the next packet keeps is accepted, from its first packet on",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(),
        step(110.0, 600, "09:15:06"),
        # nearer to 110.0 than to 100.0: both count, and the window is emptied before the first
        step(110.5, 700, "09:15:07"),
        step(111.0, 800, "09:15:08"),
        step(111.0, 900, "09:15:09"),
        # the window holds four prices now: nothing is checked
        step(150.0, 1000, "09:15:10"),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(
            STOCK,
            "09:15",
            (100.0, 150.0, 100.0, 150.0),
            1000,
            (50_000 + 11_000 + 11_050 + 11_100 + 11_100 + 15_000) / 1000,
            10,
        ),
    ),
    counts={"held": 1, "believed_persists": 1},
)

ACCEPTED_THIRD = Case(
    name="z-score: a level that persists is accepted at the third packet where the setting is three",
    instruments=(STOCK,),
    settings=Z_THREE_TIMES,
    entries=entries(
        *five_at_100(),
        step(110.0, 600, "09:15:06"),
        # persists, the second of three: 110.0 is rejected, 110.5 is held in its place
        step(110.5, 700, "09:15:07"),
        # the third: 110.5 counts, with the 200 since 500
        step(111.0, 800, "09:15:08"),
        step(111.0, 900, "09:15:09"),
        step(150.0, 1000, "09:15:10"),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(
            STOCK,
            "09:15",
            (100.0, 150.0, 100.0, 150.0),
            1000,
            (50_000 + 200 * 110.5 + 11_100 + 11_100 + 15_000) / 1000,
            9,
        ),
    ),
    rejected={"zscore": 1},
)

COUNTED = Case(
    name="z-score: the same packet again does not count, a price that goes back starts the count anew",
    instruments=(STOCK,),
    settings=Z_THREE_TIMES,
    entries=entries(
        *five_at_100(),
        step(110.0, 600, "09:15:06"),
        step(110.0, 600, "09:15:06"),
        # the second of three
        step(110.5, 700, "09:15:08"),
        # not nearer to 110.5: that is rejected, this one is a trade with the 300 since 500
        step(100.5, 800, "09:15:09"),
        # the first, the second, and with the third the second counts: 200 since 800
        step(120.0, 900, "09:15:10"),
        step(121.0, 1000, "09:15:11"),
        step(122.0, 1100, "09:15:12"),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(
            STOCK,
            "09:15",
            (100.0, 122.0, 100.0, 122.0),
            1100,
            (50_000 + 300 * 100.5 + 200 * 121 + 12_200) / 1100,
            8,
        ),
    ),
    rejected={"zscore": 3},
    counts={"repetitions": 1},
)

LATE = Case(
    name="z-score: late packets are checked, but are never held, never judge and never persist",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(),
        frame("09:15:05.600", full(STOCK, 110.0, 351, "09:15:03")),
        frame("09:15:05.700", full(STOCK, 110.0, 352, "09:15:03")),
        frame("09:15:05.800", full(STOCK, 110.0, 353, "09:15:03")),
        step(110.0, 600, "09:15:06"),
        # a good late trade does not judge: 110.0 is held still
        frame("09:15:06.700", full(STOCK, 100.5, 310, "09:15:03")),
        step(110.0, 700, "09:15:07"),
        step(110.0, 800, "09:15:08"),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", (100.0, 110.0, 100.0, 110.0), 800, (50_000 + 300 * 110) / 800, 9),),
    rejected={"zscore": 3},
)

DRAGGED_RANGE = Case(
    name="a misprint that drags its own day range along is rejected by the next packet, whose range is the old one",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(day=FLAT[:3]),
        step(110.0, 600, "09:15:06", day=(100.0, 110.0, 100.0)),
        step(100.0, 700, "09:15:07", day=FLAT[:3]),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", FLAT, 700, 100.0, 6),),
    rejected={"zscore": 1},
)

INSIDE_THE_DAY = Case(
    name="a jump to where the day has been counts when the next packet has no book to contradict it",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(day=(100.0, 115.0, 95.0)),
        step(110.0, 600, "09:15:06", day=(100.0, 115.0, 95.0)),
        step(100.0, 700, "09:15:07", day=(100.0, 115.0, 95.0)),
        heartbeat("09:16:03"),
    ),
    # 115.0 and 95.0: the first trade of the day holds the day's range
    expected=(minute(STOCK, "09:15", (100.0, 115.0, 95.0, 100.0), 700, (60_000 + 11_000) / 700, 7),),
    counts={"held": 1, "believed_been_there": 1},
)

LEVEL_INSIDE_THE_DAY = Case(
    name="a level inside the old day range that persists, without a book: from its first packet on",
    instruments=(STOCK,),
    settings=Z_THREE_TIMES,
    entries=entries(
        *five_at_100(day=(100.0, 115.0, 95.0)),
        # the setting is three, but the day has been there: the second is enough
        step(110.0, 600, "09:15:06", day=(100.0, 115.0, 95.0)),
        step(110.5, 700, "09:15:07", day=(100.0, 115.0, 95.0)),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", (100.0, 115.0, 95.0, 110.5), 700, (50_000 + 11_000 + 11_050) / 700, 7),),
)

GAINSAID = Case(
    name="a jump to where the day has been is rejected by a book that is elsewhere",
    instruments=(STOCK,),
    settings=Z_SETTINGS,
    entries=entries(
        *five_at_100(day=(100.0, 115.0, 95.0)),
        step(110.0, 600, "09:15:06", day=(100.0, 115.0, 95.0)),
        step(100.0, 700, "09:15:07", day=(100.0, 115.0, 95.0), book=(99.9, 100.1)),
        heartbeat("09:16:03"),
    ),
    expected=(minute(STOCK, "09:15", (100.0, 115.0, 95.0, 100.0), 700, 100.0, 6),),
    rejected={"zscore": 1},
)

BY_THE_BOOK = Case(
    name="a price far outside its own book is doubted, however few prices there are; one just near enough counts",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        # outside by 5.00: not more than a twentieth of the ask, which is more than 4 spreads and more than 10 ticks
        frame("09:15:08.500", full(STOCK, 105.2, 1050, "09:15:08", book=(100.0, 100.2))),
        frame("09:15:10.500", full(STOCK, 105.25, 1100, "09:15:10", book=(100.0, 100.2))),
        frame("09:15:11.500", full(STOCK, 100.1, 1200, "09:15:11", book=(100.0, 100.2))),
        heartbeat("09:16:03"),
    ),
    expected=(
        # 50 at 105.2, and the 150 since at 100.1
        minute(STOCK, "09:15", (100.0, 105.2, 100.0, 100.1), 1200, (100_000 + 50 * 105.2 + 150 * 100.1) / 1200, 3),
        full_day(STOCK, (100.0, 105.2, 100.0, 100.1), 1200, (100_000 + 50 * 105.2 + 150 * 100.1) / 1200, 3),
    ),
    rejected={"zscore": 1},
)

PRICES_ALONE = Case(
    name="ltp mode: a price that jumped and stays is judged by the same price again",
    instruments=(FUTURE,),
    settings=Z_SETTINGS,
    entries=entries(
        subscribed("09:14:00", FUTURE),
        frame("09:14:01", ltp(FUTURE, 99.0)),
        *(frame(f"09:15:0{count}", ltp(FUTURE, 100.0)) for count in range(1, 6)),
        frame("09:15:06", ltp(FUTURE, 110.0)),
        frame("09:15:07", ltp(FUTURE, 110.0)),
        heartbeat("09:16:03"),
    ),
    expected=(minute(FUTURE, "09:15", (100.0, 110.0, 100.0, 110.0), None, None, 7, timed_by="receive"),),
)

CASES = (
    REJECTED,
    ACCEPTED,
    ACCEPTED_THIRD,
    COUNTED,
    LATE,
    DRAGGED_RANGE,
    INSIDE_THE_DAY,
    LEVEL_INSIDE_THE_DAY,
    GAINSAID,
    BY_THE_BOOK,
    PRICES_ALONE,
)
