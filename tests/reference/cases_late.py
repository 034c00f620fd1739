"""Cases: packets that come late, and what they may still change."""

from __future__ import annotations

from tests.reference.case_building import (
    INDEX,
    STOCK,
    Case,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    index_full,
    minute,
    opening,
    subscribed,
    text,
)

SMALL = STOCK.reference.symbol

JOINS = Case(
    name="late into the open candle: may be the open or an extreme, never the close, no volume",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        frame("09:15:20.500", full(STOCK, 101.0, 1200, "09:15:20")),
        frame("09:15:21", full(STOCK, 99.0, 900, "09:15:08")),
        frame("09:15:22", full(STOCK, 102.0, 1100, "09:15:15")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (99.0, 102.0, 99.0, 101.0), 1200, (100_000 + 20_200) / 1200, 4),
        full_day(STOCK, (99.0, 102.0, 99.0, 101.0), 1200, (100_000 + 20_200) / 1200, 4),
    ),
)

AMENDS = Case(
    name="late into the last closed candle: a revision, and its volume comes from the open one",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:50.500", full(STOCK, 100.0, 1000, "09:15:50")),
        frame("09:16:01.500", full(STOCK, 101.0, 1300, "09:16:01")),
        frame("09:16:02", full(STOCK, 102.0, 1200, "09:15:59")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 102.0, 100.0, 102.0), 1200, (100_000 + 20_400) / 1200, 2, rev=1),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1),
        full_day(STOCK, (100.0, 102.0, 100.0, 101.0), 1300, (100_000 + 30_300) / 1300, 3),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1), (SMALL, "1m", "09:16", 0)),
)

AMENDS_ALONE = Case(
    name="after the clock closed it, an in-order and a late packet amend the last candle",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:50.500", full(STOCK, 100.0, 1000, "09:15:50")),
        heartbeat("09:16:03"),
        frame("09:16:04", full(STOCK, 101.0, 1100, "09:15:58")),
        frame("09:16:05", full(STOCK, 99.0, 1050, "09:15:55")),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 3, rev=2),
        full_day(STOCK, (100.0, 101.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 3),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1), (SMALL, "1m", "09:15", 2)),
)

CLOCK_EXACT = Case(
    name="the clock closes at end + grace, not a millisecond before",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        frame("09:16:02.999", full(STOCK, 101.0, 1100, "09:15:59")),
        text("09:16:03"),
        frame("09:16:04", full(STOCK, 102.0, 1200, "09:15:59", "09:16:04")),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 102.0, 100.0, 102.0), 1200, (100_000 + 10_100 + 10_200) / 1200, 3, rev=1),
        full_day(STOCK, (100.0, 102.0, 100.0, 102.0), 1200, (100_000 + 10_100 + 10_200) / 1200, 3),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1)),
)

WITHIN_GRACE = Case(
    name="a trade that comes within the grace joins its candle, though the clock passed the end",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        heartbeat("09:16:01"),
        frame("09:16:02.999", full(STOCK, 101.0, 1100, "09:15:59")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
        full_day(STOCK, (100.0, 101.0, 100.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2),
    ),
    events=((SMALL, "1m", "09:15", 0),),
)

INSERTED = Case(
    name="late into a bucket without a candle: inserted before the open one; older than that is dropped",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:50.500", full(STOCK, 100.0, 1000, "09:15:50")),
        frame("09:18:01.500", full(STOCK, 103.0, 1500, "09:18:01")),
        frame("09:18:02", full(STOCK, 102.0, 1200, "09:16:30")),
        frame("09:18:02.500", full(STOCK, 101.0, 900, "09:15:30")),
        heartbeat("09:19:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        minute(STOCK, "09:16", (102.0, 102.0, 102.0, 102.0), 200, 102.0, 1),
        minute(STOCK, "09:18", (103.0, 103.0, 103.0, 103.0), 300, 103.0, 1),
        full_day(STOCK, (101.0, 103.0, 100.0, 103.0), 1500, (100_000 + 51_500) / 1500, 4),
    ),
    counts={"late": 1},
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:16", 0), (SMALL, "1m", "09:18", 0)),
)

DROPPED = Case(
    name="late beyond the last closed candle: dropped as late, but the day candle still includes it",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:50.500", full(STOCK, 100.0, 1000, "09:15:50")),
        frame("09:16:10.500", full(STOCK, 101.0, 1100, "09:16:10")),
        heartbeat("09:17:03"),
        frame("09:17:04", full(STOCK, 99.0, 900, "09:15:40")),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        minute(STOCK, "09:16", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1),
        full_day(STOCK, (99.0, 101.0, 99.0, 101.0), 1100, (100_000 + 10_100) / 1100, 3),
    ),
    counts={"late": 1},
)

