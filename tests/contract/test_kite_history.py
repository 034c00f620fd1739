"""Historical candles over a real socket: pace, retries, and what a refusal means."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pandas as pd
import pytest

from tests.shared.closed_candles import OPEN_MS
from tests.shared.history_broker import FUTURE, INFY, Broker, NotedWaits, at, broker, history
from utils.kite.history import HistoryDenied, HistoryError, HistoryStopped, KiteHistory, Span
from utils.runtime.lifecycle import StopRequest

__all__ = ["broker"]

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "real"


def row(text: str, number: int = 0) -> list[Any]:
    return [f"{text}+0530", 100.0 + number, 102.5 + number, 99.0 + number, 101.0 + number, 10 + number, 7]


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
    kite_history, done = history(broker, a_second=10.0), [time.monotonic()]
    for _ in range(8):
        kite_history.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
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
    kite_history = KiteHistory(broker.url, lambda: token, 1_000.0, StopRequest())
    assert not kite_history.is_denied
    with pytest.raises(HistoryDenied):
        kite_history.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert kite_history.is_denied
    assert "Refused." in kite_history.fault
    token = "token KEY:TWO"
    assert not kite_history.is_denied
    kite_history.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert kite_history.fault == ""


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
    kite_history = history(broker, a_second=0.01, stop=stop)
    kite_history.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    threading.Timer(0.2, stop.request).start()
    begun = time.monotonic()
    with pytest.raises(HistoryStopped):
        kite_history.rows(INFY, "minute", Span(OPEN_MS, OPEN_MS + 60_000))
    assert time.monotonic() - begun < 60, "the turn itself comes after 100 s"


@pytest.mark.skipif(not REAL.exists(), reason="the recorded answers are not here")
def test_the_brokers_own_answers_are_read(broker: Broker) -> None:
    for name in ("historical_minute.json", "historical_oi.json"):
        content = orjson.loads((REAL / name).read_bytes())["data"]["candles"]
        broker.minutes = content
        first, last = content[0][0], content[-1][0]
        span = Span(at(first[:19]), at(last[:19]) + 60_000)
        rows = history(broker).rows(FUTURE, "minute", span)
        assert [row[1:6] for row in rows] == [tuple(row[1:6]) for row in content]
        if "oi" in name:
            assert [row[6] for row in rows] == [row[6] for row in content]


# ---- the warm-up that uses it
