"""Cases: what is a trade, whose volume it is, and which session counts it."""

from __future__ import annotations

from tests.reference.case_building import (
    FNO_STOCK,
    STOCK,
    Case,
    Expected,
    cached,
    entries,
    frame,
    full,
    full_day,
    heartbeat,
    mark,
    minute,
    opening,
    subscribed,
)
from tests.reference.inputs import ReferenceSettings

SMALL, LARGE = STOCK.reference.symbol, FNO_STOCK.reference.symbol

BASELINE = Case(
    name="yesterday's cached packet is a baseline, never a trade",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.900", full(STOCK, 100.00, 1000, "09:15:05")),
        frame("09:15:20.900", full(STOCK, 100.50, 1500, "09:15:20")),
        frame("09:16:02.900", full(STOCK, 99.50, 1700, "09:16:02")),
        mark("09:17:03", "clock"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.5, 100.0, 100.5), 1500, (1000 * 100 + 500 * 100.5) / 1500, 2),
        minute(STOCK, "09:16", (99.5, 99.5, 99.5, 99.5), 200, 99.5, 1),
        full_day(STOCK, (100.0, 100.5, 99.5, 99.5), 1700, (100_000 + 50_250 + 19_900) / 1700, 3),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:16", 0)),
)

NOT_A_TRADE = Case(
    name="a repeated packet and a change of depth are not trades",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        frame("09:15:06", full(STOCK, 100.0, 1000, "09:15:05")),
        frame("09:15:07.500", full(STOCK, 100.0, 1000, "09:15:05", "09:15:07")),
        frame("09:15:09.500", full(STOCK, 100.0, 1000, "09:15:03", "09:15:09")),
        frame("09:15:11.500", full(STOCK, 100.0, 1000, "09:15:05", "09:15:11")),
        frame("09:16:04", full(STOCK, 100.0, 1000, "09:15:05", "09:16:03")),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
    ),
)

TIME_MOVED = Case(
    name="a trade time that moved is a trade, though the volume stands",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        frame("09:15:08.500", full(STOCK, 100.2, 1000, "09:15:08")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.2, 100.0, 100.2), 1000, 100.0, 2),
        full_day(STOCK, (100.0, 100.2, 100.0, 100.2), 1000, 100.0, 2),
    ),
)

EMPTY_BUCKETS = Case(
    name="volume is a difference across buckets, and no trade makes no candle",
    instruments=(STOCK,),
    settings=ReferenceSettings(timeframes=(("1m", 60_000), ("5m", 300_000))),
    entries=entries(
        *opening(STOCK),
        frame("09:15:10.500", full(STOCK, 100.0, 100, "09:15:10")),
        frame("09:19:50.500", full(STOCK, 101.0, 250, "09:19:50")),
        frame("09:21:00.500", full(STOCK, 102.0, 300, "09:21:00")),
        heartbeat("09:22:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 100, 100.0, 1),
        minute(STOCK, "09:19", (101.0, 101.0, 101.0, 101.0), 150, 101.0, 1),
        minute(STOCK, "09:21", (102.0, 102.0, 102.0, 102.0), 50, 102.0, 1),
        Expected(SMALL, "5m", "09:15", "09:20", 100.0, 101.0, 100.0, 101.0, 250, (10_000 + 15_150) / 250, 2),
        Expected(SMALL, "5m", "09:20", "09:25", 102.0, 102.0, 102.0, 102.0, 50, 102.0, 1, closed=False),
    ),
)

PRE_OPEN = Case(
    name="the pre-open goes to the day and to no other candle",
    instruments=(STOCK,),
    entries=entries(
        subscribed("08:59:00", STOCK),
        frame("08:59:01", cached(STOCK)),
        frame("09:08:01.500", full(STOCK, 101.0, 300, "09:08:01")),
        frame("09:15:01.500", full(STOCK, 100.0, 400, "09:15:01")),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 100, 100.0, 1),
        full_day(STOCK, (101.0, 101.0, 100.0, 100.0), 400, (30_300 + 10_000) / 400, 2),
    ),
)

MID_SESSION = Case(
    name="a start in mid-session books the day's volume to the day, and to no other candle",
    instruments=(STOCK,),
    entries=entries(
        subscribed("11:00:10", STOCK),
        frame("11:00:11", full(STOCK, 100.0, 100_000, "11:00:05", "11:00:11", day=(98.0, 102.0, 97.0), average=99.0)),
        frame("11:00:20.500", full(STOCK, 101.0, 100_100, "11:00:20", day=(98.0, 102.0, 97.0))),
        frame("11:01:05.500", full(STOCK, 100.0, 100_150, "11:01:05", day=(98.0, 102.0, 97.0))),
        heartbeat("11:02:03"),
    ),
    expected=(
        minute(STOCK, "11:00", (101.0, 101.0, 101.0, 101.0), 100, 101.0, 1, complete=False),
        minute(STOCK, "11:01", (100.0, 100.0, 100.0, 100.0), 50, 100.0, 1),
        full_day(
            STOCK, (98.0, 102.0, 97.0, 100.0), 100_150, (9_900_000 + 10_100 + 5_000) / 100_150, 2, complete=False
        ),
    ),
)

