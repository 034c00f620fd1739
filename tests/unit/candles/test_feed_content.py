"""Shares and delays of the newest packets, from the state arrays."""

from __future__ import annotations

import numpy as np

from utils.candles.encoding import Rows
from utils.candles.feed_content import FEWEST_LOOKS, FULL_AFTER_MS, MOST_LOOKS, FeedContent
from utils.candles.kernels.layout import DELAYS, Count, Reason
from utils.candles.shard_state import grow, new_shard
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import SessionCalendar

ONE = Instrument(408065, "NSE", "INFY", "INFY", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)


class Feed:
    """A shard of two instruments, as the candle engine would have left it."""

    def __init__(self, is_full: bool = True) -> None:
        self.state = grow(new_shard([60_000], 4), 2)
        self.state.feed["up"], self.state.feed["up_since_ms"] = 1, 1_000
        self.rows = Rows([ONE, ONE], ["1m"])
        self.content = FeedContent(2, ["NSE:INFY"], 1.0, is_full, SessionCalendar.load())
        self.look()

    def look(self, at_ms: int = 2_000) -> dict[str, str | int]:
        return self.content.look(self.state, self.rows, at_ms, True)

    def packets(self, count: int, rejected: int = 0, reason: Reason = Reason.TIME) -> None:
        self.state.counts[Count.PACKETS] += count
        self.state.rejected[reason] += rejected

    def delays(self, *delays_ms: int) -> None:
        for delay_ms in delays_ms:
            self.state.delays[int(self.state.feed["delays"][0]) % DELAYS] = delay_ms
            self.state.feed["delays"] += 1


def test_only_what_came_since_the_worker_looks_counts() -> None:
    feed = Feed()
    assert feed.look()["recent_packets"] == 0
    feed.packets(184, rejected=179)
    found = feed.look()
    assert (found["recent_packets"], found["recent_rejected_time"], found["recent_rejected_range"]) == (184, 179, 0)


def test_what_is_over_for_a_minute_is_forgotten_when_enough_came_since() -> None:
    feed = Feed()
    feed.packets(1_000, rejected=1_000)
    for _ in range(FEWEST_LOOKS + 1):
        feed.packets(10)
        found = feed.look()
    assert (found["recent_packets"], found["recent_rejected_time"]) == (10 * (FEWEST_LOOKS - 1), 0)


def test_a_slow_feed_is_judged_by_five_minutes() -> None:
    feed = Feed()
    feed.packets(9, rejected=9)
    for _ in range(MOST_LOOKS - 2):
        found = feed.look()
    assert found["recent_rejected_time"] == 9
    for _ in range(2):
        found = feed.look()
    assert found["recent_rejected_time"] == 0


def test_the_delay_is_the_median_of_what_came_after_the_cached_packets() -> None:
    feed = Feed()
    feed.delays(63_000_000, 63_000_000, *[900] * 19)  # the cached ones of yesterday, one of each instrument
    assert "delay_ms_2" not in feed.look(), "too few yet"
    feed.delays(-400)
    assert feed.look()["delay_ms_2"] == 900
    feed.delays(*[-180_000] * 21)
    assert feed.look()["delay_ms_2"] == -180_000


def test_after_another_subscription_the_delay_is_measured_anew() -> None:
    feed = Feed()
    feed.delays(*[900] * (3 * DELAYS))
    assert feed.look()["delay_ms_2"] == 900
    feed.state.feed["up_since_ms"] = 5_000
    assert "delay_ms_2" not in feed.look()
    feed.delays(*[2_000_000] * 2, *np.full(DELAYS, 1_200).tolist())
    assert feed.look()["delay_ms_2"] == 1_200


def test_packets_without_a_time_where_full_mode_was_asked_for_are_counted() -> None:
    late = 1_000 + FULL_AFTER_MS
    for is_full, count in ((True, 1), (False, 0)):
        feed = Feed(is_full)
        feed.state.latest["receive_ms"] = 1_500
        feed.state.latest["timed"][:2] = 1, 0
        assert feed.look(late)["untimed"] == count
        assert feed.look(late - 1)["untimed"] == 0, "the mode is changed a moment after the subscription"
        feed.state.latest["receive_ms"] = 500
        assert feed.look(late)["untimed"] == 0, "nothing came on this connection"
