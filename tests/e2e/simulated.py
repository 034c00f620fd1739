"""The simulator as the exchange of a test, and the reference's inputs: instruments, hours, received entries.

The hours are written here again, from the exchanges' own notices, and the classes are read from the dump: the
project's session table and its reading of the dump are tested, not used.
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import requests

from tests.e2e.harness import Scripts
from tests.reference.candles import reference_candles
from tests.reference.inputs import IST_OFFSET, Entry, ReferenceInstrument, ReferenceSettings
from utils.journal.writer import journal_days, journal_path, read_journal
from utils.market.clock import SteppedClock, new_stepped_clock

SIMULATOR = "simulator"
DAY = "2026-11-20"
READY_SECONDS = 240.0
STALL_SECONDS = 120.0  # a step takes a millisecond, and a stopped process a few seconds

# Open, close, day start, day end on DAY: under phase 1 of the closing auction, and MCX in winter. Futures of NSE have
# an auction before the open.
HOURS = {
    "index": ("09:15", "15:30", "09:15", "15:30"),
    "stock with futures": ("09:15", "15:15", "09:00", "15:35"),
    "other stock": ("09:15", "15:30", "09:00", "15:30"),
    "future of NSE": ("09:15", "15:40", "09:00", "15:40"),
    "derivative": ("09:15", "15:40", "09:15", "15:40"),
    "currency": ("09:00", "17:00", "09:00", "17:00"),
    "commodity": ("09:00", "23:55", "09:00", "23:55"),
}
KIND_BY_EXCHANGE = {"NFO": "derivative", "BFO": "derivative", "CDS": "currency", "BCD": "currency"}
DIVISORS = {3: 10_000_000, 6: 10_000, 12: 10_000}


def ist_ms(clock: str) -> int:
    """Epoch ms of an IST time of DAY."""
    local = datetime.fromisoformat(f"{DAY}T{clock}").replace(tzinfo=UTC)
    return round((local - IST_OFFSET).timestamp() * 1000)


@dataclass(frozen=True)
class Clock:
    """Market time `start` at the real second `real_zero`, and from then on `speed` times as fast."""

    start: str
    speed: float
    real_zero: float

    @property
    def setting(self) -> str:
        return f"{DAY}T{self.start}+05:30@{self.speed:g}@{self.real_zero:.3f}"

    def now_ms(self) -> int:
        return ist_ms(self.start) + round((time.time() - self.real_zero) * 1000 * self.speed)

    @property
    def settings(self) -> dict[str, str]:
        return {"MARKET_CLOCK": self.setting}


@dataclass(frozen=True)
class Steps:
    """Virtual time: the exchange steps the clock, and the next step waits until every frame is received."""

    clock: SteppedClock

    @classmethod
    def from_start(cls, directory: Path, start: str) -> Steps:
        directory.mkdir(parents=True, exist_ok=True)
        return cls(new_stepped_clock(directory / "market_clock", ist_ms(start)))

    @property
    def settings(self) -> dict[str, str]:
        return self.clock.environment

    def now_ms(self) -> int:
        return self.clock.now_ms()


@dataclass(frozen=True)
class Exchange:
    """A running simulator: its port, and its instruments as inputs of the reference, in the dump's order."""

    port: int
    instruments: list[ReferenceInstrument]

    def play(self, until_ms: int, speed: float = 0.0) -> None:
        """Orders a stepped exchange to play on, at most `speed` times as fast as real time (0: no limit)."""
        order = {"until_ms": until_ms, "speed": speed}
        requests.post(f"http://127.0.0.1:{self.port}/simulator/play", json=order, timeout=60).raise_for_status()

    @property
    def settings(self) -> dict[str, str]:
        return {
            "KITE_API_URL": f"http://127.0.0.1:{self.port}",
            "KITE_WS_URL": f"ws://127.0.0.1:{self.port}",
            "INSTRUMENTS": ",".join(instrument.symbol for instrument in self.instruments),
        }


