"""NO_NEW_ENTRIES_AFTER: minutes before each instrument's own close, or one time of day for all."""

from __future__ import annotations

from datetime import date, datetime

import pytest

from strategies import Direction, Proposal, Strategy
from utils.indicators import IndicatorValues
from utils.market.candle import Candle, Source, TimedBy
from utils.market.entry_limit import EntryLimit, read_entry_limit, silenced
from utils.market.hours_kept import hours_kept
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import IST
from utils.market.sessions import SessionCalendar
from utils.signals.engine import SignalEngine

CALENDAR = SessionCalendar.load()
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY_FNO)
CRUDE = Instrument(
    111, "MCX", "CRUDEOIL26DECFUT", "CRUDEOIL", "MCX-FUT", "FUT", "2026-12-18", 1.0, 1, SessionClass.COMMODITY
)
OPTION = Instrument(
    7, "NFO", "NIFTY26DEC25000CE", "NIFTY", "NFO-OPT", "CE", "2026-12-08", 0.05, 65, SessionClass.INDEX_DERIVATIVE
)
KNOWN = {instrument.symbol: instrument for instrument in (INFY, CRUDE, OPTION)}


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp() * 1000)


def candle(symbol: str, start_ms: int, end_ms: int, price: float = 100.0, close: float = 100.0) -> Candle:
    high, low = max(price, close) * 1.0005, min(price, close) * 0.9995
    return Candle(
        symbol, "5m", 1, start_ms, end_ms, price, high, low, close, 500, 100, close, 30, True, Source.LIVE, 0,
        TimedBy.EXCHANGE,
    )  # fmt: skip


def allows(limit: EntryLimit, symbol: str, end: str) -> bool:
    return limit.allows(candle(symbol, ms(end) - 300_000, ms(end)))


@pytest.mark.parametrize(
    ("symbol", "last", "too_late"),
    [
        ("NSE:INFY", "2026-11-20T15:00", "2026-11-20T15:00:05"),
        ("NSE:INFY", "2026-07-31T15:15", "2026-07-31T15:15:05"),
        ("NSE:INFY", "2024-11-01T18:45", "2024-11-01T18:50"),
        ("MCX:CRUDEOIL26DECFUT", "2026-11-20T23:40", "2026-11-20T23:45"),
        ("MCX:CRUDEOIL26DECFUT", "2026-07-01T23:15", "2026-07-01T23:20"),
        ("MCX:CRUDEOIL26DECFUT", "2026-01-01T16:45", "2026-01-01T16:50"),
        ("NFO:NIFTY26DEC25000CE", "2026-12-07T15:30", "2026-12-07T15:35"),
        ("NFO:NIFTY26DEC25000CE", "2026-12-08T15:15", "2026-12-08T15:20"),
        ("NSE:UNHEARD", "2026-11-20T15:00", "2026-11-20T15:05"),
        ("MCX:MCXCRUDEX", "2026-11-20T23:40", "2026-11-20T23:45"),
        ("MCX:CRUDEOIL26DEC5000CE", "2026-11-20T23:40", "2026-11-20T23:45"),
        ("MCX:COTTONCNDY26DECFUT", "2026-11-20T20:45", "2026-11-20T20:50"),
        ("MCX:MENTHAOIL26DECFUT", "2026-11-20T16:45", "2026-11-20T16:50"),
        ("MCX:MENTHAOIL24NOVFUT", "2024-11-01T18:45", "2024-11-01T18:50"),
        ("MCX:GOLD25DECFUT", "2025-10-21T14:30", "2025-10-21T14:35"),
        ("CDS:USDINR26N2085CE", "2026-11-20T16:45", "2026-11-20T16:50"),
        ("CDS:USDINR25OCTFUT", "2025-10-21T14:30", "2025-10-21T14:35"),
        ("NFO:NIFTY2511425000CE", "2025-10-21T14:30", "2025-10-21T14:35"),
        ("NFO:NIFTY26N2425000CE", "2026-11-20T15:25", "2026-11-20T15:30"),
        ("NFO:NIFTY26D0825000CE", "2026-12-08T15:15", "2026-12-08T15:20"),
        ("BFO:SENSEX26D1085000PE", "2026-12-10T15:15", "2026-12-10T15:20"),
        ("BFO:SENSEX24N0180000PE", "2024-11-01T18:45", "2024-11-01T18:50"),
    ],
)
def test_15m_is_measured_from_the_instruments_own_close(symbol: str, last: str, too_late: str) -> None:
    limit = read_entry_limit("15m", CALENDAR, KNOWN)
    assert [allows(limit, symbol, end) for end in (last, too_late, last)] == [True, False, True]


