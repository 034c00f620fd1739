"""The README's lines for analysts, run as they stand there: where nothing is stored yet, and where something is."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from tests.shared.servers import EmbeddedServer
from utils.market.candle import Candle, Source, TimedBy
from utils.market.ist import MINUTE_MS
from utils.stores.mongo import MongoStore

README = Path(__file__).resolve().parents[2] / "README.md"
START_MS = 1_795_146_300_000  # 2026-11-20 09:15 IST
URL = "mongodb://reader:…@127.0.0.1:27017/?authSource=admin"


def pandas_lines(mongo_url: str) -> str:
    (lines,) = re.findall(r"```python\n(import pandas.*?)```", README.read_text(), flags=re.DOTALL)
    assert URL in lines
    return str(lines).replace(URL, mongo_url)


def run(lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def candle(nth: int) -> Candle:
    prices, counts = (100.0, 101.0, 99.0, 100.5), (10, None, 100.2, 3)
    start_ms = START_MS + 5 * nth * MINUTE_MS
    whence = (True, Source.LIVE, 0, TimedBy.EXCHANGE)
    return Candle("NSE:INFY", "5m", 408065, start_ms, start_ms + 5 * MINUTE_MS, *prices, *counts, *whence)


def test_the_pandas_lines_say_when_nothing_is_stored(mongo: EmbeddedServer) -> None:
    assert run(pandas_lines(mongo.url)) == "no candle of it is stored yet\n"


def test_the_pandas_lines_show_complete_candles_only(mongo: EmbeddedServer) -> None:
    store = MongoStore(mongo.url, "candlewick")
    candles = [candle(0), replace(candle(1), complete=False, close=77.5), candle(2)]
    assert store.upsert_candles([one.as_document() for one in candles]) == []
    shown = run(pandas_lines(mongo.url))
    assert "2026-11-20 09:15:00+05:30" in shown and "2026-11-20 09:25:00+05:30" in shown
    assert "77.5" not in shown
