"""The demo's pure parts: its plan, its environment, what it counts and what it compares."""

from __future__ import annotations

import io
import random
from collections import Counter
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from commands.demo.figures import Figures
from commands.demo.figures_view import candles_table
from commands.demo.plan import PlanError, asked_stretch, make_plan
from commands.demo.run import shown_url
from commands.demo.truth import TruthCount, compare_with_tape, total
from commands.shared.closed_tally import ClosedTally
from commands.shared.closing_figures import StoredCandles, compare_stored, rejected_by_reason
from commands.shared.run_environment import RunPlace, add_instruments, own_environment
from simulator.tape import Tape
from simulator.universe import build_universe
from utils.market.candle import Candle, Source, TimedBy
from utils.market.ist import IST
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframes
from utils.runtime.settings import Settings

DAY = date(2026, 11, 20)
OPEN_MS = round(datetime(2026, 11, 20, 9, 15, tzinfo=IST).timestamp() * 1000)


def _candle(start_ms: int = OPEN_MS, rev: int = 0, timeframe: str = "1m", symbol: str = "NSE:INFY") -> Candle:
    return Candle(
        symbol=symbol,
        timeframe=timeframe,
        token=408065,
        start_ms=start_ms,
        end_ms=start_ms + 60_000,
        open=100.0,
        high=101.5,
        low=99.0,
        close=100.5,
        volume=1200,
        oi=None,
        vwap=100.25,
        ticks=7,
        complete=True,
        source=Source.LIVE,
        rev=rev,
        timed_by=TimedBy.EXCHANGE,
    )


# ---- the plan


def test_a_plan_is_in_market_milliseconds() -> None:
    plan = make_plan(DAY, "09:15", "15:30", 60.0, 50, "usual", 7)
    assert (plan.from_ms, plan.until_ms) == (OPEN_MS, OPEN_MS + 22_500_000)
    assert plan.real_seconds == 375.0


@pytest.mark.parametrize(
    ("start", "until", "full", "played"),
    [
        (None, None, False, ("09:07", "10:37")),
        (None, None, True, ("09:00", "15:45")),
        ("11:00", None, False, ("11:00", "15:45")),
        (None, "09:05", False, ("09:00", "09:05")),
        ("09:20", None, False, ("09:20", "10:37")),
        ("10:00", "09:30", False, ("10:00", "09:30")),  # for the plan to refuse
    ],
)
def test_an_end_that_is_not_given_fits_the_one_that_is(
    start: str | None, until: str | None, full: bool, played: tuple[str, str]
) -> None:
    assert asked_stretch(start, until, full) == played


@pytest.mark.parametrize(
    ("changed", "option"),
    [
        ({"session": date(2026, 11, 22)}, "--session"),
        ({"session": date(2026, 12, 25)}, "--session"),
        ({"start": "9.15"}, "--from"),
        ({"until": "25:00"}, "--until"),
        ({"until": "09:15"}, "--until"),
        ({"speed": -1.0}, "--speed"),
        ({"speed": float("nan")}, "--speed"),
        ({"instruments": 4}, "--instruments"),
        ({"instruments": 9_001}, "--instruments"),
        ({"faults": "late,gremlins"}, "--faults"),
    ],
)
def test_what_cannot_be_played_is_refused_by_its_option(changed: dict[str, object], option: str) -> None:
    asked: dict[str, object] = {"session": DAY, "start": "09:15", "until": "15:30", "speed": 60.0}
    asked |= {"instruments": 50, "faults": "usual", "seed": 7} | changed
    with pytest.raises(PlanError, match=f"^{option}: "):
        make_plan(**asked)  # type: ignore[arg-type]


# ---- the environment


def test_nothing_of_the_live_settings_leaks_into_a_demo() -> None:
    live = {name.upper(): "live" for name in Settings.model_fields} | {"Api_Secret": "live"}
    live |= {"PATH": "/bin", "NUMBA_CACHE_DIR": "/kernels", "TIMEFRAMES": "1m,2m", "PYTHONPATH": "/more"}
    place = RunPlace(Path("/run/demo"), "redis://r", "demo:", "mongodb://m", "candlewick_demo")
    environment = own_environment(place, live, MARKET_CLOCK="x")
    passed_on = {name for name, value in environment.items() if value == "live"}
    assert passed_on == {
        "STRATEGIES",
        "NO_NEW_ENTRIES_AFTER",
        "LOG_LEVEL",
        "LIVE_REFRESH_MS",
        "SNAPSHOT_SECONDS",
        "CLOSE_GRACE_SECONDS",
    }
    assert environment["TIMEFRAMES"] == "1m,2m"
    assert (environment["PATH"], environment["NUMBA_CACHE_DIR"]) == ("/bin", "/kernels")
    assert environment["REDIS_PREFIX"] == "demo:"
    assert environment["MARKET_CLOCK"] == "x"
    assert environment["PYTHONPATH"].endswith(":/more")
    for name in ("JOURNAL_DIR", "LOG_DIR", "ACCESS_TOKEN_FILE"):
        assert environment[name].startswith("/run/demo/")


