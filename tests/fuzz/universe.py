"""Target: the broker's instruments dump, from any answer to the `subscribed` mark with its instruments."""

from __future__ import annotations

import csv
import gzip
import io

from tests.fuzz.byte_reader import ByteReader
from tests.fuzz.frames import RULES, TIMEFRAMES, WINDOW
from utils.candles.engine import CandleEngine
from utils.journal.entries import Entry, EntryId, Kind, mark_instruments, read_mark, subscribed_mark
from utils.keys import Keys
from utils.market.instruments import COLUMNS, DumpContent, DumpError, read_dump, select
from utils.market.sessions import SessionCalendar

START_MS = 1_795_146_300_000
CALENDAR = SessionCalendar.load()
HEADER = (*COLUMNS, "strike")
VALUES = (
    *("", "0", "-1", "1", "408065", "256265", "4294967295", "4294967296", "9" * 30, "9" * 5000, "1e308", "1e-320"),
    *("nan", "inf", "0.05", "٣", "1_0", " 7", "NSE", "NFO", "BFO", "CDS", "MCX", "INDICES", "NSE-X", "EQ", "FUT"),
    *(
        "INFY",
        "NIFTY 50",
        "M&M",
        "A:B",
        "a,b",
        'odd "x"',
        "new\nline",
        "2026-11-26",
        "2026-W10-1",
        "0000-01-01",
        "\0",
    ),
)


def check(data: bytes) -> None:
    reader = ByteReader(data)
    mode = reader.byte() % 4
    if mode == 0:
        check_body(reader.rest())
    elif mode == 1:
        check_body(gzip.compress(_dump(reader), mtime=0)[: -reader.byte() % 5 or None])
    elif mode == 2:
        check_body(b"\x1f\x8b" + reader.rest())
    else:
        check_body(_dump(reader))


def _dump(reader: ByteReader) -> bytes:
    """Rows of the right width with odd values in them, and now and then arbitrary text."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(HEADER)
    while not reader.is_empty and text.tell() < 200_000:
        row = ["408065", "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", "0.05", "1", "0"]
        for _ in range(reader.below(4)):
            row[reader.below(len(row))] = reader.pick(VALUES)
        row[2] += str(reader.below(8))
        writer.writerow(row)
        if reader.below(16) == 15:
            text.write(reader.read(reader.byte()).decode("latin-1"))
    return text.getvalue().encode()


def check_body(body: bytes) -> None:
    try:
        content = read_dump(body)
    except DumpError as error:
        assert "\n" not in str(error) and len(str(error)) < 1_000, error
        return
    assert "\n" not in content.skipped_sentence
    assert bool(content.skipped) == bool(content.skipped_sentence)
    check_content(content)


def check_content(content: DumpContent) -> None:
    """Every accepted instrument can be selected, written in a mark, and processed by the engine."""
    symbols = [instrument.symbol for instrument in content.instruments]
    assert len(set(symbols)) == len(symbols)
    assert select(content.instruments, symbols[:3])[0] == content.instruments[:3]
    if not content.instruments:
        return
    mark = subscribed_mark("full", content.instruments)
    assert mark_instruments(read_mark(mark)) == content.instruments
    engine = CandleEngine(TIMEFRAMES, RULES, WINDOW, CALENDAR)
    output = engine.process([Entry(EntryId(START_MS, 0), Kind.MARK, mark)])
    assert (output.rejected, engine.instruments) == ([], content.instruments)
    for instrument in content.instruments:
        Keys("").candle(instrument.symbol, "1m").encode()


def seeds() -> list[bytes]:
    plain = b"\n".join(
        (
            ",".join(HEADER).encode(),
            b"408065,NSE,INFY,INFOSYS,NSE,EQ,,0.05,1,0",
            b"256265,NSE,NIFTY 50,NIFTY 50,INDICES,EQ,,0,0,0",
            b"12345602,NFO,INFY26NOVFUT,INFY,NFO-FUT,FUT,2026-11-24,0.05,400,0",
            b"412674,CDS,USDINR26NOVFUT,USDINR,CDS-FUT,FUT,2026-11-26,0.0025,1,0",
            b'519937,NSE,M&M,"MAHINDRA, LIMITED",NSE,EQ,,0.05,1,0',
        )
    )
    odd = b"".join(bytes([3, n % 10, n, 7, n + 3, 0, n + 9, n % 8, n % 16]) for n in range(60))
    html = b"<!DOCTYPE html><html><body>502 Bad Gateway</body></html>"
    return [b"\0" + plain, b"\0" + gzip.compress(plain, mtime=0), b"\0" + html, b"\1" + odd, b"\3" + odd, b"\0{}"]
