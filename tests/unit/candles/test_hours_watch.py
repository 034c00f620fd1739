"""A class that trades outside its hours, or is silent inside them, is named within a minute."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.shared.extended_day import FUTURE, HEARTBEAT, INFY, frames, full, index, ltp, mark, ms
from tests.unit.candles.test_hours_in_candles import engine_of, longer
from utils.candles.class_doubts import Doubt, doubts_of, sentences, who
from utils.candles.class_watch import ClassWatch
from utils.candles.engine import CandleEngine
from utils.journal.entries import Entry, EntryId, Kind, down_mark
from utils.market.class_facts import ClassFacts, Outside, joined
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import SessionCalendar

CALENDAR = SessionCalendar.load()
INDEX = Instrument(256265, "NSE", "NIFTY 50", "NIFTY 50", "INDICES", "EQ", "", 0.05, 0, SessionClass.INDEX)
OPTION = replace(FUTURE, token=14500354, tradingsymbol="INFY26JUL1500CE", segment="NFO-OPT", instrument_type="CE")
FOREIGN = Instrument(291849, "NSEIX", "GIFT NIFTY", "GIFT NIFTY", "INDICES", "EQ", "", 0.0, 1, SessionClass.INDEX)


class Watched:
    """An engine that is looked at once a second of its own clock, as the candle worker does."""

    def __init__(self, *instruments: Instrument, at: str = "08:55", calendar: SessionCalendar = CALENDAR) -> None:
        self.engine: CandleEngine = engine_of("1m,1d", calendar)
        self.watch = ClassWatch(calendar, [instrument.symbol for instrument in instruments], 1.0)
        self.engine.process([mark(at, *instruments)])

    def play(self, *payloads: tuple[str, bytes]) -> dict[Doubt, list[str]]:
        found: dict[Doubt, list[str]] = {}
        for entry in frames(*payloads):
            self.engine.process([entry])
            facts = self.watch.look(self.engine.shard, self.engine.rows, self.engine.position.ms, is_live=True)
            found = {doubt: [who(doubt, of)] for (doubt, _), of in doubts_of(facts).items()}
        return found


def test_trades_that_keep_coming_after_the_hours_are_named() -> None:
    watch = Watched(INFY)
    watch.play(("09:14", full(INFY, 150_000, 0, "09:14")), ("15:29:30", full(INFY, 150_000, 400, "15:29:30")))
    assert watch.play(("15:59:00", full(INFY, 150_000, 500, "15:59:00"))) == {}, "the post-close session"
    assert watch.play(("16:05:01", full(INFY, 150_100, 600, "16:05:01"))) == {}, "a stray"
    watch.play(("16:05:02", full(INFY, 150_200, 700, "16:05:02")))
    assert watch.play(("16:05:04", full(INFY, 150_100, 800, "16:05:03"))) == {
        Doubt.OUTSIDE: ["NSE equity (3 trades, the last of 16:05:03)"]
    }


def test_trades_stamped_at_the_close_itself_are_those_of_a_healthy_day() -> None:
    """Three contracts with a last trade of 15:30:00 each: in no candle, and nothing is wrong with the hours."""
    contracts = [replace(FUTURE, token=FUTURE.token + n, tradingsymbol=f"X{n}26JULFUT") for n in range(3)]
    watch = Watched(*contracts)
    watch.play(*((f"09:14:0{n}", full(contract, 150_000, 0, "09:14")) for n, contract in enumerate(contracts)))
    close = [(f"15:30:0{n + 1}", full(contract, 150_000, 400, "15:30:00")) for n, contract in enumerate(contracts)]
    assert watch.play(*close) == {}
    assert watch.engine.shard.instruments["outside"].sum() == 3
    on = [(f"15:31:0{n + 1}", full(contract, 150_100, 800, "15:31:00")) for n, contract in enumerate(contracts)]
    assert watch.play(*on) == {Doubt.OUTSIDE: ["NFO-FUT equity_derivative (3 trades, the last of 15:31:00)"]}


def test_strays_all_over_an_evening_do_not_add_up() -> None:
    watch = Watched(FUTURE)
    watch.play(("09:14", full(FUTURE, 150_000, 0, "09:14")))
    strays = ("15:50:00", "16:10:00", "16:40:00", "17:20:00")
    assert watch.play(*((clock, full(FUTURE, 150_000, n, clock)) for n, clock in enumerate(strays, 1))) == {}
    more = ("17:20:30", "17:21:00")
    found = watch.play(*((clock, full(FUTURE, 150_000, n, clock)) for n, clock in enumerate(more, 5)))
    assert found == {Doubt.OUTSIDE: ["NFO-FUT equity_derivative (3 trades, the last of 17:21:00)"]}


def test_values_of_an_index_that_keep_moving_outside_the_hours_are_named() -> None:
    """Who watches indices only would see nothing of an evening's session: an index has no trades."""
    watch = Watched(INDEX)
    watch.play(("15:29:30", index(INDEX.token, 2_500_000, "15:29:30")))
    evening = [(f"18:00:0{n}", index(INDEX.token, 2_501_000 + n, f"18:00:0{n}")) for n in range(3)]
    assert watch.play(*evening[:2]) == {}
    assert watch.play(*evening[2:]) == {Doubt.OUTSIDE: ["NSE index (3 values, the last of 18:00:02)"]}


