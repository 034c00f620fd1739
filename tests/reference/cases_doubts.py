"""Cases: a price outside its packet's own day range waits for the next packet."""

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
    mark,
    minute,
    opening,
    subscribed,
)

SMALL = STOCK.reference.symbol
# What the day range has been; the packets below are mostly a packet behind.
DAY = (100.0, 101.0, 99.0)


def first_trade() -> tuple[CaseEntry, ...]:
    """1 000 at 100.0 at 09:15:05, the first of the day: the candle takes the day range, 101.0 and 99.0."""
    return *opening(STOCK), frame("09:15:05.500", full(STOCK, 100.0, 1000, "09:15:05", day=DAY))


NEW_LOW = Case(
    name="a new low a packet before its day range: believed by the next packet's range",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        # the price first, and the range behind it
        frame("09:15:10.500", full(STOCK, 98.5, 1000, "09:15:05", "09:15:10", day=DAY)),
        # its range includes 98.5; its own 98.0 is held in turn, with the 200
        frame("09:15:11.500", full(STOCK, 98.0, 1200, "09:15:11", day=(100.0, 101.0, 98.5))),
        # nearer to 98.5 than to 98.0: only the range is evidence for 98.0
        frame("09:15:12.500", full(STOCK, 98.4, 1300, "09:15:12", day=(100.0, 101.0, 98.0))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 98.0, 98.4), 1300, (100_000 + 200 * 98.0 + 100 * 98.4) / 1300, 4),
        full_day(STOCK, (100.0, 101.0, 98.0, 98.4), 1300, (100_000 + 200 * 98.0 + 100 * 98.4) / 1300, 4),
    ),
    counts={"held": 2, "believed_range": 2, "undated": 1},
)

NEW_HIGH = Case(
    name="a new high whose range is later still: believed by the next packet's book",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 101.5, 1100, "09:15:10", day=DAY)),
        # 100.5 is nearer to 100.0 than to 101.5; the book of 101.3 to 101.6 is around it
        frame("09:15:11.500", full(STOCK, 100.5, 1200, "09:15:11", day=DAY, book=(101.3, 101.6))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.5, 99.0, 100.5), 1200, (100_000 + 10_150 + 10_050) / 1200, 3),
        # the day follows the exchange's own range, and keeps what is wider
        full_day(STOCK, (100.0, 101.5, 99.0, 100.5), 1200, (100_000 + 10_150 + 10_050) / 1200, 3),
    ),
    counts={"held": 1, "believed_book": 1},
)

OWN_BOOK = Case(
    name="a price outside its day range with its own book around it counts at once",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        # a tick above the ask is near enough
        frame("09:15:10.500", full(STOCK, 101.5, 1100, "09:15:10", day=DAY, book=(101.3, 101.45))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.5, 99.0, 101.5), 1100, (100_000 + 10_150) / 1100, 2),
        full_day(STOCK, (100.0, 101.5, 99.0, 101.5), 1100, (100_000 + 10_150) / 1100, 2),
    ),
    counts={"held": 0},
)

MISPRINT = Case(
    name="a misprint outside the day range is rejected by the next packet",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        # two ticks beyond its own book: that does not help it
        frame("09:15:10.500", full(STOCK, 110.0, 1000, "09:15:05", "09:15:10", day=DAY, book=(100.4, 109.9))),
        frame("09:15:11.500", full(STOCK, 100.5, 1100, "09:15:11", day=DAY, book=(100.4, 100.6))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 99.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
        full_day(STOCK, (100.0, 101.0, 99.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
    ),
    rejected={"range": 1},
)

OFF_THE_GRID = Case(
    name="a new extreme that is no whole number of ticks is doubted though its range includes it, book or not",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        # inside the day range an odd price is none the worse
        frame("09:15:08.500", full(STOCK, 100.03, 1050, "09:15:08", day=DAY)),
        frame(
            "09:15:10.500",
            full(STOCK, 110.03, 1050, "09:15:08", "09:15:10", day=(100.0, 110.03, 99.0), book=(110.0, 110.1)),
        ),
        frame("09:15:11.500", full(STOCK, 100.5, 1100, "09:15:11", day=DAY)),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 99.0, 100.5), 1100, (100_000 + 50 * 100.03 + 50 * 100.5) / 1100, 3),
        full_day(STOCK, (100.0, 101.0, 99.0, 100.5), 1100, (100_000 + 50 * 100.03 + 50 * 100.5) / 1100, 3),
    ),
    rejected={"range": 1},
)

