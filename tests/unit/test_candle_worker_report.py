"""What a candle worker says of the feed while it owns no shard: nothing, and nothing is over for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from structlog.testing import capture_logs

from candle_worker import CandleWorker
from utils.hours_doubts import Doubt, NewDoubts
from utils.log import BoundLogger

NOTHING: dict[str, Any] = {kind.value: "" for kind in Doubt}


class _Owner:
    """In the place of a shard: a class is mute, and no trade of it came."""

    class position:
        ms = 0

    def content(self, _is_live: bool) -> dict[str, str | int]:
        return {"feed_equity": "halted or mute", "quiet_ms_equity": 90_000}

    def hours_doubts(self) -> dict[Doubt, list[str]]:
        return {Doubt.SILENT: ["NSE equity (since 09:15:00)"]}


class _Worker(CandleWorker):
    def __init__(self, log: BoundLogger) -> None:
        self._log = log
        self._held: Any = {0: _Owner()}
        self._mute = set()
        self._new_doubts, self._local_file = NewDoubts(), Path("local")
        self._clock = type("Clock", (), {"speed": 1.0})()

    def report(self) -> dict[str, Any]:
        return {**self._content(0), **self._hours_fields()}


def test_an_error_of_redis_ends_no_silence() -> None:
    worker = _Worker(structlog.get_logger("candle_worker"))
    with capture_logs() as logged:
        owned = worker.report()
        held, worker._held = worker._held, {}
        assert worker.report() == NOTHING
        worker._held = held
        assert worker.report() == owned
    assert [line["event"].split(":")[0] for line in logged] == [
        "halted or mute",
        "no trade came yet in a session that should be under way",
    ]
