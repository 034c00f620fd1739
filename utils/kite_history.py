"""The broker's historical candles (Kite Connect v3, `/instruments/historical`), and candles of ours made of them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import requests

from utils.broker_errors import FORBIDDEN, Cause, read_broker_error
from utils.candle import IST, Candle, Source, TimedBy
from utils.instruments import Instrument, SessionClass
from utils.lifecycle import StopRequest
from utils.retry_delay import RetryDelay
from utils.sessions import DAY_MS, IST_OFFSET_MS, MINUTE_MS, SessionCalendar, ist_date, ist_midnight_ms
from utils.timeframes import Timeframe

TIMEOUT_SECONDS = (3.0, 15.0)
TRIES = 5
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 1.0, 8.0
DAYS_A_REQUEST = {"minute": 60, "day": 2_000}  # the broker's limits
LONGEST_BODY = 1 << 16  # of a refusal
DENIED_SECONDS = 900.0  # until the same token is tried again
REJECTED_KEPT = 100
SETTLING_MS = 30_000  # a minute is unreliable for 10 s after its end (kite.trade/forum/discussion/6011)
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

Integers = np.ndarray[tuple[int], np.dtype[np.int64]]
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
    """Asks politely: never more than so many requests a second, and slower when the broker says so."""

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
        """The minute of a row that was left out, where it can be told: its bucket would be a minute short."""
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
        error = read_broker_error(answer.status_code, answer.content[:LONGEST_BODY], secrets)
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
    numbers = [_number(one) for one in fields[1:]]
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


def settled_until(rows: Sequence[Row], until_ms: int) -> int:
    """Up to when minute rows, asked for at `until_ms`, are surely all there: to the end of the newest settled one.

    What the broker has not written yet looks like minutes without a trade, so today nothing is sure behind that.
    """
    ends = [row[0] + MINUTE_MS for row in rows if row[0] + MINUTE_MS + SETTLING_MS <= until_ms]
    return max([*ends, ist_midnight_ms(ist_date(until_ms))])


def minute_candles(
    rows: Sequence[Row],
    instrument: Instrument,
    timeframe: Timeframe,
    calendar: SessionCalendar,
    until_ms: int,
    doubtful_ms: Collection[int] = (),
) -> list[Candle]:
    """Minute rows as candles of a timeframe of whole minutes, in session-anchored buckets settled by `until_ms`.

    Rows outside continuous trading belong to no candle; a bucket with one of the doubtful minutes in it makes none.
    """
    if not rows:
        return []
    until_ms = settled_until(rows, until_ms)
    at = np.array([row[0] for row in rows], dtype=np.int64)
    opens, closes = _session_bounds((at + IST_OFFSET_MS) // DAY_MS, at, instrument, calendar)
    starts = opens + (at - opens) // timeframe.length_ms * timeframe.length_ms
    ends = np.minimum(starts + timeframe.length_ms, closes)
    inside = np.flatnonzero((at >= opens) & (at < closes) & (ends <= until_ms))
    if not len(inside):
        return []
    ordered = inside[np.argsort(starts[inside], kind="stable")]
    buckets = _buckets([rows[nth] for nth in ordered.tolist()], starts[ordered], ends[ordered])
    whole = [one for one in buckets if not any(one[0] <= at_ms < one[1] for at_ms in doubtful_ms)]
    return [_candle(instrument, timeframe, *one) for one in whole]


def _buckets(rows: Sequence[Row], starts: Integers, ends: Integers) -> list[tuple[Any, ...]]:
    """Of rows in the order of their buckets' starts: start, end, open, high, low, close, volume and oi of each."""
    _, open_, high, low, close, volume, oi = (np.array(column) for column in zip(*rows, strict=True))
    first = np.flatnonzero(np.diff(starts, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    columns = (
        starts[first],
        ends[first],
        open_[first],
        np.maximum.reduceat(high, first),
        np.minimum.reduceat(low, first),
        close[last],
        np.add.reduceat(volume, first),
        oi[last],
    )
    return list(zip(*(one.tolist() for one in columns), strict=True))


def day_candles(
    rows: Sequence[Row], instrument: Instrument, timeframe: Timeframe, calendar: SessionCalendar, until_ms: int
) -> list[Candle]:
    """Day rows as `1d` candles, those of the days before `until_ms`: today's is replaced about midnight."""
    candles, today = [], ist_date(until_ms)
    for row in rows:
        session = calendar.for_instrument(instrument, ist_date(row[0]))
        if session is not None and session.date < today:
            candles.append(_candle(instrument, timeframe, session.open_ms, session.day_end_ms, *row[1:]))
    return candles


def _session_bounds(
    days: np.ndarray, at_ms: np.ndarray, instrument: Instrument, calendar: SessionCalendar
) -> tuple[np.ndarray, np.ndarray]:
    """Open and close (epoch ms) of each row's session; a row on a closed day gets an empty one."""
    unique, which = np.unique(days, return_inverse=True)
    firsts = [int(at_ms[which == nth][0]) for nth in range(len(unique))]
    sessions = [calendar.for_instrument(instrument, ist_date(first)) for first in firsts]
    opens = np.array([one.open_ms if one else 0 for one in sessions], dtype=np.int64)
    closes = np.array([one.close_ms if one else 0 for one in sessions], dtype=np.int64)
    return opens[which], closes[which]


def _candle(
    instrument: Instrument,
    timeframe: Timeframe,
    start_ms: int,
    end_ms: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: int,
    oi: int,
) -> Candle:
    return Candle(
        symbol=instrument.symbol,
        timeframe=timeframe.name,
        token=instrument.token,
        start_ms=int(start_ms),
        end_ms=int(end_ms),
        open=float(open_),
        high=float(high),
        low=float(low),
        close=float(close),
        volume=None if instrument.is_index else int(volume),
        oi=int(oi) if instrument.session_class in DERIVATIVES else None,
        vwap=None,
        ticks=0,
        complete=True,
        source=Source.HISTORY,
        rev=0,
        timed_by=TimedBy.EXCHANGE,
    )


def is_from_minutes(timeframe: Timeframe) -> bool:
    """Whether minute rows can make it: seconds can not be had from the broker."""
    return not timeframe.is_day and timeframe.length_ms % MINUTE_MS == 0