def test_an_index_moves_with_the_auction_and_to_its_official_close_and_stands_for_the_rest() -> None:
    watch = Watched(INDEX)
    clocks = ("09:01:00", "09:05:00", "09:07:00", "09:12:00", "15:30:10", "15:31:00", "15:40:00", "15:59:00")
    assert watch.play(*((clock, index(INDEX.token, 2_500_000 + n, clock)) for n, clock in enumerate(clocks))) == {}
    standing = [(f"18:00:0{n}", index(INDEX.token, 2_500_007, f"18:00:0{n}")) for n in range(6)]
    assert watch.play(*standing) == {}


def test_prices_without_a_volume_that_keep_moving_are_trades() -> None:
    watch = Watched(INFY)
    found = watch.play(*((f"18:00:0{n}", ltp(INFY, 150_000 + n)) for n in range(4)))
    assert found == {Doubt.OUTSIDE: ["NSE equity (3 trades, the last of 18:00:03)"]}


def test_a_day_on_which_the_calendar_is_closed_and_the_market_is_not(tmp_path: Path) -> None:
    own = tmp_path / "sessions.local.toml"
    own.write_text('[[holidays]]\nclasses = ["all"]\nsource = "a rumour"\ndates = { 2026-07-01 = "none" }\n')
    watch = Watched(INFY, calendar=SessionCalendar.load(local=own))
    watch.play(("09:14", full(INFY, 150_000, 0, "09:14")))
    clocks = ("09:15:01", "09:15:02", "09:15:03")
    found = watch.play(*((clock, full(INFY, 150_000, 10 * n, clock)) for n, clock in enumerate(clocks, 1)))
    assert found == {Doubt.OUTSIDE: ["NSE equity (3 trades, the last of 09:15:03)"]}


def test_a_class_that_is_silent_since_the_open_is_named_within_a_minute_and_the_others_are_not() -> None:
    watch = Watched(INFY, INDEX)
    assert watch.play(("09:14:30", HEARTBEAT), ("09:15:40", index(INDEX.token, 2_500_000, "09:15:40"))) == {}
    assert watch.play(("09:15:44", HEARTBEAT)) == {}
    found = watch.play(("09:16:00", index(INDEX.token, 2_500_100, "09:16:00")))
    assert found == {Doubt.MUTE: ["NSE equity (since 09:15:00)"]}
    watch.play(("09:16:01", full(INFY, 150_000, 10, "09:16:01")))
    assert watch.play(("09:16:10", index(INDEX.token, 2_500_200, "09:16:10"))) == {}


def test_a_class_that_falls_silent_is_named_by_its_own_habit() -> None:
    """Once it was quiet for 50 s, then it needs 150."""
    watch = Watched(INFY)
    for second in range(1, 60):
        clock = f"09:15:{second:02d}"
        watch.play((clock, full(INFY, 150_000, 10 * second, clock)))
    watch.play(("09:16:49", full(INFY, 150_000, 900, "09:16:49")))
    assert watch.play(("09:19:18", HEARTBEAT)) == {}
    assert watch.play(("09:19:19", HEARTBEAT)) == {Doubt.MUTE: ["NSE equity (since 09:16:49)"]}


def test_a_contract_that_is_quoted_and_not_traded_is_not_silent() -> None:
    """One far month has no trade all morning, and a book that moves: its hours are right."""
    watch = Watched(FUTURE)
    watch.play(("09:14", full(FUTURE, 150_000, 0, "09:14")))
    quotes = [(clock, quoted(FUTURE, clock)) for clock in ("09:15:30", "09:16:10", "09:16:40")]
    assert watch.play(*quotes) == {}
    assert watch.engine.shard.instruments["trade_ms"][0] < ms("09:15")
    assert watch.play(("09:33:00", HEARTBEAT)) == {Doubt.MUTE: ["NFO-FUT equity_derivative (since 09:16:40)"]}


