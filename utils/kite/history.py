"""Asks the broker for historical candles (Kite Connect v3, `/instruments/historical`), and checks each row."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import requests

from utils.kite.refusals import FORBIDDEN, Cause, read_broker_error
from utils.market.instruments import Instrument, SessionClass
from utils.market.ist import DAY_MS, IST, MINUTE_MS
from utils.runtime.lifecycle import StopRequest
from utils.runtime.timing import RetryDelay

TIMEOUT_SECONDS = (3.0, 15.0)
TRIES = 5
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 1.0, 8.0
DAYS_A_REQUEST = {"minute": 60, "day": 2_000}  # the broker's limits
DENIED_SECONDS = 900.0  # until the same token is tried again
REJECTED_KEPT = 100
LARGEST_NUMBER = 2**53  # up to here a whole number survives as a float
DERIVATIVES = frozenset(
    {
        SessionClass.EQUITY_DERIVATIVE,
        SessionClass.INDEX_DERIVATIVE,
        SessionClass.CURRENCY,
        SessionClass.COMMODITY,
    }
)

_DENIALS = (Cause.TOKEN, Cause.PERMISSION, Cause.USER, Cause.KEY)

Row = tuple[int, float, float, float, float, int, int]  # start in epoch ms, open, high, low, close, volume, oi


class HistoryError(RuntimeError):
    """This request brought nothing, after several tries; another one may."""


class HistoryRefused(HistoryError):
    """The broker refuses what was asked about this instrument; others may fare better, the same question will not."""


class HistoryDenied(RuntimeError):
    """The broker does not let us in: no request will bring anything until the cause is gone."""

    def __init__(self, sentence: str, cause: Cause = Cause.UNKNOWN) -> None:
        super().__init__(sentence)
        self.cause = cause


class HistoryStopped(RuntimeError):
    """The process was asked to stop meanwhile."""


@dataclass(frozen=True, slots=True)
class Span:
    """[from_ms, to_ms) in epoch ms, cut into stretches that one request may ask for."""

    from_ms: int
    to_ms: int

    def stretches(self, days: int) -> Iterator[Span]:
        at_ms = self.from_ms
        while at_ms < self.to_ms:
            until_ms = min(at_ms + days * DAY_MS, self.to_ms)
            yield Span(at_ms, until_ms)
            at_ms = until_ms


class KiteHistory:
    """Limits the requests per second, and slows down when the broker asks for it."""

    def __init__(
        self, api_url: str, authorization: Callable[[], str], requests_a_second: float, stop: StopRequest
    ) -> None:
        """`authorization` gives the header's value (`token KEY:TOKEN`) for each request."""
        self._url = f"{api_url.rstrip('/')}/instruments/historical"
        self._authorization = authorization
        self._gap_seconds = 1.0 / requests_a_second
        self._stop = stop
        self._session = requests.Session()
        self._next_at = float("-inf")
        self.requests = 0
        self.fault = ""  # why the last question brought nothing
        self._denied: tuple[str, float] | None = None  # what was sent when we were not let in, and until when to wait
        self.rejected: Counter[str] = Counter()  # rows that were left out, by reason
        self.rejected_rows: deque[str] = deque(maxlen=REJECTED_KEPT)
        self.doubtful_ms: set[int] = set()  # starts of the minutes or days that the last `rows` had to leave out

    @property
    def is_denied(self) -> bool:
        """Whether asking makes no sense yet: not until the cause's wait is over, or there is another token."""
        if self._denied is None:
            return False
        sent, until = self._denied
        return time.monotonic() < until and sent == self._authorization()

    def rows(self, instrument: Instrument, interval: str, span: Span) -> list[Row]:
        """Rows whose candle starts in the span, `interval` being `minute` or `day`, oldest first.

        HistoryError, HistoryDenied, HistoryStopped.
        """
        try:
            rows = self._rows(instrument, interval, span)
        except HistoryDenied as error:
            self.fault = str(error)
            self._denied = (self._authorization(), time.monotonic() + (error.cause.wait_seconds or DENIED_SECONDS))
            raise
        except HistoryError as error:
            self.fault = str(error)
            raise
        self.fault = ""
        return rows

    def _rows(self, instrument: Instrument, interval: str, span: Span) -> list[Row]:
        rows: dict[int, Row] = {}
        conflicting: set[int] = set()
        self.doubtful_ms = set()
        for stretch in span.stretches(DAYS_A_REQUEST[interval]):
            for row in self._ask(instrument, interval, stretch):
                if rows.setdefault(row[0], row) != row:
                    self._reject("conflict", row)
                    conflicting.add(row[0])
        kept = rows.keys() - conflicting
        self.doubtful_ms = (self.doubtful_ms - kept) | conflicting
        return [rows[at_ms] for at_ms in sorted(kept) if span.from_ms <= at_ms < span.to_ms]

    def _ask(self, instrument: Instrument, interval: str, span: Span) -> list[Row]:
        address = f"{self._url}/{instrument.token}/{interval}"
        wanted = {
            "from": _broker_time(span.from_ms),
            "to": _broker_time(span.to_ms - 1_000),
            "oi": "1" if instrument.session_class in DERIVATIVES else "0",
        }
        delay, fault = RetryDelay(FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS), ""
        for _ in range(TRIES):
            self._wait_for_turn()
            try:
                answer = self._session.get(address, params=wanted, headers=self._headers(), timeout=TIMEOUT_SECONDS)
                found = _fields_or_fault(answer, _secrets_of(answer))
            except requests.RequestException as error:
                found = type(error).__name__
            if not isinstance(found, str):
                return self._checked(found)
            fault = found
            self._pause(delay.next_seconds())
        raise HistoryError(f"the broker's history of {instrument.symbol} ({interval}) did not come: {fault}")

    def _checked(self, found: list[Any]) -> list[Row]:
        """The rows that can be believed; the others are counted, and the last of them kept."""
        rows: list[Row] = []
        for fields in found:
            try:
                rows.append(_row(fields))
            except _RowError as error:
                self._reject(str(error), fields)
                self._note_doubtful(fields)
        return rows

    def _reject(self, reason: str, fields: Any) -> None:
        self.rejected[reason] += 1
        self.rejected_rows.append(repr(fields)[:200])

    def _note_doubtful(self, fields: Any) -> None:
        """The minute of a row that was left out, where it is known: its bucket would be a minute short."""
        if isinstance(fields, list) and fields and isinstance(fields[0], str):
            with contextlib.suppress(_RowError):
                self.doubtful_ms.add(_time_ms(fields[0]) // MINUTE_MS * MINUTE_MS)

    def _headers(self) -> dict[str, str]:
        return {"X-Kite-Version": "3", "Authorization": self._authorization()}

    def _wait_for_turn(self) -> None:
        self._pause(self._next_at - time.monotonic())
        self._next_at = time.monotonic() + self._gap_seconds
        self.requests += 1

    def _pause(self, seconds: float) -> None:
        if self._stop.requested or (seconds > 0 and self._stop.wait(seconds)):
            raise HistoryStopped


def _secrets_of(answer: requests.Response) -> list[str]:
    """What was sent with the question, and is not to be shown with the answer."""
    authorization = str(answer.request.headers.get("Authorization", ""))
    return [authorization, authorization.rpartition(":")[2]]


def _fields_or_fault(answer: requests.Response, secrets: Sequence[str] = ()) -> list[Any] | str:
    """What the answer holds as rows, unchecked, or why another try makes sense. HistoryDenied, HistoryRefused."""
    if not answer.ok:
        error = read_broker_error(answer.status_code, answer.content, secrets)
        if error.cause is Cause.THROTTLED or error.status >= requests.codes.server_error:
            return str(error)
        if error.cause in _DENIALS or error.status == FORBIDDEN:
            raise HistoryDenied(f"the broker refuses history: {error.sentence}", error.cause)
        raise HistoryRefused(f"the broker refuses {answer.url.split('?')[0]}: {error.sentence}")
    try:
        candles = answer.json()["data"]["candles"]
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        return f"an answer that is no history ({type(error).__name__})"
    return candles if isinstance(candles, list) else "an answer that is no history (no list of candles)"


class _RowError(ValueError):
    """Why a row is left out."""


def _row(fields: Any) -> Row:
    """[time, open, high, low, close, volume] and perhaps the open interest."""
    if not isinstance(fields, list) or not 6 <= len(fields) <= 7 or not isinstance(fields[0], str):
        raise _RowError("shape")
    numbers = [_number(name) for name in fields[1:]]
    open_, high, low, close = numbers[:4]
    if not 0 < low <= min(open_, close) <= max(open_, close) <= high:
        raise _RowError("prices")
    oi, at_ms = int(numbers[5]) if len(numbers) > 5 else 0, _time_ms(fields[0])
    if at_ms % MINUTE_MS:
        raise _RowError("time")
    return at_ms, open_, high, low, close, int(numbers[4]), oi


def _number(value: Any) -> float:
    """As a float: NaN, infinities, and what is no number or negative are none of a candle's."""
    if value is None:
        return 0.0  # the broker's open interest of an instrument that has none
    if type(value) not in (int, float) or not 0 <= value <= LARGEST_NUMBER:
        raise _RowError("number")
    return float(value)


def _time_ms(text: str) -> int:
    """Epoch ms of the broker's `2026-11-20T09:15:00+0530`; without an offset it would be this machine's time."""
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is None:
            raise _RowError("time")
        return round(at.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise _RowError("time") from None


def _broker_time(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(IST).strftime("%Y-%m-%d %H:%M:%S")
