"""One shard's connection over time: connect, subscribe, watch, act on a refusal (403), and connect again, for ever.

Everything happens in the thread of the reactor: `look` is called many times a second and does what is due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from utils.connector.account_updates import AccountUpdates, is_of_account
from utils.connector.recorder import TickRecorder
from utils.journal.entries import HEARTBEAT, clock_mark, down_mark, subscribed_mark, up_mark
from utils.kite.access_token import AccessTokens
from utils.kite.notices import ERROR, read_notice
from utils.kite.profile import AskWhy
from utils.kite.refusals import BrokerError, Cause
from utils.kite.ticker import OneConnection
from utils.market.instruments import Instrument
from utils.runtime.log import BoundLogger, hide_secret
from utils.runtime.timing import RetryDelay

NETWORK_SECONDS = (0.5, 10.0)
THROTTLED_SECONDS = (5.0, 60.0)
FIRST_DENIED_SECONDS = 30.0  # the broker may have erred; after it, as long as the cause asks for
ASK_AGAIN_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 900.0
ATTEMPT_SECONDS = 30.0  # both time-outs of the client together, and some more
BREAKS_SECONDS, MOST_BREAKS = 600.0, 1_000  # a break that lies longer back is not counted any more
SETTLED_SECONDS = 10.0  # a connection that stood so long was a good one: the next wait is short again


class FeedState(StrEnum):
    """Where a shard's connection stands."""

    NO_INSTRUMENTS = "no instruments yet"
    WAITING = "waiting to connect"
    CONNECTING = "connecting"
    UP = "up"
    NO_TOKEN = "waiting for a new access token"
    DENIED = "refused by the broker"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """What all connections have in common."""

    ws_url: str
    api_key: str
    mode: str
    watchdog_seconds: float


