"""The broker's dump: who is what, what is skipped, and who is asked for."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from utils.market.instruments import DumpError, Instrument, SessionClass, parse_dump, read_dump, select

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
    "instrument_type,segment,exchange"
)
ROWS = """\
256265,1001,NIFTY 50,NIFTY 50,0,,0,0,0,EQ,INDICES,NSE
265,1,SENSEX,SENSEX,0,,0,0,0,EQ,INDICES,BSE
408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE
128053508,500209,INFY,INFOSYS,0,,0,0.05,1,EQ,BSE,BSE
519937,2031,M&M,"MAHINDRA & MAHINDRA, LIMITED",0,,0,0.05,1,EQ,NSE,NSE
3813889,14898,CENTRALBK-BE,CENTRAL BANK OF INDIA,0,,0,0.05,1,EQ,NSE,NSE
12345602,48225,INFY26NOVFUT,INFY,0,2026-11-24,0,0.05,400,FUT,NFO-FUT,NFO
12345858,48226,INFY26NOV1500CE,INFY,0,2026-11-24,1500,0.05,400,CE,NFO-OPT,NFO
12346114,48227,NIFTY26NOVFUT,NIFTY,0,2026-11-24,0,0.1,65,FUT,NFO-FUT,NFO
12346370,48228,NIFTY26NOV25000PE,NIFTY,0,2026-11-24,25000,0.05,65,PE,NFO-OPT,NFO
12346373,48229,SENSEX26NOVFUT,SENSEX,0,2026-11-26,0,0.05,20,FUT,BFO-FUT,BFO
412674,1612,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1,FUT,CDS-FUT,CDS
412678,1613,USDINR26NOVFUT,USDINR,0,2026-11-26,0,0.0025,1,FUT,BCD-FUT,BCD
273417,1068,MCXCRUDEX,MCXCRUDEX,0,,0,0,1,EQ,INDICES,MCX
115608839,451597,CRUDEOIL26DECFUT,CRUDEOIL,0,2026-12-18,0,1,100,FUT,MCX-FUT,MCX
115608844,451598,GOLD26DECFUT,GOLD,0,2026-12-18,0,1,100,FUT,NCO-FUT,NCO
"""
CLASSES = {
    "NSE:NIFTY 50": SessionClass.INDEX,
    "BSE:SENSEX": SessionClass.INDEX,
    "NSE:INFY": SessionClass.EQUITY_FNO,
    "BSE:INFY": SessionClass.EQUITY_FNO,
    "NSE:M&M": SessionClass.EQUITY,
    "NSE:CENTRALBK-BE": SessionClass.EQUITY,
    "NFO:INFY26NOVFUT": SessionClass.EQUITY_DERIVATIVE,
    "NFO:INFY26NOV1500CE": SessionClass.EQUITY_DERIVATIVE,
    "NFO:NIFTY26NOVFUT": SessionClass.INDEX_DERIVATIVE,
    "NFO:NIFTY26NOV25000PE": SessionClass.INDEX_DERIVATIVE,
    "BFO:SENSEX26NOVFUT": SessionClass.INDEX_DERIVATIVE,
    "CDS:USDINR26NOVFUT": SessionClass.CURRENCY,
    "BCD:USDINR26NOVFUT": SessionClass.CURRENCY,
    "MCX:MCXCRUDEX": SessionClass.INDEX,
    "MCX:CRUDEOIL26DECFUT": SessionClass.COMMODITY,
    "NCO:GOLD26DECFUT": SessionClass.COMMODITY,
}
REAL = Path(__file__).resolve().parents[3] / ".." / "shared" / "real" / "instruments_nse.csv"


def dump(rows: str = ROWS) -> bytes:
    return f"{HEADER}\n{rows}".encode()


def test_each_row_gets_its_class_in_the_dumps_order() -> None:
    instruments = parse_dump(dump())
    assert {instrument.symbol: instrument.session_class for instrument in instruments} == CLASSES
    assert [instrument.symbol for instrument in instruments] == list(CLASSES)


def test_only_a_future_of_its_name_makes_a_stock_one_with_derivatives() -> None:
    stock = "2953217,11536,TCS,TCS LIMITED,0,,0,0.05,1,EQ,NSE,NSE\n"
    option = "12345603,48300,TCS26NOV3000CE,TCS,0,2026-11-24,3000,0.05,175,CE,NFO-OPT,NFO\n"
    future = "12345859,48301,TCS26NOVFUT,TCS,0,2026-11-24,0,0.05,175,FUT,BFO-FUT,BFO\n"
    assert parse_dump(dump(stock + option))[0].session_class is SessionClass.EQUITY
    assert parse_dump(dump(stock + future))[0].session_class is SessionClass.EQUITY_FNO


def test_the_fields_of_a_row() -> None:
    by_symbol = {instrument.symbol: instrument for instrument in parse_dump(dump())}
    assert by_symbol["CDS:USDINR26NOVFUT"] == Instrument(
        token=412674,
        exchange="CDS",
        tradingsymbol="USDINR26NOVFUT",
        name="USDINR",
        segment="CDS-FUT",
        instrument_type="FUT",
        expiry="2026-11-26",
        tick_size=0.0025,
        lot_size=1,
        session_class=SessionClass.CURRENCY,
    )
    assert by_symbol["NSE:M&M"].name == "MAHINDRA & MAHINDRA, LIMITED"
    assert by_symbol["NSE:NIFTY 50"].is_index
    assert not by_symbol["NSE:INFY"].is_index


def test_gzip_byte_order_mark_line_ends_and_column_order_do_not_matter() -> None:
    plain = parse_dump(dump())
    assert parse_dump(gzip.compress(dump())) == plain
    assert parse_dump(b"\xef\xbb\xbf" + dump().replace(b"\n", b"\r\n")) == plain
    turned = "\n".join(",".join(reversed(line.split(","))) for line in (HEADER, *ROWS.splitlines()[:4]))
    assert [
        (instrument.symbol, instrument.token, instrument.tick_size) for instrument in parse_dump(turned.encode())
    ] == [
        ("NSE:NIFTY 50", 256265, 0.0),
        ("BSE:SENSEX", 265, 0.0),
        ("NSE:INFY", 408065, 0.05),
        ("BSE:INFY", 128053508, 0.05),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("x,1,BAD,BAD,0,,0,0.05,1,EQ,NSE,NSE", "their instrument_token is no token"),
        ("0,1,BAD,BAD,0,,0,0.05,1,EQ,NSE,NSE", "their instrument_token is no token"),
        ("-5,1,BAD,BAD,0,,0,0.05,1,EQ,NSE,NSE", "their instrument_token is no token"),
        ("4294967296,1,BAD,BAD,0,,0,0.05,1,EQ,NSE,NSE", "their instrument_token is no token"),
        ("5,1,,BAD,0,,0,0.05,1,EQ,NSE,NSE", "they have no tradingsymbol"),
        ("5,1,BAD,BAD,0,,0,nan,1,EQ,NSE,NSE", "their tick_size is no number of 0 or more"),
        ("5,1,BAD,BAD,0,,0,0.05,,EQ,NSE,NSE", "their lot_size is no number of 0 or more"),
        ("5,1,BAD,BAD,0,26-11-2026,0,0.05,1,FUT,NFO-FUT,NFO", "their expiry is no date such as 2026-11-26"),
        ("5,1,BAD,BAD,0,,0,0.05,1,EQ,GLOBAL,GLOBAL", "no trading hours are known for exchange 'GLOBAL'"),
        ("291849,1140,GIFT NIFTY,GIFT,0,,0,0,0,EQ,INDICES,NSEIX", "no trading hours are known for exchange 'NSEIX'"),
        ("299529,1170,US500,US 500,0,,0,0,0,EQ,INDICES,GLOBAL", "no trading hours are known for exchange 'GLOBAL'"),
        ("5,1,BAD,BAD", "they do not have 12 columns"),
        ("408065,1594,INFY,INFOSYS,0,,0,0.05,1,EQ,NSE,NSE", "their symbol stood there before"),
    ],
)
def test_a_bad_row_is_skipped_counted_and_named(row: str, reason: str) -> None:
    content = read_dump(dump(ROWS + row + "\n" + row + "\n"))
    assert {instrument.symbol for instrument in content.instruments} == set(CLASSES)
    assert content.skipped == {reason: 2}
    assert content.skipped_sentence == f"2 rows of the instruments dump were skipped: 2 because {reason}"


def test_a_good_dump_has_nothing_to_report() -> None:
    assert read_dump(dump()).skipped_sentence == ""


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b"", "no column 'instrument_token'"),
        (b"<html>maintenance</html>", "it begins with '<html>maintenance"),
        (dump().replace(b"tick_size", b"tick"), "no column 'tick_size'"),
        (gzip.compress(dump())[:-20], "broken gzip file"),
    ],
)
def test_what_is_no_dump_is_one_sentence(body: bytes, complaint: str) -> None:
    with pytest.raises(DumpError, match=complaint) as caught:
        parse_dump(body)
    assert "\n" not in str(caught.value)


def test_select_keeps_the_order_asked_and_names_the_missing() -> None:
    instruments = parse_dump(dump())
    asked = ["NFO:NIFTY26NOVFUT", "NSE:GONE", "NSE:INFY", "BSE:NIFTY 50", "NSE:NIFTY 50"]
    found, missing = select(instruments, asked)
    assert [instrument.token for instrument in found] == [12346114, 408065, 256265]
    assert missing == ["NSE:GONE", "BSE:NIFTY 50"]


def test_an_instrument_survives_its_dict() -> None:
    for instrument in parse_dump(dump()):
        assert Instrument.from_dict(instrument.as_dict()) == instrument


def test_a_hundred_thousand_rows_take_seconds_at_most() -> None:
    rows = "".join(
        f"{number + 256},{number},NIFTY26NOV{number}CE,NIFTY,0,2026-11-24,{number},0.05,65,CE,NFO-OPT,NFO\n"
        for number in range(100_000)
    )
    body = dump(rows)
    started = time.process_time()
    assert len(parse_dump(body)) == 100_000
    assert time.process_time() - started < 5  # about 0.6 s on one core; the bound is for a busy machine


@pytest.mark.skipif(not REAL.exists(), reason="the broker's published samples are not beside the project")
def test_the_brokers_own_rows() -> None:
    content = read_dump(REAL.read_bytes())
    assert content.skipped == {}
    assert len(content.instruments) == len(REAL.read_text().splitlines()) - 1
    assert content.instruments[0].symbol == "NSE:CENTRALBK-BE"
    assert content.instruments[0].token == 3813889