def test_where_there_is_no_session_nothing_is_allowed() -> None:
    limit = read_entry_limit("15m", CALENDAR, KNOWN)
    assert not allows(limit, "NSE:INFY", "2026-11-21T11:00")
    assert not allows(limit, "NSEIX:GIFT NIFTY", "2026-11-20T11:00")


def test_an_instrument_that_becomes_known_gets_its_own_close() -> None:
    known: dict[str, Instrument] = {}
    limit = read_entry_limit("15m", CALENDAR, known)
    assert not allows(limit, "NSE:CENTRALBK-BE", "2026-11-20T15:10"), "some of NSE close at 15:15"
    known["NSE:CENTRALBK-BE"] = Instrument(9, "NSE", "X", "X", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
    assert allows(limit, "NSE:CENTRALBK-BE", "2026-11-20T15:10")


def test_a_time_of_day_holds_for_all() -> None:
    limit = read_entry_limit("15:15", CALENDAR, KNOWN)
    for symbol in KNOWN:
        assert allows(limit, symbol, "2026-11-20T15:15")
        assert not allows(limit, symbol, "2026-11-20T15:20")
    assert not allows(limit, "NSE:INFY", "2024-11-01T18:45"), "Muhurat's hour ends after it"


def test_what_a_time_of_day_silences_is_named() -> None:
    symbols = ["NSE:INFY", "NSE:NIFTY 50", "NFO:NIFTY26DECFUT", "MCX:CRUDEOIL26DECFUT", "CDS:USDINR"]
    kept = hours_kept(symbols, {}, CALENDAR)
    everything = ["CDS until 17:00", "MCX until 23:55", "NFO until 15:40", "NSE until 15:30"]
    assert silenced("15:15", kept, CALENDAR, date(2026, 11, 20)) == everything
    assert silenced("15:15", kept, CALENDAR, date(2026, 11, 21)) == everything, "a Saturday: Monday's"
    assert silenced("23:59", kept, CALENDAR, date(2026, 11, 20)) == []
    assert silenced("15m", kept, CALENDAR, date(2026, 11, 20)) == []


def always(candle: Candle, now: IndicatorValues, before: IndicatorValues) -> Proposal | None:
    return Proposal(Direction.LONG, candle.close, 0.0, 0.0, ("always",))


@pytest.mark.parametrize(
    ("instrument", "day", "text", "last"),
    [
        (INFY, "2024-11-01", "15m", "18:45"),
        (INFY, "2024-11-01", "15:15", ""),
        (CRUDE, "2026-11-20", "15m", "23:40"),
        (CRUDE, "2026-11-20", "15:15", "15:15"),
    ],
)
def test_muhurat_and_the_evening_of_mcx_have_their_signals(
    instrument: Instrument, day: str, text: str, last: str
) -> None:
    session = CALENDAR.for_instrument(instrument, date.fromisoformat(day))
    assert session is not None
    starts = range(session.open_ms, session.close_ms, 300_000)
    engine = SignalEngine((Strategy("always", (), always),), read_entry_limit(text, CALENDAR, KNOWN))
    fired = engine.apply([candle(instrument.symbol, start_ms, start_ms + 300_000) for start_ms in starts]).fired
    expected = range(session.open_ms + 300_000, ms(f"{day}T{last}") + 1, 300_000) if last else range(0)
    assert [each.signal.at_ms for each in fired] == list(expected)