def test_a_list_of_instruments_that_no_environment_can_hold_reaches_the_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = RunPlace(tmp_path, "redis://r", "demo:", "mongodb://m", "candlewick_demo")
    few, many = ["NSE:INFY", "NSE:M&M"], [f"NFO:NIFTY26NOV{strike}CE" for strike in range(20_000, 29_000)]
    environment: dict[str, str] = {}
    add_instruments(environment, few, place)
    assert environment == {"INSTRUMENTS": "NSE:INFY,NSE:M&M"}
    environment = {}
    add_instruments(environment, many, place)
    assert all(len(value) < 131_072 for value in environment.values())  # MAX_ARG_STRLEN
    monkeypatch.delenv("INSTRUMENTS", raising=False)
    monkeypatch.chdir(place.work)
    assert list(Settings.load(**environment).symbols) == many


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("redis://:secret@host:6379/0", "redis://:***@host:6379/0"),
        ("mongodb://user:p%40ss@host/db?authSource=admin", "mongodb://user:***@host/db?authSource=admin"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown


# ---- what is counted


def test_the_tally_counts_candles_revisions_and_repetitions() -> None:
    tally = ClosedTally([0])
    for candle in (_candle(), _candle(OPEN_MS + 60_000), _candle(rev=1), _candle(rev=3), _candle(timeframe="5m")):
        tally.add(candle)
    assert tally.candles == {"1m": 2, "5m": 1}
    assert tally.revisions == {"1m": 2}
    assert tally.twice == 0
    tally.add(_candle(rev=3))
    tally.add(_candle(rev=0))
    assert tally.twice == 2
    assert tally.candles == {"1m": 2, "5m": 1}


def test_the_tally_knows_candles_in_any_order_and_gives_those_of_some_symbols() -> None:
    tally = ClosedTally([0])
    dice = random.Random(20261121)
    published: dict[str, Candle] = {}
    candles = [
        _candle(OPEN_MS + index * 60_000, timeframe=name, symbol=symbol)
        for index in range(30) for name in ("1m", "3m") for symbol in ("NSE:A", "NSE:B", "NSE:C")
    ]  # fmt: skip
    for rev in (0, 1, 4):
        dice.shuffle(candles)
        for candle in candles[: len(candles) if rev == 0 else 50]:
            published[candle.id] = replace(candle, rev=rev, high=100.0 + dice.randrange(1_000))
            tally.add(published[candle.id])
    assert tally.last_word == {name: hash(message) for name, message in published.items()}
    assert (tally.candles.total(), tally.revisions.total(), tally.twice) == (180, 100, 0)
    of_two = {name: hash(message) for name, message in published.items() if message.symbol != "NSE:B"}
    assert tally.of(["NSE:C", "NSE:A", "NSE:UNKNOWN"]).last_word == of_two
    assert sorted(tally.symbols) == ["NSE:A", "NSE:B", "NSE:C"]


def test_stored_candles_are_compared_with_the_last_word() -> None:
    tally = ClosedTally([0])
    kept, revised, changed, lost = (_candle(OPEN_MS + index * 60_000) for index in range(4))
    for candle in (kept, revised, replace(revised, rev=1, high=102.0), changed, lost):
        tally.add(candle)
    foreign = _candle(OPEN_MS, symbol="NSE:ELSE")
    found = compare_stored([kept, revised, replace(changed, close=100.45), foreign], tally)
    assert found.count == {"1m": 4}
    assert found.different == {"1m": 2}  # one holds an older revision, one another close
    assert found.missing == {"1m": 1}
    assert found.unknown == {"1m": 1}
    assert not found.is_as_published
    assert compare_stored([kept, replace(revised, rev=1, high=102.0), changed, lost], tally).is_as_published


def test_an_integral_price_is_the_same_as_integer_and_as_float() -> None:
    """MongoDB may give back 100 for 100.0."""
    tally = ClosedTally([0])
    tally.add(_candle())
    assert compare_stored([replace(_candle(), open=100)], tally).is_as_published


def test_rejected_counts_come_from_the_health_report_without_the_zeros() -> None:
    report = {"packets": "9", "rejected_zscore": "3", "rejected_frame": "0", "rejected_crossed": "12"}
    assert rejected_by_reason(report) == {"crossed": 12, "zscore": 3}


def _figures(**changed: object) -> Figures:
    stored = StoredCandles(Counter({"1m": 2}), Counter(), Counter(), Counter())
    figures = Figures(100, 80, ("1m",), {"1m": 2}, {}, 0, stored, {"1m": total({})}, 3, 3, {})
    return replace(figures, **changed)  # type: ignore[arg-type]


def test_faults_are_listed_when_and_only_when_something_is_not_as_it_should_be() -> None:
    assert list(_figures().faults()) == []
    lost = StoredCandles(Counter({"1m": 2}), Counter({"1m": 1, "5m": 2}), Counter(), Counter())
    assert list(_figures(stored=lost).faults()) == ["3 candles were published but are not in MongoDB (1m 1, 5m 2)."]
    assert "repeat" in next(_figures(twice=1).faults())
    assert next(_figures(signals_stored=2).faults()) == "3 signals were published, 2 are in MongoDB."
    assert next(_figures(packets=0).faults()) == "Not one packet arrived."


def test_a_timeframe_that_nothing_was_played_of_is_no_fault_and_is_named() -> None:
    figures = _figures(timeframes=("1m", "1d"), truth={"1m": TruthCount(2, 2, 2), "1d": TruthCount()})
    assert list(figures.faults()) == []
    console = Console(width=130, file=io.StringIO())
    console.print(candles_table(figures))
    assert isinstance(console.file, io.StringIO)
    minute, day = (line for line in console.file.getvalue().splitlines() if line.startswith((" 1m", " 1d")))
    assert "2 of 2 (100.0 %)" in minute
    assert "none within what was played" in day


# ---- against the tape


@pytest.fixture(scope="module")
def tape() -> Tape:
    calendar = SessionCalendar.load()
    return Tape(build_universe(8, 3, calendar, DAY), calendar, DAY)


def _observed(tape: Tape, row: int, name: str, length_ms: int) -> list[Candle]:
    """The row's candles of continuous trading, made of its trades in plain pandas."""
    session, instrument = tape.sessions[row], tape.universe.instruments[row]
    assert session is not None
    trades = tape.full_day(row)
    table = pd.DataFrame({"ms": trades.ms, "price": trades.price, "quantity": trades.quantity})
    table = table[(table.ms >= session.open_ms) & (table.ms < session.close_ms)].copy()
    table["start"] = session.open_ms + (table.ms - session.open_ms) // length_ms * length_ms
    drawn = table.groupby("start").agg(
        open=("price", "first"), high=("price", "max"), low=("price", "min"), close=("price", "last"),
        volume=("quantity", "sum"),
    )  # fmt: skip
    divisor = int(tape.universe.divisor[row])
    return [
        replace(
            _candle(start, timeframe=name, symbol=instrument.symbol),
            end_ms=min(start + length_ms, session.close_ms),
            open=values["open"] / divisor,
            high=values["high"] / divisor,
            low=values["low"] / divisor,
            close=values["close"] / divisor,
            volume=None if instrument.is_index else values["volume"],
        )
        for start, values in zip(drawn.index.tolist(), drawn.to_dict("records"), strict=True)
    ]


def test_candles_of_every_trade_equal_the_tape(tape: Tape) -> None:
    candles = [candle for row in range(len(tape.universe)) for candle in _observed(tape, row, "5m", 300_000)]
    counts = compare_with_tape(tape, parse_timeframes("5m"), candles, 0, 2**62)
    assert counts["5m"].as_dict() == {
        "true": len(candles), "equal": len(candles), "volume_equal": len(candles), "missing": 0, "extra": 0
    }  # fmt: skip


def test_each_difference_to_the_tape_is_counted(tape: Tape) -> None:
    row = next(at for at, instrument in enumerate(tape.universe.instruments) if instrument.symbol == "NSE:INFY")
    candles = _observed(tape, row, "15m", 900_000)
    others = [
        replace(candle, volume=(candle.volume or 0) + 1) if at == 3 else candle for at, candle in enumerate(candles)
    ]
    others[4] = replace(others[4], high=others[4].high + 0.05)
    del others[5]
    others.append(replace(candles[0], start_ms=candles[0].start_ms + 1))
    counts = compare_with_tape(tape, parse_timeframes("15m"), others, OPEN_MS, OPEN_MS + 6 * 3_600_000)
    whole = compare_with_tape(tape, parse_timeframes("15m"), candles, OPEN_MS, OPEN_MS + 6 * 3_600_000)
    missing_of_other_rows = whole["15m"].missing
    found = counts["15m"]
    assert found.true == whole["15m"].true == len(candles) + missing_of_other_rows
    assert found.equal == len(candles) - 3
    assert found.volume_equal == len(candles) - 2
    assert found.missing == missing_of_other_rows + 1
    assert found.extra == 1


def test_what_the_stretch_cuts_is_not_judged(tape: Tape) -> None:
    row = next(at for at, instrument in enumerate(tape.universe.instruments) if instrument.symbol == "NSE:INFY")
    candles = _observed(tape, row, "15m", 900_000)
    within = compare_with_tape(tape, parse_timeframes("15m"), candles, OPEN_MS + 60_000, OPEN_MS + 46 * 60_000)
    assert within["15m"].equal == 2  # 09:30 and 09:45; the others begin before 09:16 or end after 10:01