REPEATED = Case(
    name="a late copy of the newest trade is none; a late copy of an older one counts as a tick and changes nothing",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 99.5, 800, "09:15:05")),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        frame("09:15:12.500", full(STOCK, 100.0, 1000, "09:15:10", "09:15:12")),
        frame("09:15:13", full(STOCK, 100.0, 1000, "09:15:10", "09:15:11")),
        frame("09:15:14", full(STOCK, 99.5, 800, "09:15:05")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (99.5, 100.0, 99.5, 100.0), 1000, (79_600 + 20_000) / 1000, 3),
        full_day(STOCK, (99.5, 100.0, 99.5, 100.0), 1000, (79_600 + 20_000) / 1000, 3),
    ),
)

SAME_SECOND = Case(
    name="less volume within the same second is a late packet, not a correction",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        frame("09:15:10.700", full(STOCK, 101.0, 900, "09:15:10")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (101.0, 101.0, 100.0, 100.0), 1000, 100.0, 2),
        full_day(STOCK, (101.0, 101.0, 100.0, 100.0), 1000, 100.0, 2),
    ),
    counts={"rebased": 0},
)

SECOND_OF_THE_OPEN = Case(
    name="more volume within the same second is in order; a late copy of the open at another price is not the open",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 1000, "09:15:10")),
        frame("09:15:10.800", full(STOCK, 101.0, 1100, "09:15:10")),
        frame("09:15:11", full(STOCK, 99.5, 1000, "09:15:10")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 99.5, 101.0), 1100, (100_000 + 10_100) / 1100, 3),
        full_day(STOCK, (100.0, 101.0, 99.5, 101.0), 1100, (100_000 + 10_100) / 1100, 3),
    ),
)

LATE_AFTER_REBASE = Case(
    name="a rebase lowers the last closed candle too: a late packet of the old count takes no more than there is",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:50.500", full(STOCK, 100.0, 1000, "09:15:50")),
        frame("09:16:01.500", full(STOCK, 101.0, 1300, "09:16:01")),
        # lowered by 200: the closed candle is [-200, 800], the open one [800, 1100]
        frame("09:16:02.500", full(STOCK, 101.0, 1100, "09:16:01", "09:16:02")),
        frame("09:16:03", full(STOCK, 102.0, 1250, "09:15:59", "09:16:01")),
        frame("09:16:10.500", full(STOCK, 103.0, 1150, "09:16:10")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 102.0, 100.0, 102.0), 1300, (100_000 + 300 * 102) / 1300, 2, rev=1),
        minute(STOCK, "09:16", (101.0, 103.0, 101.0, 103.0), 50, 103.0, 2),
        full_day(STOCK, (100.0, 103.0, 100.0, 103.0), 1350, (100_000 + 30_300 + 5_150) / 1350, 4),
    ),
    counts={"rebased": 1},
)

LATE_OPENER = Case(
    name="a packet older than the baseline opens a candle: without volume, never below zero",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:20:10", STOCK),
        frame("09:20:11", full(STOCK, 100.0, 1000, "09:20:09", "09:20:11", average=100.0)),
        frame("09:20:12", full(STOCK, 99.0, 950, "09:20:05")),
        heartbeat("09:21:03"),
    ),
    expected=(
        minute(STOCK, "09:20", (99.0, 99.0, 99.0, 99.0), 0, None, 1, complete=False),
        full_day(STOCK, (99.0, 100.0, 99.0, 100.0), 1000, 100.0, 1, complete=False),
    ),
    choice="opened: end = open_cum = max(cum_now, base); to the letter the volume would be 950 - 1000 = -50",
)

