"""The signal worker: closed candles in, indicator values and signals out.

Several may run; each shard is owned by one of them at a time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import structlog

from strategies import load_strategies
from utils.connector.instrument_watch import shard_of
from utils.indicators.compiling import compile_indicator_kernels
from utils.keys import Keys
from utils.kite.history_access import BrokerHistory
from utils.market.entry_limit import read_entry_limit, silenced
from utils.market.hours_kept import hours_kept
from utils.market.instruments import Instrument
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar
from utils.runtime.health import STANDING_BY, Fields, worst_state
from utils.runtime.lifecycle import StopRequest, run_script
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.runtime.shard_worker import Coordination, ShardWorker
from utils.runtime.timing import Pacing
from utils.runtime.trading_calendar import calendar_of
from utils.signals.archives import SignalArchives
from utils.signals.context import SignalContext
from utils.signals.engine import SignalEngine
from utils.signals.price_scale import PriceScale
from utils.signals.shard import ENTRIES_AT_ONCE, ShardSignals
from utils.stores.coordination import coordinate
from utils.stores.mongo import MongoStore
from utils.stores.redis_connection import open_redis
from utils.stores.signal_store import SignalStore

PROCESS = "signal_worker"
WAIT_MS = 500
WARMING_SECONDS = 0.05
PROGRESS_SECONDS = 10.0
WARMUP_END_SECONDS = 1.0
LATEST_VALUES_SECONDS = 2.0  # so long values wait for their hashes at most, though there is always another candle
COUNTED = (
    "signals",
    "candles",
    "skipped",
    "unreadable",
    "strategy_faults",
    "cut_off",
    "history_refused",
)


class SignalWorker(ShardWorker[ShardSignals]):
    """Warms up what is cold, reads closed candles, publishes signals, and writes values when nothing closes."""

    def __init__(self, settings: Settings, stop: StopRequest, log: BoundLogger, coordination: Coordination) -> None:
        self._history = BrokerHistory(settings, lambda: len(coordination.leases.owners), stop)
        self._context = context = open_context(settings, self._history, log)
        self._store = context.store
        shards = {shard: ShardSignals(shard, context) for shard in range(settings.shards)}
        archives = SignalArchives(settings, context.mongo, log)
        super().__init__(settings, stop, log, shards, archives, coordination)
        self._ready: list[int] = []
        self._now_and_then = Pacing(progress=PROGRESS_SECONDS, values=LATEST_VALUES_SECONDS)

    # ---- candles in, signals out

    def _process(self) -> bool:
        now_seconds = time.monotonic()
        self._ready = [shard for shard, signals in self._owned.items() if signals.prepare(now_seconds)]
        self._log_progress(now_seconds)
        if not self._ready:
            self._stop.wait(WARMING_SECONDS)
            return False
        positions = {shard: self._owned[shard].position for shard in self._ready}
        found = self._store.read_closed(positions, ENTRIES_AT_ONCE, self._wait_ms(now_seconds))
        for shard, read in found.items():
            self._owned[shard].process(read, now_seconds)
        for signals in self._covered(found):
            signals.send_values()
        return bool(found)

    def _wait_ms(self, now_seconds: float) -> int:
        """How long to wait for candles: not at all while values are pending."""
        if self._has_pending():
            return 0
        is_warm = len(self._ready) == len(self._owned)
        seconds = self._pacing.seconds_left("leases", now_seconds) if is_warm else WARMING_SECONDS
        return max(1, min(WAIT_MS, round(1000 * seconds)))

    def _has_pending(self) -> bool:
        return any(self._owned[shard].has_pending for shard in self._ready)

    def _catch_up(self, has_published: bool) -> None:
        """The latest values, when every candle at hand is processed."""
        if self._has_pending() and (not has_published or self._now_and_then.is_due("values", time.monotonic())):
            self._write_values(self._ready)

    def _write_values(self, ready: Iterable[int]) -> None:
        for signals in self._covered(ready):
            signals.write_values()
        self._store.flush_values()

    def _covered(self, shards: Iterable[int]) -> list[ShardSignals]:
        return [self._owned[shard] for shard in shards if self._is_covered(shard)]

    def _log_progress(self, now_seconds: float) -> None:
        for signals in self._owned.values():
            progress = signals.warmup_progress
            if progress is not None and self._now_and_then.is_due("progress", now_seconds):
                done, of, requests = progress
                self._log.info("warming up", shard=signals.shard, done=done, of=of, history_requests=requests)

    # ---- health and end

    def _fields(self, now_ms: int) -> Fields:
        owned = self._owned.values()
        return {
            **{name: self._context.counts[name] for name in COUNTED},
            "jumped": ";".join(filter(None, (signals.jumped for signals in owned))),
            **self._history.health_fields(),
            "last_entry_ms": max((signals.position.ms for signals in owned), default=0),
            "warm_rows": sum(signals.warm_rows() for signals in owned),
            "state": worst_state(signals.state for signals in owned) if owned else STANDING_BY,
            "rows": sum(signals.row_count for signals in owned),
            "all_shards": len(self._shards),
        }

    def _close(self) -> None:
        self._context.turn.join(WARMUP_END_SECONDS)


def open_context(settings: Settings, history: BrokerHistory, log: BoundLogger) -> SignalContext:
    """What the shards of a worker share."""
    symbols = settings.symbols
    of: dict[int, list[str]] = {shard: [] for shard in range(settings.shards)}
    for position, symbol in enumerate(symbols):
        of[shard_of(position, len(symbols), settings.shards)].append(symbol)
    strategies = load_strategies(settings.strategy_names)
    calendar, instruments = calendar_of(settings), dict[str, Instrument]()
    _log_silenced(settings, calendar, log)
    limit = read_entry_limit(settings.no_new_entries_after, calendar, instruments)
    client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
    return SignalContext(
        settings=settings,
        symbols_of=of,
        make_engine=lambda: SignalEngine(strategies, limit, scale=PriceScale(calendar)),
        calendar=calendar,
        instruments=instruments,
        store=SignalStore(client, keys, settings.shards, settings.signals_max_per_shard),
        mongo=MongoStore(settings.mongo_url.get_secret_value(), settings.mongo_db),
        history=history.for_warm_up,
    )


def _log_silenced(settings: Settings, calendar: SessionCalendar, log: BoundLogger) -> None:
    today = ist_date(settings.market_clock.now_ms())
    kept = hours_kept(settings.symbols, {}, calendar)
    quiet = silenced(settings.no_new_entries_after, kept, calendar, today)
    if quiet:
        log.warning(
            f"NO_NEW_ENTRIES_AFTER={settings.no_new_entries_after} is one time for all exchanges: after it there "
            f"are no signals on {', '.join(quiet)}, nor in an evening session such as Muhurat's; "
            "15m means 15 minutes before each instrument's own close"
        )


def main(settings: Settings, stop: StopRequest) -> int:
    log: BoundLogger = structlog.get_logger(PROCESS)
    coordination = coordinate(settings, PROCESS, log)
    compile_indicator_kernels()  # before a shard is owned: compiling takes longer than a lease lasts
    return SignalWorker(settings, stop, log, coordination).run()


if __name__ == "__main__":
    run_script(PROCESS, main)
