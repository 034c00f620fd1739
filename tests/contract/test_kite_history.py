"""Historical candles over a real socket: pace, retries, and what becomes of the rows; then a warm-up with them."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
import pandas as pd
import pytest
import redis

from tests.closed_candles import OPEN_MS, ClosedCandle, grouped, minute_candles, say_closed
from tests.servers import EmbeddedServer
from utils.candle import Candle, Source
from utils.entry_limit import UntilTimeOfDay
from utils.feed import EntryId
from utils.history_candles import day_candles
from utils.history_candles import minute_candles as candles_of_minutes
from utils.instruments import Instrument, SessionClass
from utils.keys import Keys
from utils.kite_history import HistoryDenied, HistoryError, HistoryStopped, KiteHistory, Row, Span
from utils.lifecycle import StopRequest
from utils.sessions import SessionCalendar
from utils.signals import SignalEngine
from utils.stores.mongo import MongoStore
from utils.stores.signal_store import SignalStore
from utils.timeframes import Timeframe, parse_timeframe
from utils.warmup import Cut, WarmUp

IST = timezone(timedelta(hours=5, minutes=30))
CALENDAR = SessionCalendar.load()
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
NIFTY = Instrument(256265, "NSE", "NIFTY 50", "NIFTY 50", "INDICES", "EQ", "", 0.05, 1, SessionClass.INDEX)
FUTURE = Instrument(
    1, "NFO", "INFY26JANFUT", "INFY", "NFO-FUT", "FUT", "2026-01-27", 0.05, 1, SessionClass.EQUITY_DERIVATIVE
)
REAL = Path(__file__).resolve().parents[2].parent / "shared" / "real"


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=IST).timestamp() * 1000)


def row(text: str, number: int = 0) -> list[Any]:
    return [f"{text}+0530", 100.0 + number, 102.5 + number, 99.0 + number, 101.0 + number, 10 + number, 7]


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
            {"status": "success", "data": {"candles": [one for one in rows if first <= one[0] <= last]}}
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
    with serving(Broker()) as one:
        yield one


def test_rows_of_a_span_are_asked_for_as_the_broker_wants_it(broker: Broker) -> None:
    broker.minutes = [row(f"2026-01-02T09:{minute}:00", minute) for minute in range(15, 20)]
    rows = history(broker).rows(INFY, "minute", Span(at("2026-01-02T09:16"), at("2026-01-02T09:18")))
    assert rows == [
        (at("2026-01-02T09:16"), 116.0, 118.5, 115.0, 117.0, 26, 7),
        (at("2026-01-02T09:17"), 117.0, 119.5, 116.0, 118.0, 27, 7),
    ]
    ((path, wanted, _),) = broker.asked
    assert path == "/instruments/historical/408065/minute"
    assert wanted == {"from": "2026-01-02 09:16:00", "to": "2026-01-02 09:17:59", "oi": "0"}
    assert broker.headers[0]["Authorization"] == "token key:secret"
    assert broker.headers[0]["X-Kite-Version"] == "3"


@pytest.mark.parametrize(
    ("interval", "days", "requests"),
    [("minute", 60, 1), ("minute", 61, 2), ("minute", 181, 4), ("day", 2_000, 1), ("day", 2_001, 2)],
)
def test_no_request_asks_for_more_days_than_allowed(broker: Broker, interval: str, days: int, requests: int) -> None:
    start = at("2020-01-01T00:00")
    history(broker).rows(FUTURE, interval, Span(start, start + days * 86_400_000))
    spans = [(wanted["from"], wanted["to"]) for _, wanted, _ in broker.asked]
    assert len(spans) == requests
    assert spans[0][0] == "2020-01-01 00:00:00"
    for (_, ended), (begun, _) in itertools.pairwise(spans):
        assert pd.Timestamp(begun) - pd.Timestamp(ended) == pd.Timedelta(seconds=1)
    assert all(wanted["oi"] == "1" for _, wanted, _ in broker.asked)


def test_never_faster_than_allowed(broker: Broker) -> None:
    one, done = history(broker, a_second=10.0), [time.monotonic()]
    for _ in range(8):
        one.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
        done.append(time.monotonic())
    assert len(broker.asked) == 8
    # From the begin of one to the end of another: what a busy machine takes for them can only make it longer.
    assert all(done[n + 1] - done[first] >= 0.1 * (n - first) - 0.01 for first in (0, 4) for n in range(first, 8))


def test_429_and_5xx_are_tried_again_after_a_while(broker: Broker) -> None:
    broker.minutes, broker.faults = [row("2026-01-02T09:15:00")], [429, 503]
    stop = NotedWaits()
    assert len(history(broker, stop=stop).rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))) == 1
    assert len(broker.asked) == 3
    assert [seconds for seconds in stop.waits if seconds > 0.1] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("error_type", "words", "not_in"),
    [
        ("TokenException", "log in with 'python manage.py login'", "plan"),
        ("PermissionException", "its plan must be Connect", "manage.py login"),
        ("UserException", "UserException 403: Refused.", "manage.py login"),
    ],
)
def test_a_403_is_named_by_its_type(broker: Broker, error_type: str, words: str, not_in: str) -> None:
    broker.faults = [403]
    broker.refusal = orjson.dumps({"status": "error", "message": "Refused.", "error_type": error_type})
    with pytest.raises(HistoryDenied) as caught:
        history(broker).rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert words in str(caught.value)
    assert not_in not in str(caught.value)
    assert len(broker.asked) == 1


def test_another_refusal_shows_the_brokers_words_without_the_token(broker: Broker) -> None:
    broker.faults = [400]
    broker.refusal = b'{"status": "error", "message": "bad token TOK for it", "error_type": "InputException"}'
    with pytest.raises(HistoryError, match=r"InputException 400: bad token \*\*\* for it"):
        KiteHistory(broker.url, lambda: "token KEY:TOK", 1_000.0, StopRequest()).rows(
            INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000)
        )


@pytest.mark.parametrize("error_type", ["PermissionException", "TokenException"])
def test_who_is_not_let_in_waits_or_brings_another_token(broker: Broker, error_type: str) -> None:
    token = "token KEY:ONE"
    broker.faults = [403]
    broker.refusal = orjson.dumps({"status": "error", "message": "Refused.", "error_type": error_type})
    one = KiteHistory(broker.url, lambda: token, 1_000.0, StopRequest())
    assert not one.is_denied
    with pytest.raises(HistoryDenied):
        one.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert one.is_denied
    assert "Refused." in one.fault
    token = "token KEY:TWO"
    assert not one.is_denied
    one.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert one.fault == ""


def test_403_is_not_tried_again(broker: Broker) -> None:
    broker.faults = [403]
    with pytest.raises(HistoryDenied, match=r"manage\.py login"):
        history(broker).rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert len(broker.asked) == 1


def test_400_is_a_fault_of_this_request(broker: Broker) -> None:
    broker.faults = [400]
    with pytest.raises(HistoryError, match="HTTP 400"):
        history(broker).rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))


def test_a_stop_ends_the_waiting(broker: Broker) -> None:
    stop = StopRequest()
    one = history(broker, a_second=0.01, stop=stop)
    one.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    threading.Timer(0.2, stop.request).start()
    begun = time.monotonic()
    with pytest.raises(HistoryStopped):
        one.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert time.monotonic() - begun < 60, "the turn itself comes after 100 s"


def day_rows(day: str, begin: str = "09:15", minutes: int = 375) -> list[Row]:
    start = at(f"{day}T{begin}")
    return [
        (start + 60_000 * nth, 100.0 + nth % 7, 110.0 + nth % 11, 90.0 - nth % 13, 101.0 + nth % 5, nth, 1000 + nth)
        for nth in range(minutes)
    ]


def _by_pandas(rows: Sequence[Row], minutes: int) -> list[tuple[int, float, float, float, float, int]]:
    frame = pd.DataFrame(list(rows), columns=["at", "o", "h", "l", "c", "v", "oi"])
    frame.index = pd.DatetimeIndex(pd.to_datetime(frame["at"], unit="ms", utc=True)).tz_convert("Asia/Kolkata")
    whole = []
    for _, day in frame.groupby(frame.index.date):
        buckets = day.resample(f"{minutes}min", origin=day.index[0]).agg(
            {"at": "first", "o": "first", "h": "max", "l": "min", "c": "last", "v": "sum"}
        )
        whole += [tuple(one) for one in buckets.dropna().itertuples(index=False)]
    return whole


@pytest.mark.parametrize("name", ["1m", "3m", "5m", "10m", "30m", "1h", "75m", "2h", "24h"])
def test_minutes_make_session_anchored_candles(name: str) -> None:
    rows = day_rows("2026-01-01") + day_rows("2026-01-02")
    timeframe = parse_timeframe(name)
    candles = candles_of_minutes(rows, INFY, timeframe, CALENDAR, at("2026-01-03T00:00"))
    assert [(one.start_ms, one.open, one.high, one.low, one.close, one.volume) for one in candles] == _by_pandas(
        rows, timeframe.length_ms // 60_000
    )
    assert candles[-1].end_ms == at("2026-01-02T15:30")
    assert all(one.source is Source.HISTORY and one.complete and one.ticks == 0 and one.oi is None for one in candles)


def test_what_is_unfinished_or_outside_the_session_makes_no_candle() -> None:
    rows = (
        day_rows("2026-01-02", "09:00", 15)
        + day_rows("2026-01-02")
        + day_rows("2026-01-02", "15:40", 5)
        + day_rows("2026-01-03")
    )
    five = parse_timeframe("5m")
    until = candles_of_minutes(rows, INFY, five, CALENDAR, at("2026-01-02T09:29:59"))
    assert [one.start_ms for one in until] == [at("2026-01-02T09:15"), at("2026-01-02T09:20")]
    whole = candles_of_minutes(rows, INFY, five, CALENDAR, at("2026-01-09T00:00"))
    assert (len(whole), whole[0].start_ms, whole[-1].end_ms) == (75, at("2026-01-02T09:15"), at("2026-01-02T15:30"))
    assert candles_of_minutes([], INFY, five, CALENDAR, OPEN_MS) == []


def test_what_an_instrument_has_not_is_none() -> None:
    rows, minute, late = day_rows("2026-01-02"), parse_timeframe("1m"), at("2026-01-09T00:00")
    assert {one.volume for one in candles_of_minutes(rows, NIFTY, minute, CALENDAR, late)} == {None}
    future = candles_of_minutes(rows, FUTURE, minute, CALENDAR, late)
    assert (future[5].oi, future[5].volume) == (1005, 5)


def test_days_are_sessions() -> None:
    rows = [(at(f"2026-01-{day:02}T00:00"), 1.0, 3.0, 0.5, 2.0, 9, 0) for day in (1, 2, 3, 5)]
    candles = day_candles(rows, INFY, parse_timeframe("1d"), CALENDAR, at("2026-01-05T12:00"))
    assert [one.start_ms for one in candles] == [at("2026-01-01T09:15"), at("2026-01-02T09:15")]
    assert candles[1].end_ms == at("2026-01-02T15:30")


@pytest.mark.skipif(not REAL.exists(), reason="the recorded answers are not here")
def test_the_brokers_own_answers_are_read(broker: Broker) -> None:
    for name in ("historical_minute.json", "historical_oi.json"):
        content = orjson.loads((REAL / name).read_bytes())["data"]["candles"]
        broker.minutes = content
        first, last = content[0][0], content[-1][0]
        span = Span(at(first[:19]), at(last[:19]) + 60_000)
        rows = history(broker).rows(FUTURE, "minute", span)
        assert [one[1:6] for one in rows] == [tuple(one[1:6]) for one in content]
        if "oi" in name:
            assert [one[6] for one in rows] == [one[6] for one in content]


# ---- the warm-up that uses it


@dataclass
class Stage:
    store: SignalStore
    mongo: MongoStore
    say: Callable[[list[ClosedCandle]], None]
    progress: list[tuple[int, int, int]] = field(default_factory=list)


@pytest.fixture
def stage(client: redis.Redis, mongo: EmbeddedServer) -> Iterator[Stage]:
    keys, store = Keys(), MongoStore(mongo.url, "test")
    yield Stage(SignalStore(client, keys, 1, 1_000), store, lambda entries: say_closed(client, keys, entries))
    store.close()


def newest(one: SignalEngine) -> dict[str, dict[str, float]]:
    return {row.timeframe: row.values.as_dict() for row in one.latest()}


TIMEFRAMES = {name: parse_timeframe(name) for name in ("1m", "5m", "1d")}


def warm(
    stage: Stage, one: KiteHistory | None, cut_text: str, names: Sequence[str], after: str = "0-0"
) -> tuple[SignalEngine, list[Any]]:
    engine = SignalEngine([], UntilTimeOfDay(1440))
    cut = Cut({0: EntryId.parse(after)}, at(cut_text))
    chosen: dict[str, Timeframe] = {name: TIMEFRAMES[name] for name in names}
    warm_up = WarmUp(stage.store, stage.mongo, one, CALENDAR, lambda *done: stage.progress.append(done))
    result = warm_up.run(engine, [INFY], chosen, [(INFY.symbol, name) for name in names], cut)
    return engine, [result.done, result.again]


def trading_days(count: int, until: date) -> list[date]:
    days: list[date] = []
    while len(days) < count:
        until -= timedelta(days=1)
        if CALENDAR.for_instrument(INFY, until) is not None:
            days.append(until)
    return days[::-1]


def as_answer(rows: Sequence[Row]) -> list[list[Any]]:
    stamps = [datetime.fromtimestamp(one[0] / 1000, IST).strftime("%Y-%m-%dT%H:%M:%S+0530") for one in rows]
    return [[stamp, *one[1:6]] for stamp, one in zip(stamps, rows, strict=True)]


def test_an_empty_store_is_filled_from_the_broker_once(stage: Stage, broker: Broker) -> None:
    days = trading_days(260, date(2026, 1, 2))
    rows = [one for day in days[-6:] for one in day_rows(day.isoformat())]
    broker.minutes = as_answer(rows)
    broker.days = as_answer([(at(f"{day}T00:00"), 1.0, 3.0, 0.5, 2.0, 9, 0) for day in days])
    engine, (done, again) = warm(stage, history(broker), "2026-01-02T09:00", ["1m", "5m", "1d"])
    assert (len(done), again) == (3, [])
    assert [path.rsplit("/", 1)[1] for path, _, _ in broker.asked] == ["minute", "day"]
    assert [engine.bars(INFY.symbol, name) for name in TIMEFRAMES] == [250, 250, 250]
    held = stage.mongo.candles_before(INFY.symbol, "5m", OPEN_MS, 1_000)
    assert len(held) == 250
    assert (held[-1].end_ms, held[-1].source, held[-1].complete) == (at(f"{days[-1]}T15:30"), Source.HISTORY, True)
    asked = len(broker.asked)
    again_engine, _ = warm(stage, history(broker), "2026-01-02T09:00", ["1m", "5m", "1d"])
    assert len(broker.asked) == asked, "what is held was asked for again"
    assert [one.values.as_dict() for one in again_engine.latest()] == [
        one.values.as_dict() for one in engine.latest()
    ]
    assert stage.progress[-1][:2] == (1, 1)


def _at_days(day: date, minutes: Sequence[Candle]) -> list[Candle]:
    """The same candles on another day."""
    shift = at(f"{day}T09:15") - minutes[0].start_ms
    return [replace(one, start_ms=one.start_ms + shift, end_ms=one.end_ms + shift) for one in minutes]


def test_only_what_is_missing_is_asked_for_and_what_is_held_stays(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    prices = {"open": 100.0, "high": 103.0, "low": 98.0, "close": 101.0}  # as the rows': another scale is a split
    live = [replace(one, **prices) for one in _at_days(yesterday, minute_candles(INFY.symbol, [0]))]  # type: ignore[arg-type]
    stage.mongo.upsert_candles([one.as_document() for one in live])
    broker.minutes = as_answer(day_rows(yesterday.isoformat()) + day_rows("2026-01-02"))
    engine, _ = warm(stage, history(broker), "2026-01-02T09:25:30", ["1m"])
    ((_, wanted, _),) = broker.asked
    assert wanted["from"] >= f"{yesterday} 15:30:00"
    assert wanted["to"] == "2026-01-02 09:25:29"
    today = stage.mongo.candles_between(INFY.symbol, "1m", OPEN_MS, 2 * OPEN_MS)
    assert [one.start_ms for one in today] == [OPEN_MS + 60_000 * nth for nth in range(10)]
    kept = stage.mongo.candles_before(INFY.symbol, "1m", OPEN_MS, 1_000)
    assert kept == live
    assert engine.bars(INFY.symbol, "1m") == 250


def test_what_comes_by_the_stream_is_neither_asked_for_nor_warmed(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    live = _at_days(yesterday, minute_candles(INFY.symbol, [0]))
    today = [replace(one, complete=True) for one in minute_candles(INFY.symbol, [OPEN_MS])[:10]]
    stage.mongo.upsert_candles([one.as_document() for one in live + today])
    stage.say([ClosedCandle(0, f"{one.end_ms + 3000}-0", one) for one in today])
    engine, _ = warm(stage, history(broker), "2026-01-02T09:25:30", ["1m"], after=f"{today[3].end_ms + 3000}-0")
    assert broker.asked == []
    assert engine.latest()[0].start_ms == today[3].start_ms
    clean = SignalEngine([], UntilTimeOfDay(1440))
    clean.warm(INFY.symbol, "1m", (live + today[:4])[-250:])
    assert newest(engine) == newest(clean)


def test_a_broker_that_refuses_leaves_the_rows_for_later(stage: Stage, broker: Broker) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    live = _at_days(yesterday, minute_candles(INFY.symbol, [0]))
    stage.mongo.upsert_candles([one.as_document() for one in live[-50:]])
    broker.faults = [403]
    engine, (done, again) = warm(stage, history(broker), "2026-01-02T09:00", ["1m"])
    assert (done, again) == ([], [(INFY.symbol, "1m")])
    assert engine.bars(INFY.symbol, "1m") == 50


def test_without_a_broker_longer_candles_come_from_mongo_alone(stage: Stage) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    five = grouped(_at_days(yesterday, minute_candles(INFY.symbol, [0])), 5)
    stage.mongo.upsert_candles([one.as_document() for one in five])
    engine, (done, again) = warm(stage, None, "2026-01-02T09:00", ["5m"])
    assert (done, len(again)) == ([], 1)
    assert engine.bars(INFY.symbol, "5m") == 75


def test_each_of_many_instruments_is_warmed_with_what_is_its_own(stage: Stage) -> None:
    (yesterday,) = trading_days(1, date(2026, 1, 2))
    instruments = [replace(INFY, tradingsymbol=f"S{nth:02}") for nth in range(45)]
    held: dict[str, list[Candle]] = {}
    for nth, one in enumerate(instruments):
        held[one.symbol] = _at_days(yesterday, minute_candles(one.symbol, [0]))[: nth % 4 * 10]
    stage.mongo.upsert_candles([one.as_document() for candles in held.values() for one in candles])
    pairs = [(one.symbol, name) for one in instruments[::-1] for name in ("1m", "5m")]
    engine, progress = SignalEngine([], UntilTimeOfDay(1440)), list[tuple[int, int, int]]()
    warm_up = WarmUp(stage.store, stage.mongo, None, CALENDAR, lambda *done: progress.append(done))
    cut = Cut({0: EntryId.parse("0-0")}, at("2026-01-02T09:00"))
    result = warm_up.run(engine, instruments[::-1], TIMEFRAMES, pairs, cut)
    assert sorted(result.again) == sorted(pairs)
    assert [one[0] for one in progress] == list(range(46))
    plain = SignalEngine([], UntilTimeOfDay(1440))
    for symbol, candles in held.items():
        plain.warm(symbol, "1m", candles)
        assert engine.bars(symbol, "1m") == len(candles)
    values = [{(row.symbol, row.timeframe): row.values.as_dict() for row in one.latest()} for one in (engine, plain)]
    assert values[0] == values[1]
    assert len(values[0]) == 33