OWN_OPEN = Case(
    name="the open that the exchange itself gave is not replaced by a late packet",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:20:10", STOCK),
        frame("09:20:11", full(STOCK, 100.0, 1000, "09:20:09", "09:20:11", day=(98.0, 102.0, 97.0), average=100.0)),
        frame("09:20:12", full(STOCK, 99.0, 950, "09:20:05", day=(98.0, 102.0, 97.0))),
        frame("09:20:30.500", full(STOCK, 101.0, 1100, "09:20:30", day=(98.0, 102.0, 97.0))),
        heartbeat("09:21:03"),
    ),
    expected=(
        minute(STOCK, "09:20", (99.0, 101.0, 99.0, 101.0), 100, 101.0, 2, complete=False),
        full_day(STOCK, (98.0, 102.0, 97.0, 101.0), 1100, (100_000 + 10_100) / 1100, 2, complete=False),
    ),
    choice="a day open given by the baseline stays; to the letter (open_T = T) the late 99.0 would take its place",
)

LOW_OPEN_INSERT = Case(
    name="inserted before a candle whose open lies below its base: no negative volume",
    instruments=(STOCK,),
    entries=entries(
        subscribed("09:20:10", STOCK),
        frame("09:20:11", full(STOCK, 100.0, 1000, "09:20:10", "09:20:11", average=100.0)),
        frame("09:20:30.500", full(STOCK, 102.0, 1010, "09:20:30")),
        frame("09:20:32", full(STOCK, 101.0, 995, "09:20:08")),
        frame("09:20:33", full(STOCK, 99.0, 990, "09:19:58")),
        heartbeat("09:21:03"),
    ),
    expected=(
        minute(STOCK, "09:19", (99.0, 99.0, 99.0, 99.0), 0, None, 1, complete=False),
        minute(STOCK, "09:20", (101.0, 102.0, 101.0, 102.0), 10, 102.0, 2, complete=False),
        full_day(STOCK, (99.0, 102.0, 99.0, 102.0), 1010, (100_000 + 1_020) / 1010, 3, complete=False),
    ),
    choice="inserted: end = max(base, ...); to the letter end = min(1000, 995) and the volume -5",
)

INDEX_CLOSE = Case(
    name="a late index value is the close of the last candle when it is its latest",
    instruments=(INDEX,),
    entries=entries(
        subscribed("09:14:00", INDEX),
        frame("09:14:01", index_full(INDEX, 25000.0, "yesterday")),
        frame("09:15:30.500", index_full(INDEX, 25010.0, "09:15:30")),
        frame("09:16:05.500", index_full(INDEX, 25020.0, "09:16:05")),
        frame("09:16:06", index_full(INDEX, 25005.0, "09:15:45")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(INDEX, "09:15", (25010.0, 25010.0, 25005.0, 25005.0), None, None, 2, rev=1),
        minute(INDEX, "09:16", (25020.0, 25020.0, 25020.0, 25020.0), None, None, 1),
        full_day(INDEX, (25010.0, 25020.0, 25005.0, 25020.0), None, None, 3),
    ),
    choice="T > close_T makes the close, late or not; `T >= close_T and in order` is read for the equal second only",
)

CASES = (
    JOINS,
    AMENDS,
    AMENDS_ALONE,
    CLOCK_EXACT,
    WITHIN_GRACE,
    INSERTED,
    DROPPED,
    REPEATED,
    SAME_SECOND,
    SECOND_OF_THE_OPEN,
    LATE_AFTER_REBASE,
    LATE_OPENER,
    OWN_OPEN,
    LOW_OPEN_INSERT,
    INDEX_CLOSE,
)
