"""Which files of utils/ one frame and one closed candle pass: each is followed by a trace of every call.

    python -m tests.shared.walked_files {frame,signal} REDIS_URL DIRECTORY

prints them in the order of the walk. What is compiled no trace sees: the kernels are not among them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import redis
import structlog

from data_handler import ShardCandles
from strategies import Proposal, Strategy
from tests.shared.closed_candles import OPEN_MS, ClosedCandle, minute_candles, publish_closed
from tests.shared.extended_day import INFY, full, ms
from tests.shared.signal_worker_process import instrument
from utils.connector.account_updates import AccountUpdates
from utils.connector.connection import ShardFeed
from utils.connector.recorder import TickRecorder
from utils.connector.sender import TickSender
from utils.journal.entries import subscribed_mark
from utils.keys import Keys
from utils.market.entry_limit import read_entry_limit
from utils.market.sessions import SessionCalendar
from utils.market.signal import Direction
from utils.market.timeframes import parse_timeframe
from utils.runtime.settings import Settings
from utils.signals.context import SignalContext
from utils.signals.engine import SignalEngine
from utils.signals.price_scale import PriceScale
from utils.signals.shard import ENTRIES_AT_ONCE, ShardSignals
from utils.stores.candle_store import CandleStore
from utils.stores.redis_connection import open_redis
from utils.stores.signal_store import SignalStore
from utils.stores.tick_stream import TickStream

ROOT = Path(__file__).resolve().parents[2]
UTILS = f"{ROOT / 'utils'}/"
SYMBOL = "NSE:INFY"
LOG: Any = structlog.get_logger("walk")


class Walk:
    """Notes the file of each function of utils/ that is called from `begin` on, until `publish` has returned."""

    def __init__(self, publish: Callable[..., object]) -> None:
        self.files: dict[str, None] = {}
        self._publish = publish

    def begin(self) -> None:
        sys.settrace(self._note)

    def publish(self, *arguments: object) -> None:
        """In the place of a store's own: what comes behind it is no part of the walk."""
        self._publish(*arguments)
        sys.settrace(None)

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        path = frame.f_code.co_filename
        if path.startswith(UTILS):
            self.files.setdefault(str(Path(path).relative_to(ROOT)))


def walk_of_a_frame(client: redis.Redis, keys: Keys, directory: Path) -> Walk:
    """From the socket to the entry of the candle that it closes."""
    clock = [ms("09:10")]
    recorder = TickRecorder(directory, 0, lambda: clock[0], lambda: None, LOG)
    nothing: Any = SimpleNamespace(heard_at=0.0, token="")
    feed = ShardFeed(nothing, nothing, recorder, AccountUpdates(recorder), lambda: 0.0, LOG, nothing)
    feed._attempt = nothing
    sender = TickSender(client, TickStream(client, keys), [recorder], nothing, dict, 1.0, 1 << 20, LOG)
    sender.agree()
    store = CandleStore(client, keys, 10_000, 1_000)
    settings = Settings.load(_env_file=None, timeframes="1m", instruments=SYMBOL)
    candles = ShardCandles(0, settings, SessionCalendar.load(), store)
    candles.recover()
    walked = Walk(store.publish_closed)

    def walk(payload: bytes) -> None:
        feed.received(nothing, payload, is_binary=True)
        sender._send_next(recorder)
        for _, entries in store.read_ticks({0: candles.position}, 0, 512):
            candles.process(entries)

    recorder.mark(subscribed_mark("full", [INFY]))
    for number, time in enumerate(("09:12:00", "10:00:01", "10:00:02")):
        clock[0] = ms(time)
        walk(full(INFY, 150_000 + number, 100 * (number + 1), time))
    assert client.xlen(keys.closed(0)) == 0
    clock[0] = ms("10:01:01")
    store.publish_closed = walked.publish  # type: ignore[method-assign, assignment]
    walked.begin()
    walk(full(INFY, 150_010, 1_000, "10:01:01"))
    assert client.xlen(keys.closed(0)) == 1
    return walked


def walk_of_a_candle(client: redis.Redis, keys: Keys, directory: Path) -> Walk:
    """From the closed stream to the entry of the signal that it gives."""
    store = SignalStore(client, keys, 1, 1_000)
    signals = ShardSignals(0, _context(store))
    signals._progress.note_warmed([(SYMBOL, "1m")])
    walked = Walk(store.send)
    first, second = minute_candles(SYMBOL, [OPEN_MS])[:2]
    for candle in (first, second):
        publish_closed(client, keys, [ClosedCandle(0, f"{candle.end_ms}-0", candle)])
        if candle is second:
            store.send = walked.publish  # type: ignore[method-assign, assignment]
            walked.begin()
        for read in store.read_closed({0: signals.position}, ENTRIES_AT_ONCE).values():
            signals.process(read, 0.0)
    store.flush(0)
    assert client.xlen(keys.signals(0)) == 2
    return walked


def _context(store: SignalStore) -> SignalContext:
    calendar, known = SessionCalendar.load(), {SYMBOL: instrument(SYMBOL)}
    limit = read_entry_limit("15m", calendar, known)
    always = Strategy("always", (), lambda candle, *_: Proposal(Direction.LONG, candle.close, 1.0, 2.0, ("always",)))
    settings: Any = SimpleNamespace(timeframes=[parse_timeframe("1m")])
    nothing: Any = None
    return SignalContext(
        settings=settings,
        symbols_of={0: [SYMBOL]},
        make_engine=lambda: SignalEngine([always], limit, scale=PriceScale(calendar)),
        calendar=calendar,
        instruments=known,
        store=store,
        mongo=nothing,
        history=lambda: None,
    )


WALKS: dict[str, Callable[[redis.Redis, Keys, Path], Walk]] = {"frame": walk_of_a_frame, "signal": walk_of_a_candle}

if __name__ == "__main__":
    name, url, folder = sys.argv[1:]
    print(*WALKS[name](open_redis(url), Keys(f"{name}:"), Path(folder)).files, sep="\n")
