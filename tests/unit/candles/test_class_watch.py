"""Who is called silent: by class, by habit, and never an option that is quiet as it always is."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from utils.candles.class_doubts import Doubt, doubts_of, silent_sentences
from utils.candles.class_watch import ClassWatch, _name
from utils.candles.encoding import Rows
from utils.candles.kernels.layout import AWAITS_ANY, FAR
from utils.candles.shard_state import grow, new_shard
from utils.market.class_facts import ClassFacts, Outside, as_text, from_text, joined
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import SessionCalendar

OPEN_MS = 1_795_146_300_000  # 2026-11-20 09:15 IST
CLOSE_MS = OPEN_MS + 22_500_000
SECOND = 1_000
CALENDAR = SessionCalendar.load()


def instrument(symbol: str, session_class: SessionClass, instrument_type: str = "EQ") -> Instrument:
    exchange, _, name = symbol.partition(":")
    return Instrument(1, exchange, name, name, exchange, instrument_type, "", 0.05, 1, session_class)


LARGE = instrument("NSE:INFY", SessionClass.EQUITY_FNO)
SMALL = instrument("NSE:TINY", SessionClass.EQUITY)
INDEX = instrument("NSE:NIFTY 50", SessionClass.INDEX)
OPTION = instrument("NFO:NIFTY26NOV25000CE", SessionClass.INDEX_DERIVATIVE, "CE")
FUTURE = instrument("NFO:NIFTY26NOVFUT", SessionClass.INDEX_DERIVATIVE, "FUT")


class Seen:
    """What the health report has of some shards, as the doctor reads it."""

    def __init__(self, *shards: list[ClassFacts]) -> None:
        self.facts = from_text(as_text(joined(class_facts for facts in shards for class_facts in facts)))
        self.mute = self._doubted(Doubt.MUTE)
        self.unseen = self._doubted(Doubt.UNSEEN)
        named = {is_sure: sentence.split("quote of ")[1] for is_sure, sentence in silent_sentences(self.facts)}
        self.silent, self.quiet = (named.get(is_silent, "").partition(", unlike")[0] for is_silent in (True, False))

    def _doubted(self, kind: Doubt) -> list[str]:
        return [name for doubt, name in doubts_of(self.facts) if doubt is kind]

    def of(self, name: str) -> ClassFacts:
        (found,) = [facts for facts in self.facts if facts.name == name]
        return found


class Market:
    """The state arrays of a shard as the watch reads them, and a clock that is looked at once a second."""

    def __init__(self, *instruments: Instrument, speed: float = 1.0, up_ms: int = OPEN_MS - 600 * SECOND) -> None:
        self.instruments = instruments
        self.rows = Rows(instruments, ["1m"])
        self.state = grow(new_shard([60_000], 4), len(instruments))
        self.state.instruments["open_ms"], self.state.instruments["close_ms"] = OPEN_MS, CLOSE_MS
        self.state.feed["up"], self.state.feed["up_since_ms"] = 1, up_ms
        self.at_ms = up_ms
        self.watch = ClassWatch(CALENDAR, [instrument.symbol for instrument in instruments], speed)
        self.step_ms = round(SECOND * max(1.0, speed))
        for instrument in instruments:  # the cached packets
            self.quote(instrument)

    def quote(self, instrument: Instrument) -> None:
        self.state.latest["receive_ms"][self.instruments.index(instrument)] = self.at_ms

    def facts(self, is_live: bool = True) -> list[ClassFacts]:
        return self.watch.look(self.state, self.rows, self.at_ms, is_live)

    def look(self, is_live: bool = True) -> Seen:
        return Seen(self.facts(is_live))

    def run(self, until_ms: int, *every: tuple[Instrument, float], seed: int = 1) -> Seen:
        """Until then each is quoted with its typical gap (seconds), at random; what was seen last."""
        dice, report = random.Random(seed), Seen()
        while self.at_ms < until_ms:
            self.at_ms += self.step_ms
            for instrument, typical in every:
                if dice.random() < self.step_ms / SECOND / typical:
                    self.quote(instrument)
            report = self.look()
        return report


def test_a_class_of_which_nothing_is_received_is_mute_within_two_minutes() -> None:
    market = Market(LARGE, SMALL, INDEX)
    report = market.run(OPEN_MS + 65 * SECOND, (INDEX, 1.0))
    assert report.mute == ["NSE equity_fno"]
    assert report.of("NSE equity_fno").quiet_ms == 65 * SECOND
    assert "INFY" not in report.silent + report.quiet, "known of its class already"


def test_a_class_that_falls_silent_after_trading_is_mute_within_a_minute_and_speaks_again() -> None:
    market = Market(LARGE)
    market.run(OPEN_MS + 600 * SECOND, (LARGE, 1.0))
    assert market.run(market.at_ms + 44 * SECOND).mute == []
    assert market.run(market.at_ms + SECOND).mute == ["NSE equity_fno"]
    market.quote(LARGE)
    assert market.look().mute == []


@pytest.mark.parametrize("seed", range(2))
def test_illiquid_options_never_cry_wolf(seed: int) -> None:
    """One of 40 s and one of 400 s between packets, for an hour and a half: no problem, and no class is mute."""
    slow = instrument("NFO:NIFTY26NOV30000CE", SessionClass.INDEX_DERIVATIVE, "CE")
    market = Market(OPTION, slow)
    notes = 0
    for minute in range(1, 90):
        report = market.run(OPEN_MS + minute * 60 * SECOND, (OPTION, 40.0), (slow, 400.0), seed=1_000 * seed + minute)
        assert report.silent == ""
        assert report.mute == []
        notes += bool(report.quiet)
    assert notes <= 1


def test_a_liquid_one_that_falls_silent_among_others_is_named() -> None:
    market = Market(FUTURE, OPTION, LARGE, SMALL)
    market.run(OPEN_MS + 900 * SECOND, (FUTURE, 1.0), (OPTION, 30.0), (LARGE, 1.5), (SMALL, 20.0))
    report = market.run(market.at_ms + 59 * SECOND, (OPTION, 30.0), (LARGE, 1.5), (SMALL, 20.0))
    assert report.silent == ""
    report = market.run(market.at_ms + 10 * SECOND, (OPTION, 30.0), (LARGE, 1.5), (SMALL, 20.0))
    assert report.silent.startswith("NFO:NIFTY26NOVFUT (69 s)")


def test_a_slow_one_that_falls_silent_is_a_note() -> None:
    market = Market(LARGE, SMALL)
    market.run(OPEN_MS + 3_600 * SECOND, (LARGE, 1.0), (SMALL, 20.0))
    report = market.run(market.at_ms + 1_800 * SECOND, (LARGE, 1.0))
    assert report.mute == ["NSE equity"], "the only one of its class"
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
    assert report.silent == "NFO:NIFTY26NOVFUT (67 s)"
    assert report.mute == ["NSE equity"], "it has no other"


def test_a_cached_packet_without_a_price_is_a_packet() -> None:
    """Of what the exchange has not sent today the cached packet has time 0: nothing of it is shown, and it came."""
    market = Market(LARGE, FUTURE, up_ms=OPEN_MS + 60 * SECOND)
    market.state.latest["receive_ms"][1] = 0  # nothing shown; its baseline came, so it awaits nothing
    report = market.run(market.at_ms + 67 * SECOND, (LARGE, 1.0))
    assert (report.silent, report.quiet) == ("", "")


def test_many_are_counted_the_most_silent_first() -> None:
    many = [instrument(f"NSE:S{number}", SessionClass.EQUITY_FNO) for number in range(9)]
    market = Market(*many)
    for number, watch in enumerate(many[:8]):
        market.run(OPEN_MS + (number + 1) * 60 * SECOND, *((other, 1.0) for other in many[number:]))
        del watch
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
        market.watch = ClassWatch(CALENDAR, ["NSE:ELSE"], 1.0)
    assert market.facts(is_live=way != "backlog") == [
        ClassFacts("NSE equity_fno", 1, open_ms=OPEN_MS, close_ms=CLOSE_MS - 900 * SECOND)
    ]


def test_a_fast_clock_makes_no_pause_of_some_real_seconds_a_silence() -> None:
    market = Market(LARGE, INDEX, speed=60.0)
    market.run(OPEN_MS + 3_600 * SECOND, (LARGE, 1.0), (INDEX, 1.0))
    report = market.run(market.at_ms + 240 * SECOND)
    assert report.mute == []
    report = market.run(market.at_ms + 3_000 * SECOND)
    assert report.mute == ["NSE equity_fno", "NSE index"]


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
        market.quote(FUTURE)
        market.look(is_live=False)
    market.run(market.at_ms + 60 * SECOND, (FUTURE, 1.0), (OPTION, 2.0))
    report = market.run(market.at_ms + 130 * SECOND, (OPTION, 2.0))
    assert report.silent == "NFO:NIFTY26NOVFUT (2 min)"


def test_a_stock_that_trades_every_five_minutes_is_healthy() -> None:
    market = Market(SMALL)
    for minute in range(0, 180, 5):
        for _ in range(300):
            report = market.run(market.at_ms + SECOND)
            assert (report.mute, report.silent, report.quiet) == ([], "", ""), minute
        market.quote(SMALL)
    assert market.run(market.at_ms + 3 * 3_600 * SECOND).mute == ["NSE equity"]


def test_the_wait_for_the_first_quote_is_a_habit_too() -> None:
    """Nine minutes after the open, then it may be quiet for much longer than a quarter of an hour."""
    market = Market(SMALL)
    market.run(OPEN_MS + 540 * SECOND)
    market.quote(SMALL)
    assert market.run(market.at_ms + 1_600 * SECOND).mute == []
    later = Market(SMALL, up_ms=OPEN_MS + 600 * SECOND)
    assert later.run(later.at_ms + 900 * SECOND).mute == ["NSE equity"], "the cached packet is none"


def test_without_a_habit_a_small_class_is_first_a_note_and_then_mute() -> None:
    market = Market(SMALL)
    report = market.run(OPEN_MS + 44 * SECOND)
    assert (report.unseen, report.mute) == ([], [])
    report = market.run(OPEN_MS + 45 * SECOND)
    assert (report.unseen, report.mute) == (["NSE equity"], [])
    assert market.run(OPEN_MS + 899 * SECOND).mute == []
    report = market.run(OPEN_MS + 900 * SECOND)
    assert (report.unseen, report.mute) == ([], ["NSE equity"])


def test_a_future_of_nifty_is_never_quiet_for_a_minute() -> None:
    future = replace(FUTURE, name="NIFTY")
    market = Market(future)
    assert market.run(OPEN_MS + 59 * SECOND).mute == []
    assert market.run(OPEN_MS + 60 * SECOND).mute == ["NFO index_derivative"]


def test_a_halt_is_forgotten() -> None:
    """After one of 45 minutes the next silence is named as soon as before, once an hour has passed."""
    market = Market(FUTURE)
    market.run(OPEN_MS + 600 * SECOND, (FUTURE, 1.0))
    market.run(market.at_ms + 2_700 * SECOND)
    market.run(market.at_ms + 3_600 * SECOND, (FUTURE, 1.0))
    assert market.run(market.at_ms + 45 * SECOND).mute == ["NFO index_derivative"]


def test_a_packet_that_has_the_same_again_is_no_sign_of_life() -> None:
    market = Market(LARGE)
    market.state.latest["timed"] = 1
    for _ in range(1_200):
        market.at_ms += SECOND
        market.state.instruments["exchange_ms"] = market.at_ms
        market.quote(LARGE)
        assert market.look().mute == []
    for second in range(1, 61):
        market.at_ms += SECOND
        market.quote(LARGE)
        assert market.look().mute == (["NSE equity_fno"] if second >= 45 else []), second


def test_a_class_that_trades_in_another_shard_is_not_silent() -> None:
    """A future that trades in one shard, and in the other a far month of which only the cached packet came."""
    near, far = Market(FUTURE), Market(replace(FUTURE, tradingsymbol="NIFTY27MARFUT"))
    for minute in range(1, 60):
        near.run(OPEN_MS + minute * 60 * SECOND, (FUTURE, 1.0))
        far.run(OPEN_MS + minute * 60 * SECOND)
        report = Seen(near.facts(), far.facts())
        assert (report.mute, report.unseen, report.silent) == ([], [], ""), minute
    assert Seen(far.facts()).mute == ["NFO index_derivative"], "alone it would be"


def test_a_class_that_is_silent_in_all_shards_is_named_once_and_soon() -> None:
    """The quiet contracts of one shard do not excuse the future of the other."""
    near, far = Market(FUTURE), Market(OPTION)
    near.run(OPEN_MS + 600 * SECOND, (FUTURE, 1.0))
    far.run(OPEN_MS + 600 * SECOND, (OPTION, 90.0))
    for market in (near, far):
        market.run(OPEN_MS + 700 * SECOND)
    report = Seen(near.facts(), far.facts())
    assert report.mute == ["NFO index_derivative"]
    assert report.of("NFO index_derivative").instruments == 2
    assert report.silent == ""
    far.quote(OPTION)
    report = Seen(near.facts(), far.facts())
    assert (report.mute, report.silent) == ([], "NFO:NIFTY26NOVFUT (100 s)"), "alone among others it has a name"


def test_contracts_with_hours_of_their_own_are_named_by_their_underlying() -> None:
    """A quiet MENTHAOIL accuses nobody else of MCX."""
    contracts = [instrument(f"MCX:{name}", SessionClass.COMMODITY, "FUT") for name in ("MENTHAOIL", "KAPAS", "GOLD")]
    names = [_name(contract, CALENDAR.narrowed(contract.places)) for contract in contracts]
    assert names == ["MCX:MENTHAOIL commodity", "MCX:KAPAS commodity", "MCX commodity"]


def test_one_that_was_never_quoted_does_not_shorten_the_patience_with_the_others() -> None:
    """Nothing of a wrong instrument; in its shard or in another a far month, quiet for a minute as it may be."""
    near, far = replace(FUTURE, name="NIFTY"), replace(FUTURE, tradingsymbol="NIFTY27MARFUT")
    wrong, other, both = Market(near, up_ms=OPEN_MS), Market(far), Market(near, far, up_ms=OPEN_MS)
    for market in (wrong, both):
        market.state.latest["receive_ms"][0], market.state.instruments["awaiting"][0] = 0, AWAITS_ANY
    for market in (wrong, other, both):
        market.run(OPEN_MS + 70 * SECOND)
    for report in (Seen(wrong.facts(), other.facts()), both.look()):
        assert (report.mute, report.silent) == ([], "NFO:NIFTY26NOVFUT (70 s)")
    assert Seen(wrong.facts()).mute == ["NFO index_derivative"]


def test_strays_in_two_shards_add_up_when_they_are_of_one_time() -> None:
    def of(trades: int, at_ms: int) -> list[ClassFacts]:
        return [ClassFacts("NSE equity", 1, outside=Outside(trades, at_ms))]

    evening = CLOSE_MS + 3_600 * SECOND
    assert Seen(of(2, evening), of(1, evening + SECOND)).of("NSE equity").outside == Outside(3, evening + SECOND)
    assert Seen(of(2, evening), of(1, evening + 3_600 * SECOND)).of("NSE equity").outside.trades == 1
    assert Seen(of(4, evening), of(1, evening + 3_600 * SECOND)).of("NSE equity").outside.trades == 5


@pytest.mark.parametrize("text", ["", "[]", "{", '[["NSE equity"]]', "[1]", '[["a", 1, true, 0, 0, 7]]'])
def test_a_field_that_another_version_wrote_is_none(text: str) -> None:
    assert from_text(text) == []
