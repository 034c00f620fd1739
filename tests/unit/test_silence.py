"""Who is called silent: by class, by habit, and never an option that is quiet as it always is."""

from __future__ import annotations

import random

import pytest

from utils.candles.layout import AWAITS_ANY, FAR
from utils.candles.rows import Rows
from utils.candles.shard_state import grow, new_shard
from utils.candles.silence import Silence, SilenceReport
from utils.class_state import ClassState
from utils.instruments import Instrument, SessionClass

OPEN_MS = 1_795_146_300_000  # 2026-11-20 09:15 IST
CLOSE_MS = OPEN_MS + 22_500_000
SECOND = 1_000


def instrument(symbol: str, session_class: SessionClass, instrument_type: str = "EQ") -> Instrument:
    exchange, _, name = symbol.partition(":")
    return Instrument(1, exchange, name, name, exchange, instrument_type, "", 0.05, 1, session_class)


LARGE = instrument("NSE:INFY", SessionClass.EQUITY_FNO)
SMALL = instrument("NSE:TINY", SessionClass.EQUITY)
INDEX = instrument("NSE:NIFTY 50", SessionClass.INDEX)
OPTION = instrument("NFO:NIFTY26NOV25000CE", SessionClass.INDEX_DERIVATIVE, "CE")
FUTURE = instrument("NFO:NIFTY26NOVFUT", SessionClass.INDEX_DERIVATIVE, "FUT")


class Market:
    """The state arrays of a shard as the silence reads them, and a clock that is looked at once a second."""

    def __init__(self, *instruments: Instrument, speed: float = 1.0, up_ms: int = OPEN_MS - 600 * SECOND) -> None:
        self.instruments = instruments
        self.rows = Rows(instruments, ["1m"])
        self.state = grow(new_shard([60_000], 4), len(instruments))
        self.state.instruments["open_ms"], self.state.instruments["close_ms"] = OPEN_MS, CLOSE_MS
        self.state.feed["up"], self.state.feed["up_since_ms"] = 1, up_ms
        self.at_ms = up_ms
        self.silence = Silence([one.symbol for one in instruments], speed)
        self.step_ms = round(SECOND * max(1.0, speed))
        for one in instruments:  # the cached packets
            self.hear(one)

    def hear(self, one: Instrument) -> None:
        self.state.latest["receive_ms"][self.instruments.index(one)] = self.at_ms

    def look(self, is_live: bool = True) -> SilenceReport:
        return self.silence.look(self.state, self.rows, self.at_ms, is_live)

    def run(self, until_ms: int, *every: tuple[Instrument, float], seed: int = 1) -> SilenceReport:
        """Until then each is heard with its typical gap (seconds), at random; what was seen last."""
        dice, report = random.Random(seed), SilenceReport()
        while self.at_ms < until_ms:
            self.at_ms += self.step_ms
            for one, typical in every:
                if dice.random() < self.step_ms / SECOND / typical:
                    self.hear(one)
            report = self.look()
        return report


def test_a_class_of_which_nothing_is_heard_is_mute_within_two_minutes() -> None:
    market = Market(LARGE, SMALL, INDEX)
    report = market.run(OPEN_MS + 65 * SECOND, (INDEX, 1.0))
    assert report.classes[SessionClass.INDEX].state is ClassState.TRADING
    assert report.classes[SessionClass.EQUITY_FNO].state is ClassState.MUTE
    assert report.classes[SessionClass.EQUITY_FNO].quiet_ms == 65 * SECOND
    assert "INFY" not in report.silent + report.quiet, "said of its class already"


def test_a_class_that_falls_silent_after_trading_is_mute_after_a_minute_and_speaks_again() -> None:
    market = Market(LARGE)
    market.run(OPEN_MS + 600 * SECOND, (LARGE, 1.0))
    assert market.run(market.at_ms + 55 * SECOND).classes[SessionClass.EQUITY_FNO].state is ClassState.TRADING
    assert market.run(market.at_ms + 10 * SECOND).classes[SessionClass.EQUITY_FNO].state is ClassState.MUTE
    market.hear(LARGE)
    assert market.look().classes[SessionClass.EQUITY_FNO].state is ClassState.TRADING


@pytest.mark.parametrize("seed", range(2))
def test_illiquid_options_never_cry_wolf(seed: int) -> None:
    """One of 40 s and one of 400 s between packets, for an hour and a half: no problem, and no class is mute."""
    slow = instrument("NFO:NIFTY26NOV30000CE", SessionClass.INDEX_DERIVATIVE, "CE")
    market = Market(OPTION, slow)
    notes = 0
    for minute in range(1, 90):
        report = market.run(OPEN_MS + minute * 60 * SECOND, (OPTION, 40.0), (slow, 400.0), seed=1_000 * seed + minute)
        assert report.silent == ""
        assert report.classes[SessionClass.INDEX_DERIVATIVE].state is ClassState.TRADING
        notes += bool(report.quiet)
    assert notes <= 1


def test_a_liquid_one_that_falls_silent_among_others_is_named() -> None:
    market = Market(FUTURE, OPTION, LARGE, SMALL)
    market.run(OPEN_MS + 900 * SECOND, (FUTURE, 1.0), (OPTION, 30.0), (LARGE, 1.5), (SMALL, 20.0))
    report = market.run(market.at_ms + 119 * SECOND, (OPTION, 30.0), (LARGE, 1.5), (SMALL, 20.0))
    assert report.silent == ""
    report = market.run(market.at_ms + 10 * SECOND, (OPTION, 30.0), (LARGE, 1.5), (SMALL, 20.0))
    assert report.silent.startswith("NFO:NIFTY26NOVFUT (2 min)")