def quoted(instrument: Instrument, clock: str) -> bytes:
    """What was traded at 09:14 in a packet of now: a quote, and no trade."""
    packet = bytearray(full(instrument, 150_000, 0, clock))
    packet[4 + 44 : 4 + 48] = (ms("09:14") // 1000).to_bytes(4, "big")
    return bytes(packet)


def test_a_silence_begins_with_the_connection() -> None:
    watch = Watched(INFY, at="10:00")
    assert watch.play(("10:00:44", HEARTBEAT)) == {}
    assert watch.play(("10:00:45", HEARTBEAT)) == {Doubt.MUTE: ["NSE equity (since 10:00:00)"]}
    watch.engine.process([Entry(EntryId(ms("10:00:46"), 2), Kind.MARK, down_mark("lost"))])
    assert watch.play(("10:05:00", HEARTBEAT)) == {}, "a feed that is down shows nothing about the hours"


def test_options_alone_may_be_quiet_for_long() -> None:
    watch = Watched(OPTION)
    assert watch.play(("09:14:30", HEARTBEAT), ("09:29:59", HEARTBEAT)) == {}
    assert watch.play(("09:30:00", HEARTBEAT)) == {Doubt.MUTE: ["NFO-OPT equity_derivative (since 09:15:00)"]}


def test_outside_the_hours_silence_is_right() -> None:
    watch = Watched(INFY, FUTURE)
    assert watch.play(("09:14:59", HEARTBEAT), ("15:45:00", HEARTBEAT)) == {}


def test_who_has_no_hours_is_named() -> None:
    watch = Watched(FOREIGN)
    assert watch.play(("09:14:59", HEARTBEAT)) == {Doubt.UNKNOWN: ["NSEIX (1 instruments)"]}


def test_edited_hours_begin_with_a_clean_count(tmp_path: Path) -> None:
    watch = Watched(INFY)
    watch.play(("09:14", full(INFY, 150_000, 0, "09:14")))
    evening = ("16:05:01", "16:05:02", "16:05:03")
    late = [(clock, full(INFY, 150_000, n, clock)) for n, clock in enumerate(evening, 10)]
    assert Doubt.OUTSIDE in watch.play(*late)
    two = Watched(INFY, calendar=longer(tmp_path))
    two.engine.restore(watch.engine.snapshot())
    clocks = ("16:05:04", "16:05:05", "16:05:06", "16:05:07")
    assert two.play(*((clock, full(INFY, 150_000, 20 + n, clock)) for n, clock in enumerate(clocks))) == {}
    same = Watched(INFY)
    same.engine.restore(watch.engine.snapshot())
    found = same.play(("16:05:04", full(INFY, 150_000, 20, "16:05:04")))
    assert Doubt.OUTSIDE in found, "a restart alone mends nothing"


def trades(name: str, count: int) -> ClassFacts:
    return ClassFacts(name, 1, outside=Outside(count, ms("23:56:10")))


def silent(name: str) -> ClassFacts:
    return ClassFacts(name, 1, since_ms=ms("09:00"), quiet_ms=60_000, limit_ms=45_000)


def test_the_sentence_has_all_classes() -> None:
    facts = joined([trades("MCX commodity", 3), trades("NSE equity", 9), trades("MCX commodity", 1)])
    ((_, output),) = sentences(doubts_of(facts), Path("local"))
    assert "MCX commodity (4 trades, the last of 23:56:10), NSE equity (9 trades, the last of 23:56:10); " in output


@pytest.mark.parametrize(
    ("doubt", "facts", "named"),
    [
        (Doubt.OUTSIDE, trades("MCX commodity", 3), "MCX commodity (3 trades, the last of 23:56:10)"),
        (Doubt.MUTE, silent("MCX commodity"), "MCX commodity (since 09:00:00)"),
        (Doubt.UNSEEN, silent("MCX commodity"), "MCX commodity (since 09:00:00)"),
    ],
)
def test_the_sentence_names_who_and_the_file_to_edit(doubt: Doubt, facts: ClassFacts, named: str) -> None:
    ((_, output),) = sentences({(doubt, facts.name): facts}, Path("local/sessions.local.toml"))
    assert named in output
    assert "local/sessions.local.toml" in output
