"""Target: the broker's historical candles, from any answer to the candles made from it."""

from __future__ import annotations

import gzip
import json
import zlib
from io import BytesIO

import requests
from urllib3 import HTTPResponse

from tests.fuzz.byte_reader import ByteReader
from tests.fuzz.candle_checks import check_candle
from utils.kite.history import HistoryDenied, HistoryError, KiteHistory, Span
from utils.kite.history_candles import day_candles, minute_candles
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import DAY_MS
from utils.market.sessions import SessionCalendar
from utils.market.timeframes import parse_timeframe
from utils.runtime.lifecycle import StopRequest

CALENDAR = SessionCalendar.load()
FROM_MS = 1_795_113_000_000  # 2026-11-20 00:00 IST
SPAN = Span(FROM_MS, FROM_MS + DAY_MS)
NOW_MS = FROM_MS + 2 * DAY_MS
STOCK = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY_FNO)
FUTURE = Instrument(
    12345602, "NFO", "INFY26NOVFUT", "INFY", "NFO-FUT", "FUT", "2026-11-24", 0.05, 400, SessionClass.EQUITY_DERIVATIVE
)
STATUS = (200, 200, 200, 200, 200, 204, 302, 400, 403, 404, 429, 500, 502)
ODD = (
    *("null", "true", "-1", "0", "0.0", "-0.0", "NaN", "Infinity", "-Infinity", "1e400", "9" * 400, "9" * 5000),
    *('""', '"x"', '"12"', "[]", "{}", "1e308", "1.5", '"2026-11-20T09:15:00"', '"0001-01-01T00:00:00+0530"'),
    *('"9999-12-31T23:59:59-2359"', '"2026-11-20T09:15:00+05:30:00.5"', "18446744073709551616", '"\\ud800"'),
)


ASKED = requests.Request("GET", "http://broker", headers={"Authorization": "token a:b"}).prepare()


class _NoWait(StopRequest):
    """Does not wait."""

    def wait(self, seconds: float) -> bool:
        assert 0 <= seconds < 60
        return False


NO_WAIT = _NoWait()  # one for all: each has a pipe


class _Answers(requests.Session):
    """A session that gives one answer to everything."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        super().__init__()
        self._made = (status, headers, body)

    def get(self, url: str | bytes, **_options: object) -> requests.Response:
        status, headers, body = self._made
        answer = requests.Response()
        answer.status_code, answer.url = status, str(url)
        answer.request = ASKED
        answer.headers.update(headers)
        answer.raw = HTTPResponse(BytesIO(body), headers=headers, status=status, preload_content=False)
        return answer


def history_that_gets(status: int, headers: dict[str, str], body: bytes) -> KiteHistory:
    """A client of a broker that gives one answer to everything, and does not wait between its tries."""
    history = KiteHistory("http://broker", lambda: "token a:b", 1e9, NO_WAIT)
    history._session = _Answers(status, headers, body)
    return history


def check(data: bytes) -> None:
    reader = ByteReader(data)
    mode, status = reader.byte() % 6, reader.pick(STATUS)
    headers: dict[str, str] = {"Content-Type": "application/json"}
    if mode == 0:
        body = reader.rest()
    elif mode == 1:
        body = gzip.compress(reader.rest(), mtime=0)[: -(len(data) % 5) or None]
        headers["Content-Encoding"] = "gzip"
    elif mode == 2:
        body, headers["Content-Encoding"] = reader.rest(), reader.pick(("gzip", "deflate", "br", "zstd", "x"))
    elif mode == 3:
        body = (b"[" * (reader.u16() * 4)) + reader.rest()
    else:
        body = _rows_of(reader)
    check_answer(status, headers, body)


def _rows_of(reader: ByteReader) -> bytes:
    """An answer of the right shape with odd values in its rows."""
    rows: list[str] = []
    while not reader.is_empty and len(rows) < 50:
        at = f'"2026-11-20T{9 + reader.below(7):02}:{reader.below(60):02}:00+0530"'
        fields = [at, "100.0", "102.5", "99.5", "101.25", "1200", "40"]
        for _ in range(reader.pick((0, 0, 0, 1, 2))):
            fields[reader.below(7)] = reader.pick(ODD)
        row = "[" + ",".join(fields[: reader.pick((7, 7, 7, 6, 6, 5, 1, 0))]) + "]"
        rows.append(reader.pick((row, row, row, row, row, row, row, "null", "7", '"abcdefg"', '{"a":1}')))
    shape = reader.pick(
        ('{"status":"success","data":{"candles":[%s]}}',) * 5 + ('{"data":[%s]}', '{"data":{"candles":{"a":[%s]}}}')
    )
    return (shape % ",".join(rows)).encode()


def check_answer(status: int, headers: dict[str, str], body: bytes) -> None:
    """The answer gives rows, HistoryError or HistoryDenied; every candle made from rows keeps the invariants."""
    for instrument, interval in ((STOCK, "minute"), (FUTURE, "day")):
        history = history_that_gets(status, headers, body)
        try:
            rows = history.rows(instrument, interval, SPAN)
        except (HistoryError, HistoryDenied) as error:
            assert "\n" not in str(error) and len(str(error)) < 500
            continue
        starts = [row[0] for row in rows]
        assert starts == sorted(set(starts)) and all(SPAN.from_ms <= at < SPAN.to_ms for at in starts)
        for name in ("1m", "5m", "75m"):
            for candle in minute_candles(rows, instrument, parse_timeframe(name), CALENDAR, NOW_MS):
                check_candle(candle)
        for candle in day_candles(rows, instrument, parse_timeframe("1d"), CALENDAR, NOW_MS):
            check_candle(candle)


def seeds() -> list[bytes]:
    rows = [[f"2026-11-20T09:{15 + n}:00+0530", 100, 101, 99, 100.5, 10 * n] for n in range(10)]
    good = json.dumps({"status": "success", "data": {"candles": rows}}).encode()
    html = b"<html><body>Gateway Time-out</body></html>"
    plan = b"".join(
        bytes([n % 7, n * 7 % 60, n % 5, n % 7, n % 23, n % 7, n * 3 % 23, n % 8, n % 11]) for n in range(40)
    )
    return [
        b"\0\0" + good,
        b"\0\0" + html,
        b"\0\0" + good[:200],
        b"\1\0" + good,
        b"\2\0\0" + good,
        b"\2\0\1" + zlib.compress(good),
        b"\3\0\xff\xff",
        *(bytes([4, status]) + plan[shift:] for status in range(len(STATUS)) for shift in (0, 9, 20)),
    ]
