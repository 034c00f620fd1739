"""What connect.py does with the journal it finds, and with the disk."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_connect import ROWS, wait_until_all_sent, wait_until_subscribed
from tests.shared.connector_process import ROOT, WAIT_SECONDS, ConnectorProcess, running_connector, wait_until
from tests.shared.fake_broker import FakeBroker
from tests.shared.servers import ValkeyServer
from utils.journal.entries import Entry, EntryId, Kind
from utils.journal.writer import JournalWriter, read_journal
from utils.market.clock import MarketClock
from utils.market.ist import ist_date

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def broker() -> Iterator[FakeBroker]:
    with FakeBroker(ROWS) as broker:
        yield broker


def write_day(directory: Path, at_ms: int) -> tuple[Path, list[Entry]]:
    """A journal of a hundred entries from that instant on, and where it is."""
    entries = [Entry(EntryId(at_ms, counter), Kind.FRAME, bytes([counter])) for counter in range(100)]
    writer = JournalWriter(directory, 0)
    for entry in entries:
        writer.append(entry)
    writer.close()
    return directory / ist_date(at_ms).isoformat() / "ticks-0.journal", entries


def test_finished_days_are_compressed_and_old_ones_dropped(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    now_ms = time.time_ns() // 1_000_000
    journal = tmp_path / "connector" / "journal"
    old, _ = write_day(journal, now_ms - 9 * DAY_MS)
    recent, entries = write_day(journal, now_ms - DAY_MS)
    with running_connector(tmp_path / "connector", broker, valkey, JOURNAL_DAYS="5") as connector:
        wait_until(lambda: not recent.exists() and not old.parent.exists(), "yesterday packed, last week gone")
        assert list(read_journal(recent.with_suffix(".journal.zst"))) == entries
        wait_until_subscribed(broker, 1)
        wait_until(lambda: connector.mark_names()[-1:] == ["subscribed"], "today's marks in the stream")
        assert len([entry for entry in connector.entries() if entry[0] == str(entries[-1].id)]) == 1, (
            "sent, though packed"
        )


def test_a_journal_of_the_future_is_refused(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    write_day(tmp_path / "connector" / "journal", time.time_ns() // 1_000_000 + DAY_MS)
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        assert connector.process is not None
        assert connector.process.wait(WAIT_SECONDS) == 2
        assert "a simulated day needs a JOURNAL_DIR of its own" in connector.logged.splitlines()[-1]


def test_a_foreign_file_is_refused_by_name(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    path, _ = write_day(tmp_path / "connector" / "journal", time.time_ns() // 1_000_000)
    path.write_bytes(b"this is no journal at all")
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        assert connector.process is not None
        assert connector.process.wait(WAIT_SECONDS) == 2
        assert "ticks-0.journal is no journal" in connector.logged.splitlines()[-1]


def test_each_frame_may_be_forced_to_disk(tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer) -> None:
    with running_connector(tmp_path / "connector", broker, valkey, JOURNAL_FSYNC_SECONDS="0") as connector:
        wait_until_subscribed(broker, 1)
        broker.send(b"\x00\x01", b"\x00\x02")
        wait_until(lambda: b"\x00\x02" in connector.frames(), "both frames")
        assert connector.stop() == 0
        assert connector.entries() == connector.journal()


@pytest.mark.own_valkey
def test_with_redis_away_from_the_start_nothing_is_lost(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    valkey.kill()
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until_subscribed(broker, 1)
        broker.send(*(bytes([number, 1]) for number in range(100)))
        wait_until(lambda: "Redis is away" in connector.logged, "the warning")
        broker.is_frozen = True
        assert connector.stop() == 0
        assert "will be at the next start" in connector.logged
        valkey.start()
        broker.is_frozen = False
        connector.start()
        wait_until_subscribed(broker, 2)
        wait_until(lambda: connector.mark_names().count("subscribed") == 2, "both connections in the stream")
        wait_until_all_sent(connector, broker)
        assert connector.stop() == 0
        assert connector.frames() == broker.sent
        assert connector.entries() == connector.journal()


@pytest.mark.own_valkey
def test_damage_is_marked_logged_and_named_by_the_doctor(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    """Redis lost all, so the day is sent again, and a record of it cannot be read any more."""
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until_subscribed(broker, 1)
        broker.send(*(b"frame number %02d" % number for number in range(20)))
        wait_until_all_sent(connector, broker)
        assert connector.stop() == 0
        sent = connector.entries()
        (path,) = (connector.directory / "journal").glob("*/ticks-0.journal")
        path.write_bytes(path.read_bytes().replace(b"number 07", b"number ??"))
        connector.redis.flushall()
        connector.start()
        wait_until(lambda: connector.health().get("shard0_gaps") == "1", "the health report counts it")
        (at,) = [number for number, frame in enumerate(sent) if frame[2] == b"frame number 07"]
        before, gap, after = connector.entries()[at - 1 : at + 2]
        assert (before, after) == (sent[at - 1], sent[at + 1])
        assert b'"mark":"gap"' in gap[2]
        assert "records of the journal cannot be read" in connector.logged
        code, logged = ask_the_doctor(connector)
        assert code == 1
        assert "PROBLEM  connector: the journal of shard 0 has 1 damaged stretch, the last before 20" in logged
        assert "the candles that it touches have complete=false: check the disk of JOURNAL_DIR." in logged
        _, logged = ask_the_doctor(connector, days_later=2)
        assert "damaged stretch" not in logged


@pytest.mark.own_valkey
def test_a_journal_that_cannot_be_read_is_named_by_the_doctor(
    tmp_path: Path, broker: FakeBroker, valkey: ValkeyServer
) -> None:
    """The file is another's while the connector runs: it lives, and names it."""
    with running_connector(tmp_path / "connector", broker, valkey) as connector:
        wait_until_subscribed(broker, 1)
        wait_until(connector.frames, "a heartbeat")
        (path,) = (connector.directory / "journal").glob("*/ticks-0.journal")
        with path.open("r+b") as file:
            file.write(b"NOT OURS")
        connector.redis.flushall()
        wait_until(lambda: connector.health().get("journal_fault"), "the health report has it")
        code, logged = ask_the_doctor(connector)
        assert code == 1
        assert "PROBLEM  connector: the journal cannot be read (ticks-0.journal is no journal" in logged
        assert "does not report" not in logged


def ask_the_doctor(connector: ConnectorProcess, days_later: int = 0) -> tuple[int, str]:
    """Of the connector's container: exit code and words."""
    clock = str(MarketClock(market_ms=days_later * DAY_MS))
    done = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "doctor", "--process", "connector"],
        cwd=connector.directory, env={"PATH": "/usr/bin:/bin", "MARKET_CLOCK": clock}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr
