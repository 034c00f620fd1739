"""What a candle worker reports of the feed while it owns no shard: nothing, and nothing is over for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import structlog
from structlog.testing import capture_logs

from candle_worker import CandleWorker
from utils.market.class_facts import ClassFacts, Outside, as_text
from utils.runtime.log import BoundLogger


class _Owner:
    """In the place of a shard: a class is mute, and another trades outside its hours."""

    class position:
        ms = 0

    def content(self, _is_live: bool) -> dict[str, str | int]:
        mute = ClassFacts("NSE equity", 1, quiet_ms=90_000, limit_ms=45_000)
        return {"classes": as_text([mute, ClassFacts("MCX commodity", 1, outside=Outside(3, 1))])}


class _Worker(CandleWorker):
    def __init__(self, log: BoundLogger) -> None:
        self._log = log
        self._owned: Any = {0: _Owner()}
        self._doubted, self._local_file = {}, Path("local")
        self._clock = type("Clock", (), {"speed": 1.0})()

    def report(self) -> dict[str, Any]:
        content = self._content(0)
        self._on_report(content)
        return dict(content)


def test_an_error_of_redis_ends_no_silence() -> None:
    worker = _Worker(structlog.get_logger("candle_worker"))
    with capture_logs() as logged:
        owned = worker.report()
        before, worker._owned = worker._owned, {}
        assert worker.report() == {}
        worker._owned = before
        assert worker.report() == owned
    assert [line["event"].split(":")[0] for line in logged] == [
        "trades come outside the hours that we believe in",
        "halted or mute",
    ]


def test_each_doubt_is_logged_once_until_it_is_over() -> None:
    worker = _Worker(structlog.get_logger("candle_worker"))
    first, mute = ClassFacts("NSE equity", 1, outside=Outside(3, 1)), ClassFacts("CDS currency", 1, quiet_ms=60_000)
    more = first._replace(outside=Outside(4, 2))
    logged: list[list[str]] = []
    for facts in ([first], [more, mute], [], [more, mute]):
        with capture_logs() as lines:
            worker._on_report({"classes": as_text(facts)})
        logged.append([line["event"].split(":")[0] for line in lines])
    outside = "trades come outside the hours that we believe in"
    assert logged == [[outside], ["halted or mute"], ["no longer halted or mute"], [outside, "halted or mute"]]
