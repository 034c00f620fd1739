"""`manage.py coverage`: from a day's journal and the candles held into MongoDB, as often as one likes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymongo
import pytest

from tests.shared.servers import EmbeddedServer, free_port
from utils import keys
from utils.journal.entries import Entry, EntryId, Kind, clock_mark, down_mark, subscribed_mark, up_mark
from utils.journal.writer import JournalWriter
from utils.market.candle import Candle, Source, TimedBy
from utils.market.clock import new_stepped_clock
from utils.market.instruments import Instrument, SessionClass
from utils.stores.mongo import MongoStore

ROOT = Path(__file__).resolve().parents[2]
DAY = "2026-11-20"
OPEN_MS = 1_795_146_300_000  # 09:15 IST
MINUTE_MS = 60_000
NOON_MS = OPEN_MS + 165 * MINUTE_MS
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
Documents = dict[str, dict[str, Any]]


@pytest.fixture
def mongo_url(shared_mongo: EmbeddedServer) -> str:
    return shared_mongo.url


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Up at 09:10, down from 10:00 to 10:07, and again from 11:00 on."""
    marks = [
        (-10, Kind.MARK, down_mark("connector started")),
        (-9, Kind.MARK, up_mark()),
        (-8, Kind.MARK, subscribed_mark("full", [INFY])),
        (45, Kind.FRAME, b"\x00"),
        (46, Kind.MARK, down_mark("no frame for 5 s")),
        (47, Kind.MARK, clock_mark()),
        (51, Kind.MARK, up_mark()),
        (52, Kind.MARK, subscribed_mark("full", [INFY])),
        (105, Kind.FRAME, b"\x00"),
        (106, Kind.MARK, down_mark("closed")),
    ]
    writer = JournalWriter(tmp_path / "journal", 0)
    for minute, kind, payload in marks:
        writer.append(Entry(EntryId(OPEN_MS + minute * MINUTE_MS, 0), kind, payload))
    writer.close()
    return tmp_path / "journal"


def candle(minute: int, complete: bool = True) -> dict[str, Any]:
    start_ms = OPEN_MS + minute * MINUTE_MS
    numbers = (1.0, 1.0, 1.0, 1.0, None, None, None, 1)
    whence = (complete, Source.LIVE, 0, TimedBy.EXCHANGE)
    return Candle("NSE:INFY", "5m", 408065, start_ms, start_ms + 5 * MINUTE_MS, *numbers, *whence).as_document()


def coverage(journal: Path, mongo_url: str, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command at noon: its clock stands still, however long ago the test began."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    clock = new_stepped_clock(journal.parent / "clock", NOON_MS)
    settings = {"JOURNAL_DIR": str(journal), "MONGO_URL": mongo_url, "MONGO_DB": database, "TIMEFRAMES": "5m,1d"}
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "coverage", *arguments],
        capture_output=True, text=True, cwd=journal.parent, env={**kept, **settings, "MARKET_CLOCK": str(clock)},
        timeout=120, check=False,
    )  # fmt: skip


def stored(mongo_url: str, database: str, collection: str) -> Documents:
    with pymongo.MongoClient[dict[str, Any]](mongo_url) as client:
        return {document["_id"]: document for document in client[database][collection].find()}


def test_outages_instruments_and_coverage_are_written_and_written_again(journal: Path, mongo_url: str) -> None:
    store = MongoStore(mongo_url, "told")
    store.upsert_candles([candle(minute, complete=minute != 45) for minute in range(0, 50, 5)])
    store.close()
    done = coverage(journal, mongo_url, "told")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (
        f"{DAY}: 1 instruments; 3 outages, 4,140 s in all; 10 candles in 32 buckets, 1 of them incomplete."
    )
    collections = ("outages", "instruments", "coverage")
    assert collections == (keys.OUTAGES_COLLECTION, keys.INSTRUMENTS_COLLECTION, keys.COVERAGE_COLLECTION)
    first = [stored(mongo_url, "told", name) for name in collections]
    again = coverage(journal, mongo_url, "told", DAY)
    assert (again.stdout, again.stderr) == (done.stdout, "")
    outages, instruments, held = first
    assert [stored(mongo_url, "told", name) for name in collections] == first
    assert [(outage["began"][11:16], outage["ended"] and outage["ended"][11:16]) for outage in outages.values()] == [
        ("09:05", "09:07"), ("10:00", "10:07"), ("11:00", None),
    ]  # fmt: skip
    assert [outage["reason"] for outage in outages.values()] == ["connector started", "no frame for 5 s", "closed"]
    (instrument,) = instruments.values()
    assert (instrument["_id"], instrument["token"]) == (f"NSE:INFY|{DAY}", 408065)
    assert set(held) == {f"NSE:INFY|5m|{DAY}", f"NSE:INFY|1d|{DAY}"}
    minutes = held[f"NSE:INFY|5m|{DAY}"]
    assert (minutes["candles"], minutes["incomplete"], minutes["expected"]) == (10, 1, 32)
    assert minutes["gaps"] == [f"{DAY}T10:05:00+05:30/{DAY}T11:55:00+05:30"]
    assert (minutes["first"], minutes["last"]) == (f"{DAY}T09:15:00+05:30", f"{DAY}T10:00:00+05:30")


def test_without_mongodb_it_is_one_sentence(journal: Path) -> None:
    done = coverage(journal, f"mongodb://127.0.0.1:{free_port()}", "away")
    assert done.returncode == 1
    assert "MongoDB is away" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_day_that_was_not_recorded_is_one_sentence(journal: Path, mongo_url: str) -> None:
    done = coverage(journal, mongo_url, "none", "2026-11-19")
    assert done.returncode == 1
    assert "has no journal of 2026-11-19; it holds 2026-11-20 to 2026-11-20." in " ".join(done.stderr.split())
    assert stored(mongo_url, "none", "coverage") == {}


def test_the_readme_names_every_collection() -> None:
    readme = (ROOT / "README.md").read_text()
    names = [value for name, value in vars(keys).items() if name.endswith("_COLLECTION")]
    assert len(names) == 5
    assert [name for name in names if f"| `{name}` |" not in readme] == []