TWO_MISPRINTS = Case(
    name="a misprint is not kept by a second one that its own book gives away",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 110.0, 1000, "09:15:05", "09:15:10", day=DAY)),
        frame("09:15:11.500", full(STOCK, 109.0, 1000, "09:15:05", "09:15:11", day=DAY, book=(100.4, 100.6))),
        frame("09:15:12.500", full(STOCK, 100.5, 1100, "09:15:12", day=DAY, book=(100.4, 100.6))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 99.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
        full_day(STOCK, (100.0, 101.0, 99.0, 100.5), 1100, (100_000 + 10_050) / 1100, 2),
    ),
    rejected={"range": 2},
)

PERSISTS = Case(
    name="a level outside the day range that the next packet keeps counts, from its first packet on",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 102.0, 1100, "09:15:10", day=DAY)),
        # no book, and the old range: nearer to 102.0 than to 100.0; outside its range, held in turn
        frame("09:15:11.500", full(STOCK, 102.2, 1200, "09:15:11", day=DAY)),
        frame("09:15:12.500", full(STOCK, 102.1, 1300, "09:15:12", day=(100.0, 102.2, 99.0))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(
            STOCK,
            "09:15",
            (100.0, 102.2, 99.0, 102.1),
            1300,
            (100_000 + 10_200 + 10_220 + 10_210) / 1300,
            4,
        ),
        full_day(STOCK, (100.0, 102.2, 99.0, 102.1), 1300, (100_000 + 10_200 + 10_220 + 10_210) / 1300, 4),
    ),
)

LATE = Case(
    name="late packets in doubt of their range: inside the day's they count, outside only with a book of their own",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 98.5, 1100, "09:15:10", day=(100.0, 101.0, 98.5))),
        frame("09:15:11.100", full(STOCK, 98.8, 1050, "09:15:08", day=DAY)),
        frame("09:15:11.200", full(STOCK, 97.0, 1060, "09:15:08", day=DAY)),
        frame("09:15:11.300", full(STOCK, 97.5, 1070, "09:15:08", day=DAY, book=(97.4, 97.6))),
        heartbeat("09:16:03"),
    ),
    expected=(
        # 98.5 at 09:15:10 is the close; late ones bring no volume
        minute(STOCK, "09:15", (100.0, 101.0, 97.5, 98.5), 1100, (100_000 + 9_850) / 1100, 4),
        full_day(STOCK, (100.0, 101.0, 97.5, 98.5), 1100, (100_000 + 9_850) / 1100, 4),
    ),
    rejected={"range": 1},
)

REPEATED = Case(
    name="the repetition of a held packet is no evidence for it",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 102.0, 1100, "09:15:10", day=DAY)),
        frame("09:15:10.900", full(STOCK, 102.0, 1100, "09:15:10", day=DAY)),
        frame("09:15:11.500", full(STOCK, 100.5, 1200, "09:15:11", day=DAY, book=(100.4, 100.6))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 99.0, 100.5), 1200, (100_000 + 200 * 100.5) / 1200, 2),
        full_day(STOCK, (100.0, 101.0, 99.0, 100.5), 1200, (100_000 + 200 * 100.5) / 1200, 2),
    ),
    rejected={"range": 1},
    counts={"repetitions": 1},
)

SAME_SECOND = Case(
    name="a packet of the same second that differs in its day range alone is no repetition: it judges",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 102.0, 1100, "09:15:10", day=DAY)),
        frame("09:15:10.900", full(STOCK, 102.0, 1100, "09:15:10", day=(100.0, 102.0, 99.0))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 102.0, 99.0, 102.0), 1100, (100_000 + 10_200) / 1100, 2),
        full_day(STOCK, (100.0, 102.0, 99.0, 102.0), 1100, (100_000 + 10_200) / 1100, 2),
    ),
)