def test_a_slow_one_that_falls_silent_is_a_note() -> None:
    market = Market(LARGE, SMALL)
    market.run(OPEN_MS + 3_600 * SECOND, (LARGE, 1.0), (SMALL, 20.0))
    report = market.run(market.at_ms + 1_800 * SECOND, (LARGE, 1.0))
    assert report.classes[SessionClass.EQUITY].state is ClassState.MUTE, "the only one of its class"
    two = Market(SMALL, instrument("NSE:OTHER", SessionClass.EQUITY))
    two.run(OPEN_MS + 3_600 * SECOND, (SMALL, 20.0), (two.instruments[1], 2.0))
    report = two.run(two.at_ms + 1_800 * SECOND, (two.instruments[1], 2.0))
    assert (report.silent, report.quiet) == ("", "NSE:TINY (30 min)")


def test_one_that_never_sent_even_its_cached_packet_is_named_at_once() -> None:
    market = Market(LARGE, SMALL, FUTURE, OPTION, up_ms=OPEN_MS + 60 * SECOND)
    market.state.latest["receive_ms"][1:] = [0, 0, OPEN_MS]
    market.state.instruments["awaiting"][1:] = AWAITS_ANY
    report = market.run(market.at_ms + 7 * SECOND, (LARGE, 1.0))
    assert report.silent == ""
    assert report.quiet == "NSE:TINY (7 s), NFO:NIFTY26NOVFUT (7 s), NFO:NIFTY26NOV25000CE (7 s)"
    report = market.run(market.at_ms + 60 * SECOND, (LARGE, 1.0), (OPTION, 5.0))
    assert report.silent == "NSE:TINY (67 s), NFO:NIFTY26NOVFUT (67 s)"


def test_a_cached_packet_without_a_price_is_a_packet() -> None:
    """Of what the exchange has not sent today the cached packet has time 0: nothing of it is shown, and it came."""
    market = Market(LARGE, FUTURE, up_ms=OPEN_MS + 60 * SECOND)
    market.state.latest["receive_ms"][1] = 0  # nothing shown; its baseline came, so it awaits nothing
    report = market.run(market.at_ms + 67 * SECOND, (LARGE, 1.0))
    assert (report.silent, report.quiet) == ("", "")


def test_many_are_counted_the_most_silent_first() -> None:
    many = [instrument(f"NSE:S{number}", SessionClass.EQUITY_FNO) for number in range(9)]
    market = Market(*many)
    for number, one in enumerate(many[:8]):
        market.run(OPEN_MS + (number + 1) * 60 * SECOND, *((other, 1.0) for other in many[number:]))
        del one
    report = market.run(market.at_ms + 130 * SECOND, (many[8], 1.0))
    assert report.silent == "NSE:S0 (9 min), NSE:S1 (8 min), NSE:S2 (7 min) and 5 more"


@pytest.mark.parametrize(
    "way", ["before the open", "after the close", "down", "no session", "backlog", "not asked for"]
)
def test_only_in_its_session_while_the_feed_is_up_and_nothing_waits(way: str) -> None:
    market = Market(LARGE)
    market.at_ms = {"before the open": OPEN_MS - SECOND, "after the close": CLOSE_MS}.get(way, OPEN_MS + 3_600_000)
    if way == "down":
        market.state.feed["up"] = 0
    elif way == "no session":
        market.state.instruments["open_ms"] = market.state.instruments["close_ms"] = FAR
    elif way == "not asked for":
        market.silence = Silence(["NSE:ELSE"], 1.0)
    assert market.look(is_live=way != "backlog") == SilenceReport()


def test_a_fast_clock_makes_no_pause_of_some_real_seconds_a_silence() -> None:
    market = Market(LARGE, INDEX, speed=60.0)
    market.run(OPEN_MS + 3_600 * SECOND, (LARGE, 1.0), (INDEX, 1.0))
    report = market.run(market.at_ms + 240 * SECOND)
    assert {one.state for one in report.classes.values()} == {ClassState.TRADING}
    report = market.run(market.at_ms + 3_000 * SECOND)
    assert {one.state for one in report.classes.values()} == {ClassState.MUTE}


def test_habits_stay_with_their_symbols_when_the_rows_change() -> None:
    market = Market(SMALL, FUTURE, OPTION)
    market.run(OPEN_MS + 900 * SECOND, (SMALL, 1.0), (FUTURE, 1.0), (OPTION, 1.0))
    order = [2, 1]
    market.instruments = (OPTION, FUTURE)
    market.rows = Rows(market.instruments, ["1m"])
    fresh = grow(new_shard([60_000], 4), 2)
    fresh.latest[:] = market.state.latest[order]
    fresh.instruments[:] = market.state.instruments[order]
    fresh.feed[:] = market.state.feed
    market.state = fresh
    report = market.run(market.at_ms + 130 * SECOND, (OPTION, 1.0))
    assert report.silent == "NFO:NIFTY26NOVFUT (2 min)"


def test_a_backlog_that_was_worked_off_is_no_habit() -> None:
    market = Market(FUTURE, OPTION)
    market.run(OPEN_MS + 300 * SECOND, (FUTURE, 1.0), (OPTION, 2.0))
    for _ in range(3):
        market.at_ms += 1_200 * SECOND
        market.hear(FUTURE)
        market.look(is_live=False)
    market.run(market.at_ms + 60 * SECOND, (FUTURE, 1.0), (OPTION, 2.0))
    report = market.run(market.at_ms + 130 * SECOND, (OPTION, 2.0))
    assert report.silent == "NFO:NIFTY26NOVFUT (2 min)"
