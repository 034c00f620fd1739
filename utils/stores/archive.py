"""The loop that brings a Redis stream to MongoDB or into a file: nothing is lost while that is away, nobody waits.

A consumer group remembers what was written: an entry is acknowledged after its document is. Everything may happen
twice (whoever writes knows what is there), nothing may happen never. Writing blocks: the loop has its own thread.
A stream may have several groups; each is read, acknowledged and counted by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson
import pybreaker
import redis
import structlog

from utils.journal.entries import ZERO_ID, EntryId
from utils.runtime.lifecycle import StopRequest
from utils.stores.archive_health import ArchiverHealth, ArchiverState
from utils.stores.mongo import Document, RefusedDocument, StoreError
from utils.stores.redis_connection import BLOCK_MS
from utils.stores.redis_failure import failure_of
from utils.text import shortened

CONSUMER = "archiver"  # one name for all: whoever comes next finds what the last one left pending
SMALLEST_BULK = 50
LARGEST_BULK = 1_000
GATHER_SECONDS = 0.1
BACK_OFF_SECONDS = 0.1
LONGEST_REASON = 300
LOG_LOST_SECONDS = 60.0  # while it fails; what is dropped then may be a few entries each second

WriteDocuments = Callable[[Sequence[Document]], list[RefusedDocument]]
StreamEntry = tuple[bytes, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class ArchiverTiming:
    """Real seconds. The breaker opens after `failures` in a row, and lets one try through every `reset_seconds`.

    After a quiet time the first entries are read `pause_seconds` after they came. Candles close in bursts, and this
    thread shares the interpreter's lock with the worker that publishes them: on a busy machine the last of 9 000
    was published 2.7 s after it closed without the pause, and 1.3 s with it (medians of 8, bench row 4).
    """

    failures: int = 3
    reset_seconds: float = 5.0
    first_backoff_seconds: float = 0.25
    longest_backoff_seconds: float = 5.0
    drain_seconds: float = 5.0
    backlog_seconds: float = 1.0
    ping_seconds: float = 5.0
    pause_seconds: float = 0.8


@dataclass(slots=True)
class _Progress:
    """Where the loop is: entries left pending by an earlier run or a failed write come first.

    Of the entries after `position`, `dropped` were counted as lost already; `unlogged` are those not in the log yet.
    """

    has_pending: bool = True
    failures_in_row: int = 0
    unlogged: int = 0
    logged_at: float = float("-inf")
    position: bytes = b""
    dropped: int = 0
    backlog_at: float = float("-inf")
    pinged_at: float = float("-inf")


class StreamArchiver:
    """Writes one stream's entries (one field, `json`) with one `write` function, in order."""

    def __init__(
        self,
        client: redis.Redis,
        stream: str,
        group: str,
        write: WriteDocuments,
        rejected_stream: str | None,
        rejected_max_entries: int,
        timing: ArchiverTiming | None = None,
        is_to_back_off: Callable[[int], bool] = lambda backlog: False,
        ping: Callable[[], None] = lambda: None,
    ) -> None:
        """`write` is `MongoStore.upsert_candles` or its like, and raises StoreError when it cannot.

        What is refused goes into `rejected_stream`, if there is one. `client` may be shared between threads.

        `is_to_back_off` is asked, with the backlog, whether others need the cores more. `ping` raises StoreError when
        the database is away: it is asked while there is nothing to write, so that this is known before.
        """
        self._client = client
        self._stream = stream
        self._group = group
        self._write = write
        self._rejected_stream = rejected_stream
        self._rejected_max_entries = rejected_max_entries
        self._timing = timing or ArchiverTiming()
        self._is_to_back_off = is_to_back_off
        self._ping = ping
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=self._timing.failures, reset_timeout=self._timing.reset_seconds, throw_new_error_on_trip=False
        )
        self._log = structlog.get_logger("archive").bind(stream=stream, group=group)
        self._progress = _Progress()
        self.health = ArchiverHealth()

    def run(self, stop: StopRequest) -> None:
        """Until the stop is asked for; then what is still there is written, as long as that goes well and quickly."""
        while not stop.requested:
            self._guarded(stop, BLOCK_MS)
        deadline = time.monotonic() + self._timing.drain_seconds
        while not self._progress.failures_in_row and time.monotonic() < deadline and self._guarded(stop, 0):
            pass
        self._note_backlog()
        self._log_lost()
        self.health = replace(self.health, state=ArchiverState.STOPPED)

    def _guarded(self, stop: StopRequest, block_ms: int) -> int:
        """One round; whatever goes wrong is noted and waited out, so that the thread never dies."""
        try:
            count = self._run_once(stop, block_ms)
        except redis.ResponseError as error:
            self._on_response_error(stop, error)
        except (redis.RedisError, StoreError, pybreaker.CircuitBreakerError) as error:
            self._on_failure(stop, error)
        except Exception as error:
            self._log.exception("archiving fails")
            self._on_failure(stop, error)
        else:
            self._on_success()
            return count
        return 0

    def _run_once(self, stop: StopRequest, block_ms: int) -> int:
        if time.monotonic() - self._progress.backlog_at >= self._timing.backlog_seconds:
            self._note_backlog()
        if block_ms and not self._progress.failures_in_row and self._is_to_back_off(self.health.backlog):
            stop.wait(BACK_OFF_SECONDS)
            return 0
        entries = self._read_pending()
        if not entries:
            entries = self._read_new(stop, block_ms)
        if entries:
            if not self._progress.failures_in_row:  # one that fails keeps failing until a write succeeded
                self.health = replace(self.health, state=ArchiverState.WRITING)
            self._archive(entries)
        elif block_ms:
            self._ping_now_and_then()
        return len(entries)

    def _ping_now_and_then(self) -> None:
        now = time.monotonic()
        if self._progress.failures_in_row or now - self._progress.pinged_at >= self._timing.ping_seconds:
            self._progress.pinged_at = now
            self._ping()

    def _read_pending(self) -> list[StreamEntry]:
        if not self._progress.has_pending:
            return []
        answer: Any = self._client.xreadgroup(self._group, CONSUMER, {self._stream: b"0"}, count=LARGEST_BULK)
        entries: list[StreamEntry] = list(answer[0][1]) if answer else []
        self._progress.has_pending = bool(entries)
        gone = [entry_id for entry_id, fields in entries if not fields]
        if not gone:
            return entries
        self._client.xack(self._stream, self._group, *gone)  # they left the stream: there is nothing to write
        self._note_lost(len(gone))
        return [entry for entry in entries if entry[1]] or self._read_pending()

    def _read_new(self, stop: StopRequest, block_ms: int) -> list[StreamEntry]:
        entries, position = self._fetch_new(LARGEST_BULK)
        if not entries and block_ms and self._client.xread({self._stream: position}, count=1, block=block_ms):
            stop.wait(self._timing.pause_seconds)
            entries, _ = self._fetch_new(LARGEST_BULK)
        if 0 < len(entries) < SMALLEST_BULK and block_ms:
            stop.wait(GATHER_SECONDS)  # candles close in bursts: one write for the burst
            entries += self._fetch_new(LARGEST_BULK - len(entries))[0]
        return entries

    def _fetch_new(self, count: int) -> tuple[list[StreamEntry], bytes]:
        """New entries, and the id that they come after; in one transaction with what shows whether some are gone."""
        pipeline = self._ask_facts()
        pipeline.xreadgroup(self._group, CONSUMER, {self._stream: b">"}, count=count)
        groups, about, read = pipeline.execute(raise_on_error=False)
        for answer in (read, groups, about):
            if isinstance(answer, Exception):
                raise answer
        group = self._own(groups)
        entries: list[StreamEntry] = list(read[0][1]) if read else []
        if entries:
            self._note_dropped(group, about)
        return entries, group["last-delivered-id"]

    def _own(self, groups: Any) -> dict[str, Any]:
        """Empty before the group is there."""
        return next((group for group in groups if group["name"] in (self._group, self._group.encode())), {})

    def _note_dropped(self, group: dict[str, Any], about: dict[str, Any]) -> int:
        """How many entries a limit dropped before they were read, all of them counted as lost now."""
        progress, count = self._progress, _dropped_unread(group, about)
        if progress.position != group["last-delivered-id"]:
            progress.position, progress.dropped = group["last-delivered-id"], 0
        self._note_lost(count - progress.dropped)
        progress.dropped = max(count, progress.dropped)
        return count

    def _note_lost(self, count: int) -> None:
        if count > 0:
            self.health = replace(self.health, lost=self.health.lost + count)
            self._progress.unlogged += count
            if time.monotonic() - self._progress.logged_at >= LOG_LOST_SECONDS:
                self._log_lost()

    def _log_lost(self) -> None:
        count, self._progress.unlogged = self._progress.unlogged, 0
        if count:
            self._progress.logged_at = time.monotonic()
            self._log.error(
                "entries were dropped from the stream before they were stored; raise CLOSED_MAX_ENTRIES or "
                "SIGNALS_MAX_ENTRIES, or bring back sooner what stores them",
                count=count,
            )

    def _archive(self, entries: list[StreamEntry]) -> None:
        documents, unreadable = _documents(entries)
        refused = self._breaker.call(self._write, documents) if documents else []
        aside = unreadable + [(orjson.dumps(refusal.document, default=str), refusal.reason) for refusal in refused]
        self._put_aside(aside)
        self._client.xack(self._stream, self._group, *(entry_id for entry_id, _ in entries))
        self.health = replace(
            self.health,
            written=self.health.written + len(documents) - len(refused),
            rejected=self.health.rejected + len(aside),
            last_write_ms=time.time_ns() // 1_000_000,
        )

    def _put_aside(self, aside: list[tuple[bytes, str]]) -> None:
        for body, reason in aside:
            self._log.warning("document refused", reason=reason)
            if self._rejected_stream is None:
                continue
            fields: dict[Any, Any] = {
                "stream": self._stream,
                "json": body,
                "reason": shortened(reason, LONGEST_REASON),
            }
            self._client.xadd(self._rejected_stream, fields, maxlen=self._rejected_max_entries, approximate=True)

    def _on_success(self) -> None:
        if self._progress.failures_in_row:
            self._log.info("archiving resumed")
        self._progress.failures_in_row = 0
        self._log_lost()
        self.health = replace(self.health, state=ArchiverState.WAITING, error="")

    def _on_response_error(self, stop: StopRequest, error: redis.ResponseError) -> None:
        if not str(error).startswith("NOGROUP"):
            self._on_failure(stop, error)
            return
        # No group yet, or Redis lost everything: from the beginning, since what is written again does no harm.
        try:
            self._client.xgroup_create(self._stream, self._group, id="0", mkstream=True)
        except redis.RedisError as second:
            if not str(second).startswith("BUSYGROUP"):
                self._on_failure(stop, second)
        self._progress.has_pending = True
        self._progress.backlog_at = float("-inf")

    def _on_failure(self, stop: StopRequest, error: Exception) -> None:
        progress = self._progress
        progress.has_pending = True  # what was read is pending now
        progress.failures_in_row += 1
        if not isinstance(error, pybreaker.CircuitBreakerError):
            sentence = failure_of(error).sentence if isinstance(error, redis.RedisError) else str(error)
            reason = shortened(sentence, LONGEST_REASON)
            if progress.failures_in_row == 1 or reason != self.health.error:
                self._log.warning("archiving fails, trying again", reason=reason)
            self.health = replace(self.health, error=reason)
        self.health = replace(self.health, state=ArchiverState.FAILING)
        self._note_backlog()
        longest, doubled = self._timing.longest_backoff_seconds, min(progress.failures_in_row - 1, 16)
        if not stop.requested:
            stop.wait(min(longest, self._timing.first_backoff_seconds * 2**doubled))

    def _note_backlog(self) -> None:
        self._progress.backlog_at = time.monotonic()
        try:
            group, about = self._facts()
        except redis.RedisError:
            group, about = {}, {}
        pending, lag = int(group.get("pending", 0)), group.get("lag")
        # Nothing is in our hands at this moment: whoever read these may be dead.
        self._progress.has_pending |= pending > 0
        dropped = self._note_dropped(group, about) if group else 0
        backlog = -1 if lag is None else pending + int(lag) - dropped  # None when Redis does not know
        self.health = replace(self.health, backlog=backlog)

    def _facts(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The group and its stream at one moment."""
        groups, about = self._ask_facts().execute()
        return self._own(groups), about

    def _ask_facts(self) -> redis.client.Pipeline:
        """A transaction that asks for the groups and the stream; what else is to be of that moment follows."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.xinfo_groups(self._stream)
        pipeline.xinfo_stream(self._stream)
        return pipeline


def _dropped_unread(group: dict[str, Any], about: dict[str, Any]) -> int:
    """How many entries a limit dropped between the last one read and the first one that is there."""
    position, read = EntryId.parse(group["last-delivered-id"]), group["entries-read"]
    if read is None and position == ZERO_ID:
        read = 0
    if read is None or not about["first-entry"] or EntryId.parse(about["first-entry"][0]) <= position:
        return 0
    return max(0, int(about["entries-added"]) - int(about["length"]) - int(read))


def _documents(entries: list[StreamEntry]) -> tuple[list[Document], list[tuple[bytes, str]]]:
    """The documents, and the unreadable bodies with their reasons."""
    documents: list[Document] = []
    unreadable: list[tuple[bytes, str]] = []
    for _, fields in entries:
        body = fields.get(b"json", b"")
        try:
            documents.append(_document(body))
        except ValueError as error:
            unreadable.append((body, f"not a document: {error}"))
    return documents, unreadable


def _document(body: bytes) -> Document:
    content = orjson.loads(body)
    if not isinstance(content, dict) or not isinstance(content.get("_id"), str):
        raise ValueError("no JSON object with a text for _id")
    return content
