"""A replay that publishes candles faster than MongoDB stores them, with streams shorter than half of its output."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pymongo
import redis

from bench.synthetic import DAY, OPEN_MS, Market, frame_entries, instruments, subscription
from commands.replay.backlog import stream_backlogs
from tests.shared.servers import both_servers
from utils.journal.entries import Entry, EntryId, Kind, clock_mark
from utils.journal.writer import JournalWriter

_ROOT = Path(__file__).resolve().parents[2]
_INSTRUMENTS, _MINUTES = 64, 180
_BARS = 179 + 90 + 60 + 45  # of 1m, 2m, 3m and 4m; the first packet is the baseline of its instrument
_CLOSED_MAX = 10_000
_CLOSES_AFTER_MS = (_MINUTES + 10) * 60_000


def _record(directory: Path) -> None:
    """One trade of each instrument in each minute of the morning, and the clock until all is closed."""
    named = instruments(_INSTRUMENTS)
    market, rows = Market.of(_INSTRUMENTS), np.arange(_INSTRUMENTS)
    tokens = np.array([instrument.token for instrument in named], np.int64)
    writer = JournalWriter(directory, 0)
    writer.append(subscription(named))
    for minute in range(_MINUTES):
        ticks = market.step(rows, OPEN_MS // 1000 + 60 * minute + 5, tokens)
        for entry in frame_entries(ticks, _INSTRUMENTS, OPEN_MS + 60_000 * minute + 5_400):
            writer.append(entry)
    writer.append(Entry(EntryId(OPEN_MS + _CLOSES_AFTER_MS, 0), Kind.MARK, clock_mark()))
    writer.close()


def test_no_candle_is_dropped_before_it_is_stored(tmp_path: Path) -> None:
    _record(tmp_path / "journal")
    with both_servers(tmp_path / "servers") as servers:
        environment = os.environ | {
            "REDIS_URL": servers.redis_url_of("demo"),
            "MONGO_URL": servers.mongo_url,
            "JOURNAL_DIR": str(tmp_path / "journal"),
            "LOG_DIR": str(tmp_path / "logs"),
            "TIMEFRAMES": "1m,2m,3m,4m",
            "CLOSED_MAX_ENTRIES": str(_CLOSED_MAX),
        }
        done = subprocess.run(
            [sys.executable, str(_ROOT / "manage.py"), "replay", DAY.isoformat()],
            capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=900, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        client = redis.Redis.from_url(servers.redis_url)
        (closed,) = stream_backlogs(client, ["replay:closed:{a}"])
        assert closed.added == _INSTRUMENTS * _BARS
        assert client.xlen("replay:closed:{a}") < _INSTRUMENTS * _BARS / 2  # the stream was trimmed meanwhile
        with pymongo.MongoClient[dict[str, Any]](servers.mongo_url) as mongo:
            assert mongo["candlewick_replay"]["candles"].count_documents({}) == _INSTRUMENTS * _BARS
    assert f"candles   {_INSTRUMENTS * _BARS:,} " in done.stdout
