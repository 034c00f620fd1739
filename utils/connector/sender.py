"""Sends what the journal has to the streams, in a thread of its own: the socket never waits for Redis.

The journal is the queue. At the start and after every error the stream is asked how far it got, and the rest is
sent in order; a stream that is not where it was left takes nothing. One that is gone gets the whole day again.
One that Redis refuses for itself (a right, a key's type) waits in its journal, and the others go on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import redis

from utils.connector.recorder import TickRecorder
from utils.journal.entries import ZERO_ID, Entry, EntryId, Topic
from utils.journal.writer import JournalError
from utils.market.instruments import Instrument
from utils.market.ist import ist_date, ist_midnight_ms
from utils.runtime.log import BoundLogger
from utils.runtime.timing import RetryDelay
from utils.stores.health import HealthReport
from utils.stores.redis_failure import Failure, RedisFailure, failure_of
from utils.stores.redis_server import ServerCheck
from utils.stores.refusals import Refusals, WaitsError
from utils.stores.tick_stream import StreamMovedError, TickStream

BATCH_ENTRIES = 500
BATCH_BYTES = 1 << 20
HEALTH_SECONDS = 1.0
TRIM_SECONDS = 10.0
TRIM_AFTER_BYTES = 32 << 20
BACKOFF_SECONDS = (0.1, 2.0)

Fields = Mapping[str, str | int | float]


class TickSender:
    """`wake` says that there is something new; `finish` sends what is left and ends the thread."""

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
    ) -> None:
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
        self._health = health
        self._health_fields = health_fields
        self._kept_ms = round(stream_hours * 3_600_000)
        self._max_bytes = stream_max_bytes
        self._log = log
        self._delay = RetryDelay(*BACKOFF_SECONDS)
        self._new = threading.Event()
        self._asked = threading.Event()
        self._ending = threading.Event()
        self._deadline = float("inf")
        self._sent_to = {(recorder.topic, recorder.shard): ZERO_ID for recorder in recorders}
        # How far it was sent, as far as this process knows, or the journal went before it: from that day on a stream
        # that is gone is sent everything again.
        self._reached = {(recorder.topic, recorder.shard): recorder.last_id for recorder in recorders}
        self._instruments: Sequence[Instrument] | None = None
        self._instruments_shown = True
        self._health_due = self._trim_due = 0.0
        self._bytes_since_trim = 0
        # A daemon: a Redis that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="tick-sender", daemon=True)

    def start(self, answer_seconds: float = 0.0) -> None:
        """Begins, and waits so long at most for what the streams say of how far they got.

        With a clock that was stepped back and a journal that lost its end, ids given before that are too low.
        """
        self._thread.start()
        self._asked.wait(answer_seconds)

    def wake(self) -> None:
        """Something is new in the journal."""
        self._new.set()

    def show_instruments(self, instruments: Sequence[Instrument]) -> None:
        """These are to be in the `instruments` hash from now on."""
        self._instruments = tuple(instruments)
        self._instruments_shown = False
        self.wake()

    def finish(self, seconds: float) -> bool:
        """Sends what is left, for so long at most. False when something is: it stays in the journal."""
        self._deadline = time.monotonic() + seconds
        self._ending.set()
        self.wake()
        self._thread.join(seconds)
        return all(self.sent_to(one.shard, one.topic) >= one.recorded_to for one in self._recorders)

    def sent_to(self, shard: int, topic: Topic = Topic.TICKS) -> EntryId:
        """The id up to which the stream has everything."""
        return self._sent_to[topic, shard]

    def _run(self) -> None:
        while not self._is_over(ended=False):
            try:
                self._agree()
                self._asked.set()
                self._send_until_told()
                return
            except StreamMovedError as error:
                self.faults += 1
                self._log.warning(f"{error}: it is sent what it lacks")
            except redis.RedisError as error:
                self._on_redis_fault(error)
            except (OSError, JournalError) as error:
                self.journal_fault = str(error)
                self._on_fault("the journal can not be read: entries are not sent", error)
                self._write_health()
            except Exception as error:
                self._on_fault("sending failed; it is tried again", error)
            self._asked.set()
            self._client.connection_pool.disconnect()
            self._pause(self._delay.next_seconds())

    def _pause(self, seconds: float) -> None:
        if not self._ending.wait(seconds):
            return
        time.sleep(max(0.0, min(BACKOFF_SECONDS[0], self._deadline - time.monotonic())))

    def _agree(self) -> None:
        """Asks each stream how far it got, and begins to read the journal there."""
        self._server.look()
        for recorder in self._recorders:
            self._refusals.tried(self._name(recorder), partial(self._agree_on, recorder))
        self._instruments_shown = False

    def _agree_on(self, recorder: TickRecorder) -> bool:
        last_id = self._stream.last_id(recorder.shard, recorder.topic)
        reached = self._reached[recorder.topic, recorder.shard]
        after = last_id if last_id is not None else _before_day(reached)
        if after > recorder.last_id:
            self._on_stream_ahead(recorder, after)
        recorder.seek(after)
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

    def _send_until_told(self) -> None:
        while True:
            self._new.clear()
            sent = [self._send_some(recorder) for recorder in self._recorders]
            self._on_success()
            self._do_chores()
            if self._is_over(ended=not any(sent)):
                self._write_health()
                return
            if not any(sent):
                self._new.wait(max(0.0, self._health_due - time.monotonic()))

    def _is_over(self, ended: bool) -> bool:
        return self._ending.is_set() and (ended or time.monotonic() >= self._deadline)

    def _send_some(self, recorder: TickRecorder) -> bool:
        """Whether entries were sent; a stream that was refused is asked anew how far it got."""
        name = self._name(recorder)
        if self._refusals.has(name):
            return self._refusals.tried(name, lambda: self._agree_on(recorder) and self._send_next(recorder))
        return self._refusals.tried(name, partial(self._send_next, recorder))

    def _send_next(self, recorder: TickRecorder) -> bool:
        entries = self._taken(recorder)
        if not entries:
            return False
        of = recorder.topic, recorder.shard
        self._stream.add(recorder.shard, entries, self._sent_to[of], recorder.topic)
        self.sent += len(entries)
        self._sent_to[of] = self._reached[of] = entries[-1].id
        self._bytes_since_trim += sum(len(entry.payload) for entry in entries)
        return True

    def _taken(self, recorder: TickRecorder) -> list[Entry]:
        """The next entries; a journal of the account that can not be read stops no ticks. OSError, JournalError."""
        try:
            return recorder.take(BATCH_ENTRIES, BATCH_BYTES)
        except (OSError, JournalError) as error:
            if recorder.topic is Topic.TICKS:
                raise
            reason = f"The account's journal can not be read ({error}): move the file that it names away"
            raise WaitsError(reason) from error

    def _name(self, recorder: TickRecorder) -> str:
        return self._stream.name(recorder.shard, recorder.topic)

    def _do_chores(self) -> None:
        now = time.monotonic()
        if now >= self._health_due:
            self._health_due = now + HEALTH_SECONDS
            self._write_health()
        if not self._instruments_shown and self._instruments is not None:
            self._instruments_shown = self._refusals.tried("the hash instruments", self._store_instruments)
        if now >= self._trim_due or self._bytes_since_trim >= TRIM_AFTER_BYTES:
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
        self._stream.trim_older(shard, self.sent_to(shard, topic).ms - self._kept_ms, topic)
        forced = self._stream.trim_to_bytes(shard, self._max_bytes, topic)
        if forced:
            self.forced_out += forced
            self._log.warning(
                "the stream reached STREAM_MAX_MB: its oldest entries were dropped before STREAM_HOURS were over; "
                "the journal has them",
                shard=shard,
                entries=forced,
            )
        return True

    def _write_health(self) -> None:
        self._health.write(self._health_fields())

    def _on_success(self) -> None:
        """Only what Redis really took shows that it is there: one out of memory still answers questions."""
        self.journal_fault = ""
        if not self._is_there:
            self._log.info("Redis is there", sent_to=str(max(self._sent_to.values())))
        self._is_there, self.redis_fault = True, self._refusals.sentence
        self._failed = None
        self._delay.reset()

    def _on_redis_fault(self, error: redis.RedisError) -> None:
        """Whatever it is, the connector goes on: the journal keeps what Redis lacks. Logged when the kind changes."""
        self.faults += 1
        self._server.forget()
        failure = failure_of(error)
        if failure.kind is not self._failed:
            self._log_failure(failure)
        self._failed, self._is_there = failure.kind, False
        self.redis_fault = "" if failure.is_outage else failure.sentence
        if self.redis_fault:
            self._write_health()  # it may refuse a stream and take the report, which says why

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