def start_exchange(
    scripts: Scripts, clock: Clock | Steps, instruments: int, seed: int, faults: str, record: Path
) -> Exchange:
    """Starts the simulator; scripts that are started later connect to it."""
    scripts.environment |= clock.settings
    options = ["--session", DAY, "--instruments", str(instruments), "--seed", str(seed), "--faults", faults]
    options += ["--record", str(record), "--access-token", "plain_token"]
    child = scripts.start(SIMULATOR, ["-m", "simulator", *options])
    scripts.until(lambda: _printed_port(child.log_path) > 0, "the simulator prints its port", READY_SECONDS)
    port = _printed_port(child.log_path)
    dump = requests.get(f"http://127.0.0.1:{port}/instruments", timeout=120)
    # The dump also lists futures that do not trade here: a stock with futures has other hours.
    trading = {
        f"{instrument['exchange']}:{instrument['tradingsymbol']}"
        for instrument in json.loads((record / "universe.json").read_text())
    }
    exchange = Exchange(
        port, [instrument for instrument in reference_instruments(dump.text) if instrument.symbol in trading]
    )
    assert child.is_alive and len(exchange.instruments) == instruments
    scripts.environment |= exchange.settings
    return exchange


def _printed_port(log: Path) -> int:
    """The port in the line `{"port": ...}` of the simulator's output; 0 while there is no such line."""
    lines = [line for line in log.read_text().splitlines(keepends=True) if line.startswith('{"port"')]
    return int(json.loads(lines[0])["port"]) if lines and lines[0].endswith("\n") else 0


def reference_instruments(dump: str) -> list[ReferenceInstrument]:
    rows = list(csv.DictReader(dump.splitlines()))
    with_futures = {
        row["name"] for row in rows if row["exchange"] in ("NFO", "BFO") and row["instrument_type"] == "FUT"
    }
    return [_reference_instrument(row, with_futures) for row in rows]


def _reference_instrument(row: dict[str, str], with_futures: set[str]) -> ReferenceInstrument:
    token, exchange, symbol = int(row["instrument_token"]), row["exchange"], row["tradingsymbol"]
    if row["segment"] == "INDICES":
        kind = "index"
    elif exchange in ("NSE", "BSE"):
        kind = "stock with futures" if symbol in with_futures else "other stock"
    elif row["segment"] == "NFO-FUT":
        kind = "future of NSE"
    else:
        kind = KIND_BY_EXCHANGE.get(exchange, "commodity")
    divisor = DIVISORS.get(token & 0xFF, 100)
    opens, closes, day_start, day_end = (ist_ms(clock) for clock in HOURS[kind])
    is_derivative = kind in ("future of NSE", "derivative", "currency", "commodity")
    tick_units = round(float(row["tick_size"]) * divisor)
    return ReferenceInstrument(
        f"{exchange}:{symbol}", token, kind == "index", is_derivative, divisor, tick_units,
        opens, closes, day_start, day_end,
    )  # fmt: skip


def journal_entries(directory: Path, shard: int) -> list[Entry]:
    """The entries that a connector received on one shard, of all days, in order."""
    paths = [journal_path(directory, day, shard) for day in journal_days(directory)]
    return [
        Entry(entry.id.ms, entry.id.counter, str(entry.kind), entry.payload)
        for path in paths
        if path is not None
        for entry in read_journal(path)
    ]


def reference_of_shards(
    shards: Iterable[list[Entry]], instruments: list[ReferenceInstrument], settings: ReferenceSettings
) -> tuple[pd.DataFrame, Counter[str]]:
    """The reference's candles and rejections of several shards, each computed in a process of its own."""
    with ProcessPoolExecutor(max_workers=2) as pool:
        parts = [pool.submit(reference_candles, entries, instruments, settings) for entries in shards]
        results = [part.result() for part in parts]
    candles = pd.concat([result.candles for result in results], ignore_index=True)
    return candles, sum((result.rejected for result in results), Counter[str]())


def play_on(scripts: Scripts, exchange: Exchange, clock: Steps, until_ms: int, speed: float = 0.0) -> None:
    """Plays until `until_ms`. AssertionError: a process died, or the clock stood still for STALL_SECONDS."""
    exchange.play(until_ms, speed)
    while (before := clock.now_ms()) < until_ms:
        scripts.until(lambda before=before: clock.now_ms() > before, "the exchange plays on", STALL_SECONDS)  # type: ignore[misc]