class ShardFeed:
    """`monotonic` gives real seconds: a socket's silence is never measured in market time."""

    def __init__(
        self,
        options: FeedOptions,
        tokens: AccessTokens,
        recorder: TickRecorder,
        account: AccountUpdates,
        monotonic: Callable[[], float],
        log: BoundLogger,
        ask_why: AskWhy,
    ) -> None:
        """`ask_why` finds out what a refusal without words means, and calls back in the reactor's thread."""
        self.state = FeedState.NO_INSTRUMENTS
        self.refusal = ""  # the broker's, with its remedy, until a connection is up again
        self.notices: dict[str, str] = {}  # the broker's last text of each kind on this connection
        self.connections = self.faults = 0
        self.instruments: Sequence[Instrument] = ()
        self._options = options
        self._tokens = tokens
        self._recorder = recorder
        self._account = account
        self._monotonic = monotonic
        self._log = log.bind(shard=recorder.shard)
        self._network_delay = RetryDelay(*NETWORK_SECONDS)
        self._throttled_delay = RetryDelay(*THROTTLED_SECONDS)
        self._attempt: _Attempt | None = None
        self._due_at = 0.0
        self._down_reason = ""
        self.break_reason = ""  # of the last connection that was up and broke
        self._breaks: deque[float] = deque(maxlen=MOST_BREAKS)
        self._ask_why = ask_why
        self._ask_at = float("inf")
        self._denied_delay = RetryDelay(FIRST_DENIED_SECONDS, LONGEST_WAIT_SECONDS)
        self._refused_token = ""
        self._refused_with = BrokerError(0)

    @property
    def down_reason(self) -> str:
        """Why there is no connection, empty while there is one."""
        return self._down_reason

    @property
    def recent_breaks(self) -> int:
        """How often of late a connection broke that was up. Asked in the sender's thread: of a copy."""
        return sum(self._monotonic() - at < BREAKS_SECONDS for at in self._breaks.copy())

    def watch(self, instruments: Sequence[Instrument]) -> None:
        """From now on these: a connection that watches others is made anew."""
        if list(instruments) == list(self.instruments):
            return
        self.instruments = tuple(instruments)
        self._end_attempt("the instruments changed")
        if instruments:
            self._wait(0.0)
        else:
            self.state = FeedState.NO_INSTRUMENTS

    def look(self) -> None:
        """Does what is due."""
        now = self._monotonic()
        if self.state is FeedState.WAITING and now >= self._due_at:
            self._connect(now)
        elif self.state is FeedState.NO_TOKEN and self._tokens.current():
            self._log.info("a new access token is there")
            self._connect(now)
        elif self.state is FeedState.NO_TOKEN and now >= self._ask_at:
            self._ask_for_the_cause()
        elif self.state is FeedState.DENIED and self._may_try_again(now):
            self._connect(now)
        elif self.state is FeedState.UP and now - self._received_at() >= self._options.watchdog_seconds:
            self._give_up(f"no frame for {self._options.watchdog_seconds:g} s")
        elif self.state is FeedState.CONNECTING and now - self._received_at() >= ATTEMPT_SECONDS:
            self._give_up("the server did not answer")
        self._mark_time()

    def stop(self, reason: str) -> None:
        """The last mark, and the end of the connection."""
        self._end_attempt("")
        self.mark_down(reason)
        self.state = FeedState.STOPPED

    def on_fault(self, error: Exception) -> None:
        """An exception that must not reach the socket's library."""
        self.faults += 1
        self._log.error("callback failed, connection kept", error=repr(error), exc_info=error)

    def opened(self, attempt: _Attempt) -> None:
        if attempt is not self._attempt:
            return
        attempt.received_at = attempt.opened_at = self._monotonic()
        self.connections += 1
        self.state = FeedState.UP
        self._down_reason = self.refusal = ""
        self.notices.clear()
        self._recorder.mark(up_mark())
        attempt.ticker.subscribe_all([instrument.token for instrument in self.instruments], self._options.mode)
        self._recorder.mark(subscribed_mark(self._options.mode, list(self.instruments)))
        self._log.info("connected and subscribed", instruments=len(self.instruments), mode=self._options.mode)

    def received(self, attempt: _Attempt, payload: bytes, is_binary: bool) -> None:
        if attempt is self._attempt:
            attempt.received_at = self._monotonic()
            if not is_binary and is_of_account(payload):
                self._account.record(self._recorder.shard, payload)
                payload, is_binary = HEARTBEAT, True
            self._recorder.frame(payload, is_binary)
            if not is_binary:
                self._note(payload, attempt.token)

    def _note(self, payload: bytes, token: str) -> None:
        """A notice of the broker is logged once, and shown in the health report."""
        notice = read_notice(payload, [token])
        if notice is not None and self.notices.get(notice.kind) != notice.text:
            self.notices[notice.kind] = notice.text
            log_notice = self._log.error if notice.kind == ERROR else self._log.info
            log_notice("broker notice received", kind=notice.kind, text=notice.text)

    def ended(self, attempt: _Attempt, reason: str, error: BrokerError | None = None) -> None:
        if attempt is not self._attempt:
            return
        self._attempt = None
        self.refusal = error.sentence if error is not None else ""
        cause = error.cause if error is not None else Cause.UNKNOWN
        if error is not None and cause in (Cause.TOKEN, Cause.USER, Cause.UNCLEAR):
            self._on_token_refused(attempt, reason, error)
        elif cause in (Cause.PERMISSION, Cause.KEY, Cause.BLOCKED):
            self._deny(cause, attempt.token, reason)
        elif cause is Cause.THROTTLED:
            self._wait_after(reason, self._throttled_delay.next_seconds())
        else:
            self._note_end(attempt, reason)
            self._wait_after(reason, self._network_delay.next_seconds())

    def _connect(self, now: float) -> None:
        token = self._tokens.current()
        if not token:
            self._wait_for_token("there is no access token")
            return
        hide_secret(token)
        self.state = FeedState.CONNECTING
        self._attempt = attempt = _Attempt(self, token, now)
        try:
            attempt.begin(self._options)
        except Exception as error:
            self.on_fault(error)
            self.ended(attempt, f"the connection could not be begun ({error!r})")

    def _received_at(self) -> float:
        return self._attempt.received_at if self._attempt is not None else self._monotonic()

    def _give_up(self, reason: str) -> None:
        """Does not wait for the socket's own end: a dead one may take long."""
        attempt = self._end_attempt(reason)
        if attempt is not None:
            self._note_end(attempt, reason)
        self._wait_after(reason, self._network_delay.next_seconds())

    def _end_attempt(self, reason: str) -> _Attempt | None:
        """Drops the connection, or the attempt; its later events are ignored."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            if reason:
                self.mark_down(reason)
            try:
                attempt.ticker.drop()
            except Exception as error:
                self.on_fault(error)
        return attempt

    def _note_end(self, attempt: _Attempt, reason: str) -> None:
        """Of one that was not refused; after one that stood long the next wait is short."""
        if attempt.opened_at is None:
            return
        self._breaks.append(self._monotonic())
        self.break_reason = reason
        if self._monotonic() - attempt.opened_at >= SETTLED_SECONDS:
            self._network_delay.reset()
            self._throttled_delay.reset()
            self._denied_delay.reset()

    def _on_token_refused(self, attempt: _Attempt, reason: str, error: BrokerError) -> None:
        self._tokens.refuse(attempt.token)
        if self._tokens.current():
            self._wait_after(reason, 0.0)
            return
        self._refused_token, self._refused_with = attempt.token, error
        if error.cause is not Cause.UNCLEAR:
            self._wait_for_token(reason)
            return
        self.mark_down(reason)
        self.state, self._ask_at = FeedState.NO_TOKEN, self._monotonic()
        self._log.warning("the broker refuses the connection; its profile is asked why", reason=reason)

    def _ask_for_the_cause(self) -> None:
        """Of a refusal without words."""
        self._ask_at = float("inf")
        token = self._refused_token
        self._ask_why(token, lambda cause, answer: self._on_cause(token, cause, answer))

    def _on_cause(self, token: str, cause: Cause, answer: str) -> None:
        """Only an answer that no new token overtook counts."""
        if self.state is not FeedState.NO_TOKEN or token != self._refused_token:
            return
        before = self.refusal
        self.refusal = f"{cause.sentence} (the socket: {self._refused_with}; the profile: {answer})"
        if cause in (Cause.PERMISSION, Cause.KEY):
            self._tokens.readmit(token)
            self._deny(cause, token, self._down_reason)
        elif self.refusal != before:
            self._wait_for_token(self._down_reason)
        if cause is Cause.UNCLEAR:
            self._ask_at = self._monotonic() + ASK_AGAIN_SECONDS

    def _deny(self, cause: Cause, token: str, reason: str) -> None:
        """No login cures it: another try now and then, and at once with another token."""
        self.mark_down(reason)
        seconds = min(self._denied_delay.next_seconds(), cause.wait_seconds or LONGEST_WAIT_SECONDS)
        self._refused_token = token
        self._log.error("the broker refuses market data", reason=self.refusal, next_attempt_in_seconds=seconds)
        self._wait(seconds)
        self.state = FeedState.DENIED

    def _may_try_again(self, now: float) -> bool:
        return now >= self._due_at or self._tokens.current() not in ("", self._refused_token)

    def _wait_for_token(self, reason: str) -> None:
        self.mark_down(reason)
        self._ask_at = float("inf")
        self.state = FeedState.NO_TOKEN
        self._log.error("waiting for a new access token: run manage.py login", reason=reason)

    def _wait_after(self, reason: str, seconds: float) -> None:
        self.mark_down(reason)
        self._log.warning("connection ended", reason=reason, next_attempt_in_seconds=seconds)
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        self.state = FeedState.WAITING
        self._due_at = self._monotonic() + seconds

    def mark_down(self, reason: str) -> None:
        """Marks that there is no connection: once, and again only for another reason."""
        if reason != self._down_reason:
            self._down_reason = reason
            self._recorder.mark(down_mark(reason))

    def _mark_time(self) -> None:
        recorder = self._recorder
        if self.state is not FeedState.STOPPED and is_mark_due(
            recorder.now_ms(), recorder.last_frame_ms, recorder.last_mark_ms
        ):
            recorder.mark(clock_mark())


class _Attempt:
    """One connection, from the attempt to its end, as its ticker sees it."""

    def __init__(self, feed: ShardFeed, token: str, now: float) -> None:
        self.token = token
        self.received_at = now
        self.opened_at: float | None = None
        self.ticker: OneConnection
        self._feed = feed

    def begin(self, options: FeedOptions) -> None:
        self.ticker = OneConnection(options.ws_url, options.api_key, self.token, self, self._feed.on_fault)
        self.ticker.connect()

    def opened(self) -> None:
        self._feed.opened(self)

    def received(self, payload: bytes, is_binary: bool) -> None:
        self._feed.received(self, payload, is_binary)

    def ended(self, reason: str, error: BrokerError | None) -> None:
        self._feed.ended(self, reason, error)


def is_mark_due(now_ms: int, last_frame_ms: int, last_mark_ms: int) -> bool:
    """Whether a whole second of market time went by without a frame, and no mark was recorded in this one yet."""
    second = now_ms // 1000
    return last_frame_ms // 1000 < second - 1 and last_mark_ms // 1000 < second


def look_seconds(speed: float) -> float:
    """How often to look, in real seconds: a few times a market second, and at most 50 times a second."""
    return max(0.02, min(0.1, 0.25 / speed))
