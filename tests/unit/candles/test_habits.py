"""Which gaps make a habit: those that were seen whole, within the session."""

from __future__ import annotations

from utils.candles.habits import Habits
from utils.candles.shard_state import grow, new_shard
from utils.market.instruments import Instrument, SessionClass

OPEN_MS = 1_795_146_300_000  # 2026-11-20 09:15 IST
CLOSE_MS = OPEN_MS + 22_500_000
ONE = Instrument(1, "NSE", "INFY", "INFY", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY_FNO)


class Quoted:
    """One instrument, subscribed since ten minutes before the open."""

    def __init__(self) -> None:
        self.habits = Habits(1_000.0)
        self.habits.know([ONE])
        self.shard = grow(new_shard([60_000], 4), 1)
        self.shard.instruments["open_ms"], self.shard.instruments["close_ms"] = OPEN_MS, CLOSE_MS
        self.shard.feed["up"], self.shard.feed["up_since_ms"] = 1, OPEN_MS - 600_000

    def at(self, quoted_ms: int) -> tuple[int, int]:
        """How many gaps were learned, and the longest."""
        self.shard.latest["receive_ms"] = quoted_ms
        self.habits.look(self.shard, is_live=True)
        return int(self.habits.beats[0]), int(self.habits.longest_ms[0])


def test_a_worker_that_starts_within_the_session_takes_the_time_since_the_open_for_no_gap() -> None:
    quoted = Quoted()
    assert quoted.at(OPEN_MS + 3 * 3_600_000) == (0, 0)
    assert quoted.at(OPEN_MS + 3 * 3_600_000 + 2_000) == (1, 2_000)


def test_the_time_from_the_open_to_the_first_quote_is_a_gap_of_who_was_there_before() -> None:
    quoted = Quoted()
    assert quoted.at(OPEN_MS - 60_000) == (0, 0)
    assert quoted.at(OPEN_MS + 5_000) == (1, 5_000)


def test_what_comes_after_the_close_ends_no_gap() -> None:
    quoted = Quoted()
    quoted.at(CLOSE_MS - 2_000)
    assert quoted.at(CLOSE_MS - 1_000) == (1, 1_000)
    assert quoted.at(CLOSE_MS + 900_000) == (1, 1_000)
