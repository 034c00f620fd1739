"""Marks the candles from before a jump of the price scale in MongoDB, in a thread: nobody waits for MongoDB."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from utils.runtime.log import BoundLogger
from utils.runtime.timing import Pacing
from utils.signals.engine import SignalEngine
from utils.signals.price_scale import Jump
from utils.stores.mongo import MongoStore, StoreError

AGAIN_SECONDS = 30.0


class JumpMarks:
    """Begins what is not done yet at each `look`, and again where MongoDB failed. To mark twice is harmless.

    A daemon thread: a database that hangs cannot keep the process from ending.
    """

    def __init__(self, mongo: MongoStore, log: BoundLogger) -> None:
        self._mongo = mongo
        self._log = log
        self._pacing = Pacing(mark=AGAIN_SECONDS)
        self._thread: threading.Thread | None = None
        self._done: list[Jump] = []
        self._is_away = False

    def make_due(self) -> None:
        """There is a new jump."""
        self._pacing.make_due("mark")

    def look(self, engine: SignalEngine, now_seconds: float) -> None:
        """Note in the engine what is done, and begin what is due."""
        done, self._done = self._done, []
        for jump in done:
            engine.note_marked(jump)
        if self._thread is not None and self._thread.is_alive():
            return
        if self._pacing.is_due("mark", now_seconds):
            due = [jump for jump in engine.jumps if not jump.is_marked]
            if due:
                self._thread = threading.Thread(target=self._mark, args=(due,), name="jump-marks", daemon=True)
                self._thread.start()

    def _mark(self, jumps: Sequence[Jump]) -> None:
        for jump in jumps:
            if not mark_jump(self._mongo, jump, self._log, is_quiet=self._is_away):
                self._is_away = True
                return
            self._done.append(jump)
        self._is_away = False


def mark_jump(mongo: MongoStore, jump: Jump, log: BoundLogger, is_quiet: bool = False) -> bool:
    """Whether it is done; a failure is logged, unless `is_quiet`."""
    try:
        count = mongo.mark_candles(jump.symbol, jump.after_ms, jump.from_ms, jump.as_fields())
    except StoreError as error:
        if not is_quiet:
            log.warning("candles before a jump are not marked yet", symbol=jump.symbol, reason=str(error))
        return False
    log.info("candles before a jump marked", symbol=jump.symbol, candles=count, **jump.as_fields())
    return True
