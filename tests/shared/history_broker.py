"""A broker that has historical candles, over a real socket, for tests: what it answers, and who asks it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from utils.kite.history import KiteHistory, Row
from utils.market.instruments import Instrument, SessionClass
from utils.market.sessions import SessionCalendar
from utils.runtime.lifecycle import StopRequest

IST = timezone(timedelta(hours=5, minutes=30))
CALENDAR = SessionCalendar.load()
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
FUTURE = Instrument(
    1, "NFO", "INFY26JANFUT", "INFY", "NFO-FUT", "FUT", "2026-01-27", 0.05, 1, SessionClass.EQUITY_DERIVATIVE
)


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp() * 1000)


@dataclass
class Broker:
    """Answers with the minutes and days it has; `faults` are status codes given away first."""

    minutes: list[list[Any]] = field(default_factory=list)
    days: list[list[Any]] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    refusal: bytes = b'{"status":"error"}'
    asked: list[tuple[str, dict[str, str], float]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, wanted: dict[str, str]) -> tuple[int, bytes]:
        if self.faults:
            return self.faults.pop(0), self.refusal
        rows = self.days if path.endswith("/day") else self.minutes
        first, last = (f"{wanted[name].replace(' ', 'T')}+0530" for name in ("from", "to"))
        return 200, orjson.dumps(
            {"status": "success", "data": {"candles": [row for row in rows if first <= row[0] <= last]}}
        )


@contextmanager
def serving(broker: Broker) -> Iterator[Broker]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            wanted = {name: values[0] for name, values in parse_qs(parts.query).items()}
            broker.asked.append((parts.path, wanted, time.monotonic()))
            broker.headers.append(dict(self.headers))
            status, body = broker.answer(parts.path, wanted)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    broker.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield broker
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class NotedWaits(StopRequest):
    """Notes each wait instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return self.requested


def history(broker: Broker, a_second: float = 1_000.0, stop: StopRequest | None = None) -> KiteHistory:
    return KiteHistory(broker.url, lambda: "token key:secret", a_second, stop or StopRequest())


@pytest.fixture
def broker() -> Iterator[Broker]:
    with serving(Broker()) as broker:
        yield broker


def day_rows(day: str, begin: str = "09:15", minutes: int = 375) -> list[Row]:
    start = at(f"{day}T{begin}")
    return [
        (
            start + 60_000 * index,
            100.0 + index % 7,
            110.0 + index % 11,
            90.0 - index % 13,
            101.0 + index % 5,
            index,
            1000 + index,
        )
        for index in range(minutes)
    ]


def trading_days(count: int, until: date) -> list[date]:
    days: list[date] = []
    while len(days) < count:
        until -= timedelta(days=1)
        if CALENDAR.for_instrument(INFY, until) is not None:
            days.append(until)
    return days[::-1]


def as_answer(rows: Sequence[Row]) -> list[list[Any]]:
    stamps = [datetime.fromtimestamp(row[0] / 1000, IST).strftime("%Y-%m-%dT%H:%M:%S+0530") for row in rows]
    return [[stamp, *row[1:6]] for stamp, row in zip(stamps, rows, strict=True)]