REBASE = Case(
    name="a correction downwards is rebased: candles keep what they had",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        frame("09:15:10.500", full(STOCK, 101.0, 1400, "09:15:10")),
        frame("09:15:12.500", full(STOCK, 101.0, 1100, "09:15:10", "09:15:12")),
        frame("09:15:20.500", full(STOCK, 102.0, 1250, "09:15:20")),
        frame("09:16:05.500", full(STOCK, 103.0, 1300, "09:16:05")),
        heartbeat("09:17:03"),
    ),
    expected=(
        # 1000 at 100, 400 at 101, and 1250 - 1100 = 150 at 102
        minute(STOCK, "09:15", (100.0, 102.0, 100.0, 102.0), 1550, (100_000 + 40_400 + 15_300) / 1550, 3),
        minute(STOCK, "09:16", (103.0, 103.0, 103.0, 103.0), 50, 103.0, 1),
        full_day(STOCK, (100.0, 103.0, 100.0, 103.0), 1600, (155_700 + 5_150) / 1600, 4),
    ),
    counts={"rebased": 1},
)

REBASING_TRADE = Case(
    name="a packet that rebases is a trade when its trade time moved, with no volume",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05")),
        frame("09:16:02.500", full(STOCK, 101.0, 800, "09:16:02")),
        frame("09:16:10.500", full(STOCK, 101.5, 900, "09:16:10")),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        minute(STOCK, "09:16", (101.0, 101.5, 101.0, 101.5), 100, 101.5, 2),
        full_day(STOCK, (100.0, 101.5, 100.0, 101.5), 1100, (100_000 + 10_150) / 1100, 3),
    ),
    counts={"rebased": 1},
)

AUCTION = Case(
    name="the closing auction closes the day and nothing else; what comes after it counts nowhere",
    instruments=(FNO_STOCK,),
    settings=ReferenceSettings(timeframes=(("1m", 60_000), ("1h", 3_600_000), ("1d", 0))),
    entries=entries(
        *opening(FNO_STOCK),
        frame("15:14:50.500", full(FNO_STOCK, 100.0, 1000, "15:14:50")),
        frame("15:30:01", full(FNO_STOCK, 102.0, 5000, "15:30:00")),
        heartbeat("15:35:03"),
        frame("15:45:01", full(FNO_STOCK, 103.0, 5100, "15:45:00")),
    ),
    expected=(
        minute(FNO_STOCK, "15:14", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        Expected(LARGE, "1h", "14:15", "15:15", 100.0, 100.0, 100.0, 100.0, 1000, 100.0, 1),
        full_day(FNO_STOCK, (100.0, 102.0, 100.0, 102.0), 5000, (100_000 + 408_000) / 5000, 2, closed=True),
    ),
)

SHORT_LAST_BUCKET = Case(
    name="the last bucket ends with the session, and the session's end is outside it",
    instruments=(STOCK,),
    settings=ReferenceSettings(timeframes=(("1h", 3_600_000), ("75m", 4_500_000), ("1d", 0))),
    entries=entries(
        *opening(STOCK),
        frame("15:30:00.400", full(STOCK, 100.0, 100, "15:29:59")),
        frame("15:30:01", full(STOCK, 105.0, 150, "15:30:00")),
        heartbeat("15:30:03"),
    ),
    expected=(
        Expected(SMALL, "1h", "15:15", "15:30", 100.0, 100.0, 100.0, 100.0, 100, 100.0, 1),
        Expected(SMALL, "75m", "14:15", "15:30", 100.0, 100.0, 100.0, 100.0, 100, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 100, 100.0, 1, closed=True),
    ),
)

CLOSED_DAY = Case(
    name="a baseline leaves a closed day candle alone",
    instruments=(STOCK,),
    entries=entries(
        *opening(STOCK),
        frame("15:29:50.500", full(STOCK, 100.0, 1000, "15:29:50")),
        heartbeat("15:30:03"),
        subscribed("15:40:00", STOCK),
        frame("15:40:01", full(STOCK, 101.0, 5000, "15:29:59", "15:40:01")),
    ),
    expected=(
        minute(STOCK, "15:29", (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1),
        full_day(STOCK, (100.0, 100.0, 100.0, 100.0), 1000, 100.0, 1, closed=True),
    ),
)

CASES = (
    BASELINE,
    NOT_A_TRADE,
    TIME_MOVED,
    EMPTY_BUCKETS,
    PRE_OPEN,
    MID_SESSION,
    REBASE,
    REBASING_TRADE,
    AUCTION,
    SHORT_LAST_BUCKET,
    CLOSED_DAY,
)
