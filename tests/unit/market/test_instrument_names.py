"""Names that are in no dump: the one that was probably meant stands beside them."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import structlog
from structlog.testing import capture_logs

from utils.connector.instrument_watch import InstrumentWatch
from utils.kite.instrument_dump import dump_path
from utils.market.instrument_names import InstrumentNames, with_suggestions
from utils.market.instruments import Instrument, read_dump
from utils.runtime.log import BoundLogger

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange\n"
)
ROWS = """256265,1001,NIFTY 50,"NIFTY 50",0,,0,0,0,EQ,INDICES,NSE
260105,1016,NIFTY BANK,"NIFTY BANK",0,,0,0,0,EQ,INDICES,NSE
257801,1007,NIFTY FIN SERVICE,"NIFTY FIN SERVICE",0,,0,0,0,EQ,INDICES,NSE
288009,1125,NIFTY MID SELECT,"NIFTY MID SELECT",0,,0,0,0,EQ,INDICES,NSE
264969,1035,INDIA VIX,"INDIA VIX",0,,0,0,0,EQ,INDICES,NSE
265,1,SENSEX,"SENSEX",0,,0,0,0,EQ,INDICES,BSE
408065,1594,INFY,"INFOSYS",0,,0,0.05,1,EQ,NSE,NSE
128053508,500209,INFY,"INFOSYS",0,,0,0.05,1,EQ,BSE,BSE
1304833,5097,ETERNAL,"ETERNAL",0,,0,0.05,1,EQ,NSE,NSE
519937,2031,M&M,"MAHINDRA & MAHINDRA",0,,0,0.05,1,EQ,NSE,NSE
4267265,16669,BAJAJ-AUTO,"BAJAJ AUTO",0,,0,0.05,1,EQ,NSE,NSE
738561,2885,RELIANCE,"RELIANCE INDUSTRIES",0,,0,0.05,1,EQ,NSE,NSE
2939649,11483,LT,"LARSEN & TOUBRO",0,,0,0.05,1,EQ,NSE,NSE
341249,1333,HDFCBANK,"HDFC BANK",0,,0,0.05,1,EQ,NSE,NSE
119553,467,HDFCLIFE,"HDFC LIFE INSURANCE",0,,0,0.05,1,EQ,NSE,NSE
884737,3456,TMPV,"TATA MOTORS PASSENGER VEHICLES",0,,0,0.05,1,EQ,NSE,NSE
12345,48,NIFTY26DECFUT,"NIFTY",0,2026-12-29,0,0.05,75,FUT,NFO-FUT,NFO
15360258,60001,NIFTY26DEC24000PE,"NIFTY",0,2026-12-29,24000,0.05,75,PE,NFO-OPT,NFO
113456647,443190,CRUDEOIL27JANFUT,"CRUDEOIL",0,2027-01-19,0,1,1,FUT,MCX-FUT,MCX
111111687,434030,CRUDEOIL26DECFUT,"CRUDEOIL",0,2026-12-18,0,1,1,FUT,MCX-FUT,MCX
315907,1234,USDINR26DECFUT,"USDINR",0,2026-12-29,0,0.0025,1,FUT,CDS-FUT,CDS
"""
DAY = date(2026, 11, 20)


@pytest.fixture(scope="module")
def instruments() -> list[Instrument]:
    return read_dump((HEADER + ROWS).encode()).instruments


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("nse:infy", "NSE:INFY"),
        ("NSE:INFY-EQ", "NSE:INFY"),
        ("NSE: INFY", "NSE:INFY"),
        ("BSE:infy", "BSE:INFY"),
        ("NSE_EQ:INFY", "NSE:INFY"),
        ("NFO:INFY", "NSE:INFY"),
        ("NSE:NIFTY", "NSE:NIFTY 50"),
        ("NSE:NIFTY50-INDEX", "NSE:NIFTY 50"),
        ("NSE:Nifty 50", "NSE:NIFTY 50"),
        ("NSE:BANKNIFTY", "NSE:NIFTY BANK"),
        ("NSE:FINNIFTY", "NSE:NIFTY FIN SERVICE"),
        ("NSE:MIDCPNIFTY", "NSE:NIFTY MID SELECT"),
        ("NSE:INDIAVIX", "NSE:INDIA VIX"),
        ("NSE:SENSEX", "BSE:SENSEX"),
        ("NSE:ZOMATO", "NSE:ETERNAL"),
        ("NSE:RELAINCE", "NSE:RELIANCE"),
        ("NSE:BAJAJ AUTO", "NSE:BAJAJ-AUTO"),
        ("NFO:NIFTY26NOVFUT", "NFO:NIFTY26DECFUT"),
        ("NSE:M & M", "NSE:M&M"),
        ("NSE:M_M", "NSE:M&M"),
        ("NSE:M&amp;M", "NSE:M&M"),
        ("NSE:TATAMOTORS", "NSE:TMPV"),
        ("NSE:INFOSYS", "NSE:INFY"),
        ("BSE:Infosys", "BSE:INFY"),
        ("BSE:500209", "BSE:INFY"),
        ("BSE:BSE SENSEX", "BSE:SENSEX"),
        ("MCX:CRUDEOIL", "MCX:CRUDEOIL26DECFUT"),
        ("CDS:USDINR", "CDS:USDINR26DECFUT"),
        ("NFO:NIFTY26NOV24000PE", "NFO:NIFTY26DEC24000PE"),
        ("NSE:L&T", "NSE:LT"),
        ("NSE:LARSEN", "NSE:LT"),
        ("MCX:CRUDE", "MCX:CRUDEOIL26DECFUT"),
        ("NSE:NSE:INFY", "NSE:INFY"),
        ("NSE:408065", "NSE:INFY"),
    ],
)
def test_the_one_that_was_meant(written: str, meant: str, instruments: list[Instrument]) -> None:
    assert InstrumentNames(instruments).nearest(written) == meant


@pytest.mark.parametrize(
    "written", ["NSE:ABCDEF", "NSE:HDFC", "MCX:GOLD26DECFUT", "NSE:&", "NSE:IN", "NSE:", "NFO:NIFTY26DEC24000CE"]
)
def test_what_is_near_nothing_gets_no_suggestion(written: str, instruments: list[Instrument]) -> None:
    assert InstrumentNames(instruments).nearest(written) == ""
    assert with_suggestions([written], instruments) == [written]


def watch(directory: Path, symbols: tuple[str, ...], log: BoundLogger, fatal: list[str]) -> InstrumentWatch:
    dump_path(directory, DAY).write_text(HEADER + ROWS)
    found: list[Instrument] = []
    at_ms = 1_795_149_000_000
    return InstrumentWatch(
        "http://127.0.0.1:9", directory, symbols, lambda: "", lambda: at_ms, found.extend, fatal.append, log
    )


def test_the_connector_names_it_in_its_log_and_goes_on_with_the_others(tmp_path: Path) -> None:
    with capture_logs() as logged:
        watch(tmp_path, ("NSE:ZOMATO", "NSE:INFY"), structlog.get_logger(), [])._look(DAY)
    (line,) = [event["event"] for event in logged if event["log_level"] == "warning"]
    assert line.endswith("and not watched: NSE:ZOMATO (NSE:ETERNAL?)")


def test_when_none_is_there_the_sentence_it_ends_with_names_them(tmp_path: Path) -> None:
    fatal: list[str] = []
    with capture_logs():
        watch(tmp_path, ("NSE:NIFTY", "NSE:XYZ"), structlog.get_logger(), fatal)._look(DAY)
    assert "(NSE:NIFTY (NSE:NIFTY 50?), NSE:XYZ)" in fatal[0]


def test_in_a_whole_dump_as_well(instruments: list[Instrument]) -> None:
    many = [
        replace(instruments[-1], token=n, tradingsymbol=f"{'ABCDEFGHIJKLMNOP'[n % 16]}{n}") for n in range(1, 100_000)
    ]
    missing = [f"NSE:RELAINC{n}" for n in range(10)]
    assert with_suggestions(missing, [*instruments, *many]) == [f"{symbol} (NSE:RELIANCE?)" for symbol in missing]
