"""The connector put together: recorders, connections, the sender and the keeper, run by twisted's reactor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.task import LoopingCall

from utils.connector.account_updates import AccountUpdates
from utils.connector.connection import FeedOptions, FeedState, ShardFeed, look_seconds
from utils.connector.instrument_watch import InstrumentWatch, spread
from utils.connector.recorder import TickRecorder
from utils.connector.sender import TickSender
from utils.connector.session_snapshot import SessionSnapshot
from utils.journal.entries import Topic
from utils.journal.keeper import JournalKeeper
from utils.journal.writer import JournalError
from utils.keys import Keys
from utils.kite.access_token import AccessTokens
from utils.kite.notices import ERROR, MESSAGE
from utils.kite.profile import why_refused
from utils.kite.refusals import Cause
from utils.market.instruments import Instrument
from utils.market.ist import iso_ist
from utils.runtime.lifecycle import StopRequest
from utils.runtime.log import BoundLogger, hide_secret
from utils.runtime.settings import Settings, SettingsError
from utils.runtime.trading_calendar import calendar_of
from utils.stores.health import HealthReport
from utils.stores.redis_connection import open_redis
from utils.stores.tick_stream import TickStream

PROCESS = "connector"
ANSWER_SECONDS = 1.0  # a Redis that hangs must not keep us from the market
DRAIN_SECONDS = 5.0
EVERY_SECOND = 1.0
ACCOUNT_SHARD = 0  # of what the broker publishes about the account, whichever socket received it
FAR_AHEAD_MS = 3_600_000

reactor: Any = _reactor  # twisted puts the real one into the module at run time


class Connector:
    """`run` returns after the stop was asked for, with everything synced, and sent as far as Redis took it."""

    def __init__(self, settings: Settings, stop: StopRequest, log: BoundLogger) -> None:
        """SettingsError when the journal cannot be written, or belongs to another time."""
        self._settings = settings
        self._stop = stop
        self._log = log
        self._now_ms = settings.market_clock.now_ms
        self._started_ms = self._now_ms()
        self._faults = 0
        self._fatal = ""
        self._second_due = 0.0
        self._is_stopping = False
        self._tokens = AccessTokens(settings.access_token.get_secret_value(), settings.access_token_file)
        self._recorders = [self._recorder(shard) for shard in range(settings.shards)]
        self._account_recorder = self._recorder(ACCOUNT_SHARD, Topic.BROKER)
        self._all_recorders = [*self._recorders, self._account_recorder]
        self._account = AccountUpdates(self._account_recorder)
        self._feeds = [self._feed(recorder) for recorder in self._recorders]
        self._instruments: list[Instrument] = []
        self._sender = self._make_sender()
        self._keeper = JournalKeeper(
            settings.journal_dir,
            self._all_recorders,
            settings.journal_fsync_seconds,
            settings.journal_days,
            self._now_ms,
            log,
        )
        self._watch = InstrumentWatch(
            settings.kite_api_url,
            settings.journal_dir,
            settings.symbols,
            self._authorization,
            self._now_ms,
            lambda found: reactor.callFromThread(self._guarded, self._on_instruments, found),
            lambda sentence: reactor.callFromThread(self._give_up, sentence),
            log,
        )

    def run(self) -> None:
        """In the main thread. SettingsError when none of the instruments exists."""
        self._sender.start(ANSWER_SECONDS)
        for feed in self._feeds:
            feed.mark_down("connector started")
        self._keeper.start()
        self._watch.start()
        LoopingCall(self._guarded, self._look).start(look_seconds(self._settings.market_clock.speed))
        reactor.run(installSignalHandlers=False)
        self._end()
        if self._fatal:
            raise SettingsError(self._fatal)

    def _recorder(self, shard: int, topic: Topic = Topic.TICKS) -> TickRecorder:
        directory, is_synced = self._settings.journal_dir, self._settings.journal_fsync_seconds == 0
        try:
            recorder = TickRecorder(directory, shard, self._now_ms, self._wake, self._log, is_synced, topic)
        except JournalError as error:
            raise SettingsError(f"JOURNAL_DIR: {error}") from None
        except OSError as error:
            raise SettingsError(f"JOURNAL_DIR: {directory} cannot be read and written ({error.strerror})") from None
        ahead_ms = recorder.last_id.ms - self._now_ms()
        if ahead_ms > FAR_AHEAD_MS:
            raise SettingsError(
                f"JOURNAL_DIR: {directory} reaches to {iso_ist(recorder.last_id.ms)}, and now it is only "
                f"{iso_ist(self._now_ms())}; a simulated day needs a JOURNAL_DIR of its own"
            )
        if recorder.writer.cut_bytes:
            self._log.warning("a torn record was cut off the journal", shard=shard, bytes=recorder.writer.cut_bytes)
        return recorder

    def _feed(self, recorder: TickRecorder) -> ShardFeed:
        settings = self._settings
        options = FeedOptions(
            settings.kite_ws_url,
            settings.api_key.get_secret_value(),
            settings.subscribe_mode,
            settings.watchdog_seconds,
        )
        return ShardFeed(options, self._tokens, recorder, self._account, time.monotonic, self._log, self._ask_why)

    def _ask_why(self, token: str, answer: Callable[[Cause, str], None]) -> None:
        """In a thread of its own: the broker may take seconds, and the other sockets do not wait."""
        settings = self._settings

        def ask() -> None:
            found = why_refused(settings.kite_api_url, settings.api_key.get_secret_value(), token)
            reactor.callFromThread(self._guarded, answer, *found)

        threading.Thread(target=ask, name="profile", daemon=True).start()

    def _make_sender(self) -> TickSender:
        settings = self._settings
        client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
        snapshot = SessionSnapshot(client, calendar_of(settings), lambda: self._instruments, self._now_ms, self._log)
        return TickSender(
            client,
            TickStream(client, keys),
            self._all_recorders,
            HealthReport(client, keys, PROCESS, settings.health_ttl_seconds),
            self._health_fields,
            settings.stream_hours,
            settings.stream_max_bytes,
            self._log,
            # A demo or a replay, which has a prefix, stores nothing of a Redis that holds live data, too.
            snapshot.look if not settings.redis_prefix else lambda: True,
        )

    def _wake(self) -> None:
        self._sender.wake()

    def _authorization(self) -> str:
        """The REST header; empty without a token (the instruments come without one, too)."""
        token = self._tokens.current()
        hide_secret(token)
        return f"token {self._settings.api_key.get_secret_value()}:{token}" if token else ""

    def _on_instruments(self, found: list[Instrument]) -> None:
        self._instruments = found
        parts = spread(found, self._settings.symbols, self._settings.shards)
        for feed, part in zip(self._feeds, parts, strict=True):
            feed.watch(part)
        self._sender.show_instruments(found)

    def _give_up(self, sentence: str) -> None:
        self._fatal = sentence
        self._stop.request()

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        """An exception would end the looping call, and with it all watching."""
        try:
            step(*arguments)
        except Exception as error:
            self._faults += 1
            self._log.error("connector loop failed, continuing", error=repr(error), exc_info=True)

    def _look(self) -> None:
        if self._stop.requested:
            self._stop_feeds()
            return
        now = time.monotonic()
        if now >= self._second_due:
            self._second_due = now + EVERY_SECOND
            self._tokens.look()
            for recorder in self._all_recorders:
                recorder.retry()
        for feed in self._feeds:
            self._guarded(feed.look)

    def _stop_feeds(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        for feed in self._feeds:
            self._guarded(feed.stop, "connector stopped")
        reactor.callLater(0, reactor.stop)  # after the sockets' own ends, which were asked for before

    def _end(self) -> None:
        """Sender first, so that it reads the last entries of the feeds; then the disk."""
        self._watch.stop()
        self._keeper.stop()
        if not self._sender.finish(DRAIN_SECONDS):
            self._log.warning("not everything was sent: it is in the journal, and will be at the next start")
        for recorder in self._all_recorders:
            try:
                recorder.close()
            except OSError as error:
                self._log.error("journal sync failed", shard=recorder.shard, error=str(error))

    def _health_fields(self) -> dict[str, str | int | float]:
        fields: dict[str, str | int | float] = {
            "state": self._overall_state(),
            "market_ms": self._now_ms(),
            "started_market_ms": self._started_ms,
            "sent": self._sender.sent,
            "redis_fault": self._sender.redis_fault,
            "forced_out": self._sender.forced_out,
            "sending_waits_seconds": round(self._sender.waiting_seconds, 1),
            "redis_faults": self._sender.faults,
            "journal_fault": self._sender.journal_fault,
            "sync_faults": self._keeper.sync_faults,
            "faults": self._faults + sum(feed.faults for feed in self._feeds),
            "frames": sum(recorder.frames for recorder in self._recorders),
            "bytes": sum(recorder.received_bytes for recorder in self._recorders),
            "last_frame_ms": max(recorder.last_frame_ms for recorder in self._recorders),
            "backlog_bytes": sum(recorder.backlog_bytes for recorder in self._recorders),
            "instruments": sum(len(feed.instruments) for feed in self._feeds),
            "shards": len(self._feeds),
            **self._watch.health_fields(),
        }
        for feed, recorder in zip(self._feeds, self._recorders, strict=True):
            fields |= self._shard_fields(feed, recorder)
        return fields | self._account_fields()

    def _account_fields(self) -> dict[str, str | int | float]:
        """Their number and what became of them, never their content: any reader may read a health report."""
        recorder = self._account_recorder
        fields: dict[str, str | int | float] = {
            "updates": recorder.frames,
            "sent_to": str(self._sender.sent_to(recorder.shard, recorder.topic)),
            **self._journal_fields(recorder),
        }
        return {f"account_{name}": value for name, value in fields.items()}

    def _shard_fields(self, feed: ShardFeed, recorder: TickRecorder) -> dict[str, str | int | float]:
        sent_to = self._sender.sent_to(recorder.shard)
        sent_to_ms = sent_to.ms or self._started_ms  # nothing yet, or it is not known
        fields: dict[str, str | int | float] = {
            "state": feed.state.value,
            "down_reason": feed.down_reason,
            "refusal": feed.refusal,
            "recent_breaks": feed.recent_breaks,
            "break_reason": feed.break_reason,
            "broker_error": feed.notices.get(ERROR, ""),
            "broker_message": feed.notices.get(MESSAGE, ""),
            "connections": feed.connections,
            "instruments": len(feed.instruments),
            "frames": recorder.frames,
            "bytes": recorder.received_bytes,
            "last_frame_ms": recorder.last_frame_ms,
            "journal_last_id": str(recorder.last_id),
            "sent_to": str(sent_to),
            "backlog_ms": max(0, recorder.last_id.ms - sent_to_ms) if recorder.last_id > sent_to else 0,
            **self._journal_fields(recorder),
        }
        return {f"shard{recorder.shard}_{name}": value for name, value in fields.items()}

    def _journal_fields(self, recorder: TickRecorder) -> dict[str, str | int | float]:
        unsynced_after = recorder.writer.unsynced_after
        return {
            "pending": recorder.pending,
            "lost": recorder.lost,
            "disk_fault": recorder.disk_fault,
            "gaps": recorder.gaps,
            "last_gap_ms": recorder.last_gap.ms,
            "gap_met_ms": recorder.gap_met_ms,
            "unsynced_since_ms": (unsynced_after.ms or self._started_ms) if unsynced_after is not None else 0,
        }

    def _overall_state(self) -> str:
        """`up` when every connection is; else what the first one that is not waits for."""
        states = [feed.state for feed in self._feeds if feed.instruments] or [FeedState.NO_INSTRUMENTS]
        return next((state.value for state in states if state is not FeedState.UP), FeedState.UP.value)