OLDER = Case(
    name="a packet older than the held one acts, and does not judge; a second doubt beside it is rejected",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:13.500", full(STOCK, 102.0, 1300, "09:15:12", "09:15:13", day=DAY)),
        frame("09:15:13.600", full(STOCK, 100.5, 1200, "09:15:11", day=DAY)),
        frame("09:15:13.700", full(STOCK, 97.0, 1250, "09:15:12", day=DAY)),
        frame("09:15:14.500", full(STOCK, 101.9, 1400, "09:15:14", day=(100.0, 102.0, 99.0))),
        heartbeat("09:16:03"),
    ),
    expected=(
        # 200 at 100.5, then the 100 of the held packet at 102.0, and 100 at 101.9
        minute(
            STOCK,
            "09:15",
            (100.0, 102.0, 99.0, 101.9),
            1400,
            (100_000 + 20_100 + 10_200 + 10_190) / 1400,
            4,
        ),
        full_day(STOCK, (100.0, 102.0, 99.0, 101.9), 1400, (100_000 + 20_100 + 10_200 + 10_190) / 1400, 4),
    ),
    rejected={"range": 1},
)

CACHED_AGAIN = Case(
    name="after a reconnect the cached packet is the held one: it clears the wait, and the next trade counts",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 102.0, 1100, "09:15:10", day=DAY)),
        mark("09:15:20", "down"),
        subscribed("09:15:30", STOCK),
        frame("09:15:31", full(STOCK, 102.0, 1100, "09:15:10", day=DAY)),
        frame("09:15:40.500", full(STOCK, 101.8, 1200, "09:15:40", day=(100.0, 102.0, 99.0))),
        heartbeat("09:16:03"),
    ),
    expected=(
        minute(
            STOCK, "09:15", (100.0, 102.0, 99.0, 101.8), 1200, (100_000 + 10_200 + 10_180) / 1200, 3, complete=False
        ),
        # the day range comes from the held packet, not from the repetition, before it is a trade (100 at 102.0)
        full_day(STOCK, (100.0, 102.0, 99.0, 101.8), 1200, (100_000 + 10_200 + 10_180) / 1200, 3, complete=False),
    ),
)

BASELINE_JUDGES = Case(
    name="a baseline judges the packet held before it: that one counts, the baseline does not",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:10.500", full(STOCK, 98.5, 1100, "09:15:10", day=DAY)),
        mark("09:15:20", "down"),
        subscribed("09:15:24", STOCK),
        frame("09:15:25.500", full(STOCK, 99.0, 1150, "09:15:20", "09:15:25", day=(100.0, 101.0, 98.5))),
        frame("09:15:30.500", full(STOCK, 99.5, 1250, "09:15:30", day=(100.0, 101.0, 98.5))),
        heartbeat("09:16:03"),
    ),
    expected=(
        # the 50 of the outage come with the next trade: 150 at 99.5
        minute(
            STOCK,
            "09:15",
            (100.0, 101.0, 98.5, 99.5),
            1250,
            (100_000 + 9_850 + 150 * 99.5) / 1250,
            3,
            complete=False,
        ),
        # the day takes them from the baseline: 50 at 99.0
        full_day(
            STOCK,
            (100.0, 101.0, 98.5, 99.5),
            1250,
            (100_000 + 9_850 + 50 * 99.0 + 9_950) / 1250,
            3,
            complete=False,
        ),
    ),
)

CLOSED_MEANWHILE = Case(
    name="a held price whose candle closes meanwhile amends it when it is believed",
    instruments=(STOCK,),
    entries=entries(
        *first_trade(),
        frame("09:15:59.500", full(STOCK, 98.5, 1000, "09:15:05", "09:15:59", day=DAY)),
        heartbeat("09:16:03"),
        frame("09:16:05.500", full(STOCK, 98.9, 1200, "09:16:04", "09:16:05", day=(100.0, 101.0, 98.5))),
        heartbeat("09:17:03"),
    ),
    expected=(
        minute(STOCK, "09:15", (100.0, 101.0, 98.5, 98.5), 1000, 100.0, 2, rev=1),
        minute(STOCK, "09:16", (98.9, 98.9, 98.9, 98.9), 200, 98.9, 1),
        full_day(STOCK, (100.0, 101.0, 98.5, 98.9), 1200, (100_000 + 200 * 98.9) / 1200, 3),
    ),
    events=((SMALL, "1m", "09:15", 0), (SMALL, "1m", "09:15", 1), (SMALL, "1m", "09:16", 0)),
)

CASES = (
    NEW_LOW,
    NEW_HIGH,
    OWN_BOOK,
    MISPRINT,
    OFF_THE_GRID,
    TWO_MISPRINTS,
    PERSISTS,
    LATE,
    REPEATED,
    SAME_SECOND,
    OLDER,
    CACHED_AGAIN,
    BASELINE_JUDGES,
    CLOSED_MEANWHILE,
)
