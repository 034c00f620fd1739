"""Sends the journal to the streams, in a thread of its own: the socket never waits for Redis.

The journal is the queue. At the start and after every error the stream is asked how far it got, and the rest is
sent in order. A stream that is not where it was left accepts nothing; one that is gone gets the full day again.
While such a backlog is sent, nothing is trimmed that the candle worker's snapshot does not cover (SendWindow).
A stream that Redis refuses for itself (a right, a key's type) waits in its journal, and the others are sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import redis

from utils.connector.recorder import TickRecorder
from utils.connector.send_window import SendWindow
from utils.journal.entries import ZERO_ID, Entry, EntryId, Topic
from utils.journal.writer import JournalError
from utils.market.instruments import Instrument
from utils.market.ist import ist_date, ist_midnight_ms
from utils.runtime.log import BoundLogger
from utils.runtime.timing import RetryDelay
from utils.stores.health import HealthReport
from utils.stores.redis_failure import Failure, RedisFailure, failure_of
from utils.stores.redis_refusals import Refusals, WaitsError
from utils.stores.redis_server import ServerCheck
from utils.stores.tick_stream import StreamMovedError, TickStream

BATCH_ENTRIES = 500
BATCH_BYTES = 1 << 20
HEALTH_SECONDS = 1.0
TRIM_SECONDS = 10.0
TRIM_AFTER_BYTES = 32 << 20
BACKOFF_SECONDS = (0.1, 2.0)
WINDOW_SHARE = 2  # a backlog stays within this part (a half) of the stream's bound beyond the worker's snapshot
SNAPSHOT_POLL_SECONDS = 0.02  # how often the worker's snapshot is looked at while sending waits for it

Fields = Mapping[str, str | int | float]


class TickSender:
    """`wake` when something is new in the journal; `finish` sends what is left and ends the thread."""

    def __init__(
        self,
        client: redis.Redis,
        stream: TickStream,
        recorders: Sequence[TickRecorder],
        health: HealthReport,
        health_fields: Callable[[], Fields],
        stream_hours: float,
        stream_max_bytes: int,
        log: BoundLogger,
        after_session: Callable[[], bool] = lambda: False,
    ) -> None:
        """`after_session` (RedisError) is called once a second, in the sender's thread."""
        self.sent = self.forced_out = self.faults = 0
        self.redis_fault = ""
        self.journal_fault = ""
        self._is_there = False
        self._client = client
        self._server = ServerCheck(client, stream.keys, log)
        self._refusals = Refusals(log)
        self._failed: RedisFailure | None = None
        self._stream = stream
        self._recorders = recorders
        shards = [recorder.shard for recorder in recorders if recorder.topic is Topic.TICKS]
        room_bytes = stream_max_bytes // WINDOW_SHARE
        self._windows = {shard: SendWindow(shard, partial(stream.use, shard), room_bytes, log) for shard in shards}
        self._health = health
        self._health_fields = health_fields
        self._kept_ms = round(stream_hours * 3_600_000)
        self._max_bytes = stream_max_bytes
        self._log = log
        self._after_session = after_session
        self._delay = RetryDelay(*BACKOFF_SECONDS)
        self._new = threading.Event()
        self._asked = threading.Event()
        self._ending = threading.Event()
        self._deadline = float("inf")
        self._sent_to = {(recorder.topic, recorder.shard): ZERO_ID for recorder in recorders}
        # How far it was sent, as far as this process knows, or how far the journal went at its start. A stream that
        # is gone is sent everything again from that day on.
        self._reached = {(recorder.topic, recorder.shard): recorder.last_id for recorder in recorders}
        self._instruments: Sequence[Instrument] | None = None
        self._has_shown_instruments = True
        self._health_due = self._trim_due = 0.0
        self._bytes_since_trim = 0
        # A daemon: a Redis that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="tick-sender", daemon=True)

    def start(self, answer_seconds: float = 0.0) -> None:
        """Start the thread, and wait at most `answer_seconds` until the streams were asked how far they got.

        With a clock that was stepped back and a journal that lost its end, ids given before that are too low.
        """
        self._thread.start()
        self._asked.wait(answer_seconds)

    def wake(self) -> None:
        """Something is new in the journal."""
        self._new.set()

    def show_instruments(self, instruments: Sequence[Instrument]) -> None:
        """Write these to the `instruments` hash, and again to every Redis that lost it."""
        self._instruments = tuple(instruments)
        self._has_shown_instruments = False
        self.wake()

    def finish(self, seconds: float) -> bool:
        """Send what is left, for `seconds` at most. False when entries are left: they stay in the journal."""
        self._deadline = time.monotonic() + seconds
        self._ending.set()
        self.wake()
        self._thread.join(seconds)
        return all(
            self.sent_to(recorder.shard, recorder.topic) >= recorder.recorded_to for recorder in self._recorders
        )

    def sent_to(self, shard: int, topic: Topic = Topic.TICKS) -> EntryId:
        """The id up to which the stream has everything."""
        return self._sent_to[topic, shard]

    @property
    def waiting_seconds(self) -> float:
        """How long a shard's backlog has waited for a snapshot of the candle worker; 0 when none waits."""
        return max((window.waiting_seconds for window in self._windows.values()), default=0.0)

    def _run(self) -> None:
        while not self._is_over(is_drained=False):
            try:
                self.agree()
                self._asked.set()
                self._send_until_finished()
                return
            except StreamMovedError as error:
                self.faults += 1
                self._log.warning(f"{error}: what is missing there is sent again")
            except redis.RedisError as error:
                self._on_redis_fault(error)
            except (OSError, JournalError) as error:
                self.journal_fault = str(error)
                self._on_fault("the journal cannot be read: entries are not sent", error)
                self._write_health()
            except Exception as error:
                self._on_fault("sending failed, retrying", error)
            self._asked.set()
            self._client.connection_pool.disconnect()
            self._pause(self._delay.next_seconds())

    def _pause(self, seconds: float) -> None:
        if not self._ending.wait(seconds):
            return
        time.sleep(max(0.0, min(BACKOFF_SECONDS[0], self._deadline - time.monotonic())))

    def agree(self) -> None:
        """Ask each stream how far it got: the journal is read from there. RedisError."""
        self._server.look()
        for recorder in self._recorders:
            self._refusals.tried(self._name(recorder), partial(self._agree_on, recorder))
        self._has_shown_instruments = False

    def _agree_on(self, recorder: TickRecorder) -> bool:
        last_id = self._stream.last_id(recorder.shard, recorder.topic)
        reached = self._reached[recorder.topic, recorder.shard]
        after = last_id if last_id is not None else _before_day(reached)
        if after > recorder.last_id:
            self._on_stream_ahead(recorder, after)
        recorder.seek(after)
        if recorder.topic is Topic.TICKS:
            self._windows[recorder.shard].begin()
        self._sent_to[recorder.topic, recorder.shard] = last_id or ZERO_ID
        return True

    def _on_stream_ahead(self, recorder: TickRecorder, stream_id: EntryId) -> None:
        recorder.raise_floor(stream_id)
        ahead_ms = stream_id.ms - recorder.now_ms()
        if ahead_ms > 0:
            self._log.error(
                "the stream has entries from a later time than now: their time stands still until then; "
                "a simulated day needs a REDIS_PREFIX of its own",
                shard=recorder.shard,
                ahead_seconds=ahead_ms / 1000,
            )

    def _send_until_finished(self) -> None:
        while True:
            self._new.clear()
            has_sent = self.send_once()
            if self._is_over(is_drained=not has_sent):
                self._write_health()
                return
            if not has_sent:
                self._wait()

    def send_once(self) -> bool:
        """One batch of every stream, and the chores that are due; whether anything was sent. RedisError, OSError."""
        sent = [self._send_some(recorder) for recorder in self._recorders]
        self._on_success()
        self._do_chores()
        return any(sent)

    def _wait(self) -> None:
        """For something new in the journal; new frames are of no use while an older one waits for the worker."""
        if self.waiting_seconds:
            self._ending.wait(SNAPSHOT_POLL_SECONDS)
        else:
            self._new.wait(max(0.0, self._health_due - time.monotonic()))

    def _is_over(self, is_drained: bool) -> bool:
        return self._ending.is_set() and (is_drained or time.monotonic() >= self._deadline)

    def _send_some(self, recorder: TickRecorder) -> bool:
        """Whether entries were sent; a stream that was refused is asked again how far it got."""
        name = self._name(recorder)
        if self._refusals.has(name):
            return self._refusals.tried(name, lambda: self._agree_on(recorder) and self._send_next(recorder))
        return self._refusals.tried(name, partial(self._send_next, recorder))

    def _send_next(self, recorder: TickRecorder) -> bool:
        window = self._windows.get(recorder.shard) if recorder.topic is Topic.TICKS else None
        room_bytes = window.room_bytes(BATCH_BYTES) if window is not None else BATCH_BYTES
        entries = self._next_entries(recorder, room_bytes) if room_bytes else []
        payload_bytes = sum(len(entry.payload) for entry in entries)
        if entries:
            self._add(recorder, entries, payload_bytes)
        if window is not None:
            window.note_sent(len(entries), payload_bytes)
            if len(entries) < BATCH_ENTRIES and payload_bytes < room_bytes:  # the journal had no more
                window.end()
        return bool(entries)

    def _add(self, recorder: TickRecorder, entries: Sequence[Entry], payload_bytes: int) -> None:
        key = recorder.topic, recorder.shard
        self._stream.add(recorder.shard, entries, self._sent_to[key], recorder.topic)
        self.sent += len(entries)
        self._sent_to[key] = self._reached[key] = entries[-1].id
        self._bytes_since_trim += payload_bytes

    def _next_entries(self, recorder: TickRecorder, max_bytes: int) -> list[Entry]:
        """A journal of the account that cannot be read stops no ticks. OSError, JournalError."""
        try:
            return recorder.take(BATCH_ENTRIES, max_bytes)
        except (OSError, JournalError) as error:
            if recorder.topic is Topic.TICKS:
                raise
            reason = f"The account's journal cannot be read ({error}): move the file that it names away"
            raise WaitsError(reason) from error

    def _name(self, recorder: TickRecorder) -> str:
        return self._stream.name(recorder.shard, recorder.topic)

    def _do_chores(self) -> None:
        now = time.monotonic()
        if now >= self._health_due:
            self._health_due = now + HEALTH_SECONDS
            self._write_health()
            self._refusals.tried("the snapshot after the session", self._after_session)
        if not self._has_shown_instruments and self._instruments is not None:
            self._has_shown_instruments = self._refusals.tried("the hash instruments", self._store_instruments)
        if now >= self._trim_due or self._bytes_since_trim >= min(TRIM_AFTER_BYTES, self._max_bytes // 4):
            self._trim_due = now + TRIM_SECONDS
            self._bytes_since_trim = 0
            for recorder in self._recorders:
                name, trim = self._name(recorder), partial(self._trim, recorder.shard, recorder.topic)
                if not self._refusals.has(name):
                    self._refusals.tried(f"trimming {name}", trim)

    def _store_instruments(self) -> bool:
        self._stream.store_instruments(self._instruments or ())
        return True

    def _trim(self, shard: int, topic: Topic) -> bool:
        """While a backlog is sent only what the candle worker's snapshot covers may go."""
        window = self._windows.get(shard) if topic is Topic.TICKS else None
        min_ms, keep = self.sent_to(shard, topic).ms - self._kept_ms, 0
        if window is not None and window.is_behind:
            use = window.look()
            min_ms, keep = min(min_ms, use.covered.ms), use.unread
        self._stream.trim_older(shard, min_ms, topic)
        dropped = self._stream.trim_to_bytes(shard, self._max_bytes, topic, keep)
        if dropped:
            self._on_forced_out(shard, dropped)
        return True

    def _on_forced_out(self, shard: int, entries: int) -> None:
        self.forced_out += entries
        self._log.warning(
            "the stream reached STREAM_MAX_MB: its oldest entries were dropped before STREAM_HOURS were over; "
            "the journal has them",
            shard=shard,
            entries=entries,
        )

    def _write_health(self) -> None:
        self._health.write(self._health_fields())

    def _on_success(self) -> None:
        """Only an accepted write shows that Redis is there: one out of memory still answers questions."""
        self.journal_fault = ""
        if not self._is_there:
            self._log.info("Redis is there", sent_to=str(max(self._sent_to.values())))
        self._is_there, self.redis_fault = True, self._refusals.sentence
        self._failed = None
        self._delay.reset()

    def _on_redis_fault(self, error: redis.RedisError) -> None:
        """Whatever it is, capture continues into the journal. Logged when the kind changes."""
        self.faults += 1
        self._server.forget()
        failure = failure_of(error)
        if failure.kind is not self._failed:
            self._log_failure(failure)
        self._failed, self._is_there = failure.kind, False
        self.redis_fault = "" if failure.is_outage else failure.sentence
        if self.redis_fault:
            self._write_health()  # it may refuse a stream and accept the report, which has the reason

    def _log_failure(self, failure: Failure) -> None:
        if failure.is_outage:
            self._log.warning("Redis is away: the journal keeps everything until it is back", error=failure.sentence)
        else:
            self._log.error(f"{failure.sentence} The journal keeps everything until then.")

    def _on_fault(self, sentence: str, error: Exception) -> None:
        self.faults += 1
        self._log.error(sentence, error=str(error) or type(error).__name__, exc_info=True)


def _before_day(last_id: EntryId) -> EntryId:
    """The id below all those of the day on which `last_id` falls."""
    return ZERO_ID if last_id == ZERO_ID else EntryId(ist_midnight_ms(ist_date(last_id.ms)) - 1, 0)
