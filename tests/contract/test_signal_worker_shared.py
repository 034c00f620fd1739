"""Several signal workers between a real Valkey and MongoDB: they share the shards, and who is left carries on.

What they publish together is judged by one undisturbed worker, and by one engine over all instruments.
"""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import orjson
import pytest

from strategies import load_strategies
from tests.shared.closed_candles import OPEN_MS, SEED, SYMBOLS, ClosedCandle, past_and_day, publish_closed
from tests.shared.history_broker import Broker, as_answer, day_rows, serving, trading_days
from tests.shared.servers import ServerUrls
from tests.shared.signal_worker_process import (
    World,
    by_id,
    end_quietly,
    instrument,
    publish_instruments,
    same,
    wait_for,
    world,
)
from utils.journal.entries import EntryId
from utils.market.entry_limit import read_entry_limit
from utils.market.sessions import SessionCalendar
from utils.signals.engine import SignalEngine
from utils.signals.state import SignalProgress

SHARDS = 3
PAST, DAY = past_and_day(shards=SHARDS)
LEASE_SECONDS = 0.5
TAKEOVER_SECONDS = LEASE_SECONDS + 10 * 1.0  # a quiet machine needs less than a second beyond the lease
THREE = {"CONNECTIONS": str(SHARDS)}
CUT_MS = OPEN_MS - 60_000
BARS_KEPT = 250  # of a row's past


@dataclass
class Crew:
    """The workers of one world, by process id."""

    world: World
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, **more: str) -> str:
        self.world.start(**{**THREE, **more})
        process = self.world.process
        assert process is not None
        self.world.process = None
        self.running[str(process.pid)] = process
        return str(process.pid)

    def holders(self) -> list[str]:
        """The process id that has each shard's lease; '' for one that is free."""
        keys = self.world.keys
        held: Any = [self.world.client.get(keys.lease("signal_worker", shard)) for shard in range(SHARDS)]
        return [owner.decode().rpartition(":")[2] if owner else "" for owner in held]

    def wait_until_shared(self) -> None:
        wait_for(lambda: set(self.holders()) == set(self.running), "each has a part")
        wait_for(lambda: self.world.health().get("state") == "running", "all shards run")

    def end(self, pid: str, number: int = signal.SIGTERM) -> int:
        process = self.running.pop(pid)
        process.send_signal(number)
        return process.wait(30)

    def end_all(self) -> None:
        """Once everything is in MongoDB."""
        run = self.world
        wait_for(lambda: len(run.in_mongo()) == len({each["_id"] for each in run.in_stream()}), "archiving")
        assert {self.end(pid) for pid in list(self.running)} == {0}


@contextmanager
def crew(servers: ServerUrls, folder: Path, name: str) -> Iterator[Crew]:
    with world(servers, folder, name, PAST) as run:
        made = Crew(run)
        try:
            yield made
        finally:
            for process in made.running.values():
                process.kill()
                process.wait()


@pytest.fixture(scope="module")
def undisturbed(servers: ServerUrls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(servers, tmp_path_factory.mktemp("runs") / "alone", "alone", PAST) as run:
        run.start(**THREE)
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, DAY)
        run.wait_until_at(DAY)
        assert run.health()["shards"] == "0,1,2"
        assert int(run.health()["instruments"]) == len(SYMBOLS)
        end_quietly(run)
        yield run


def all_in_one(entries: list[ClosedCandle]) -> tuple[SignalEngine, dict[str, dict[str, Any]]]:
    """One engine for all instruments, warmed by their past, and the signals of these entries."""
    known = {symbol: instrument(symbol) for symbol in SYMBOLS}
    engine = SignalEngine(load_strategies(("momentum",)), read_entry_limit("15m", SessionCalendar.load(), known))
    for symbol in SYMBOLS:
        for timeframe in ("1m", "5m"):
            past = [candle for candle in PAST if (candle.symbol, candle.timeframe) == (symbol, timeframe)]
            engine.warm(symbol, timeframe, past[-BARS_KEPT:])
    fired = engine.apply([entry.candle for entry in entries]).fired
    return engine, {firing.signal.id: orjson.loads(orjson.dumps(firing.signal.as_document())) for firing in fired}


def test_what_shards_publish_is_what_one_engine_over_all_instruments_gives(undisturbed: World) -> None:
    expected = all_in_one(DAY)[1]
    print(f"seed {SEED}: {len(expected)} signals")
    assert len(expected) > 20
    assert by_id(undisturbed.in_stream()) == expected


@pytest.mark.parametrize("victim", [0, 2])
def test_two_share_and_the_one_that_is_left_carries_on(
    servers: ServerUrls, tmp_path: Path, undisturbed: World, victim: int
) -> None:
    with crew(servers, tmp_path / "two", f"two{victim}") as made:
        for _ in range(2):
            made.start(LEASE_SECONDS=str(LEASE_SECONDS))
        made.wait_until_shared()
        run = made.world
        expected = {"shards": "0,1,2", "instruments": str(len(SYMBOLS)), "rows": str(2 * len(SYMBOLS))}
        wait_for(lambda: expected.items() <= run.health().items(), f"the shared report has {expected}")
        publish_closed(run.client, run.keys, DAY[:700])
        run.wait_until_at(DAY[:700])
        publish_closed(run.client, run.keys, DAY[700:1100])
        dead = made.holders()[victim]
        killed = time.monotonic()
        assert made.end(dead, signal.SIGKILL) == -signal.SIGKILL
        wait_for(lambda: set(made.holders()) == set(made.running), "the other has all")
        wait_for(lambda: run.is_at(DAY[:1100]), "the other carries on")
        seconds = time.monotonic() - killed
        assert seconds < TAKEOVER_SECONDS, f"taken over and worked off {seconds:.1f} s after the kill"
        publish_closed(run.client, run.keys, DAY[1100:])
        run.wait_until_at(DAY)
        made.end_all()
        same(run, undisturbed)


def test_they_come_and_go_and_one_hangs(servers: ServerUrls, tmp_path: Path, undisturbed: World) -> None:
    with crew(servers, tmp_path / "many", "many") as made:
        run = made.world
        first = made.start()
        made.wait_until_shared()
        publish_closed(run.client, run.keys, DAY[:500])
        second, _ = made.start(), made.start()
        wait_for(lambda: sorted(made.holders()) == sorted(made.running), "each has one shard")
        made.wait_until_shared()
        publish_closed(run.client, run.keys, DAY[500:900])
        made.running[second].send_signal(signal.SIGSTOP)
        wait_for(lambda: second not in made.holders() and "" not in made.holders(), "it is followed")
        run.wait_until_at(DAY[:900])
        made.running[second].send_signal(signal.SIGCONT)
        made.wait_until_shared()
        publish_closed(run.client, run.keys, DAY[900:1300])
        assert made.end(first) == 0
        made.wait_until_shared()
        publish_closed(run.client, run.keys, DAY[1300:])
        run.wait_until_at(DAY)
        made.end_all()
        same(run, undisturbed)


def test_killed_in_the_warm_up_another_begins_it_again(
    servers: ServerUrls, tmp_path: Path, undisturbed: World
) -> None:
    with crew(servers, tmp_path / "cold", "coldtwo") as made:
        run = made.world
        run.client.delete(run.keys.instruments())
        for _ in range(2):
            made.start()
        wait_for(lambda: set(made.holders()) == set(made.running), "each has a part")
        wait_for(lambda: run.health().get("state") == "waiting for the instruments", "the cut")
        made.end(made.holders()[0], signal.SIGKILL)
        publish_closed(run.client, run.keys, DAY[:500])  # after the cut: it gives signals, however late it is read
        run.mongo.upsert_candles([entry.candle.as_document() for entry in DAY[:500]])
        publish_instruments(run)
        publish_closed(run.client, run.keys, DAY[500:])
        run.wait_until_at(DAY)
        made.end_all()
        same(run, undisturbed)


def test_a_snapshot_of_all_shards_is_shared_out(servers: ServerUrls, tmp_path: Path, undisturbed: World) -> None:
    """As it was before each shard had one: `signal-state:{a}` was that of all, with a position of each."""
    before, after = DAY[:900], DAY[900:]
    engine, before_it = all_in_one(before)
    positions = {outage.shard: EntryId.parse(outage.entry_id) for outage in before}
    warmed = {(symbol, timeframe) for symbol in SYMBOLS for timeframe in ("1m", "5m")}
    with crew(servers, tmp_path / "older", "older") as made:
        run = made.world
        publish_closed(run.client, run.keys, before)
        snapshot = SignalProgress(engine, positions, CUT_MS, warmed, was_warmed_up=True).snapshot()
        run.client.set(run.keys.signal_state(0), snapshot)
        for _ in range(2):
            made.start()
        made.wait_until_shared()
        publish_closed(run.client, run.keys, after)
        run.wait_until_at(DAY)
        made.end_all()
        whole = by_id(undisturbed.in_stream())
        assert by_id(run.in_stream()) == {name: candle for name, candle in whole.items() if name not in before_it}
        assert run.values() == undisturbed.values()
        assert "resumed" in (run.folder / "stderr").read_text()
        assert "started anew" not in (run.folder / "stderr").read_text()


def test_what_left_the_stream_unread_is_counted_and_warmed_up_again(servers: ServerUrls, tmp_path: Path) -> None:
    entries = past_and_day(shards=1)[1]
    with world(servers, tmp_path / "trimmed", "trimmed", PAST) as run:
        run.start(CONNECTIONS="1")
        wait_for(lambda: run.health().get("state") == "running", "warm-up")
        publish_closed(run.client, run.keys, entries[:300])
        run.wait_until_at(entries[:300])
        assert (run.health()["cut_off"], run.health()["history_rejected"]) == ("0", "0")
        assert run.process is not None
        run.process.send_signal(signal.SIGSTOP)
        publish_closed(run.client, run.keys, entries[300:])
        assert len(entries) > 1_800
        run.client.xtrim(run.keys.closed(0), maxlen=len(entries) - 500, approximate=False)
        run.process.send_signal(signal.SIGCONT)
        wait_for(lambda: run.health().get("cut_off") == "1", "it is counted")
        wait_for(lambda: run.is_at(entries) and run.health()["state"] == "running", "it continues after it")
        assert run.end() == 0


@dataclass
class HangingBroker(Broker):
    """Answers the first requests, and the others not before it may."""

    answered: int = 0
    goes_on: threading.Event = field(default_factory=threading.Event)

    def answer(self, path: str, wanted: dict[str, str]) -> tuple[int, bytes]:
        if len(self.asked) > self.answered:
            self.goes_on.wait(60)
        return super().answer(path, wanted)


def wait_until_renewed(world: World, shard: int) -> None:
    """The lease gets a minute, which no machine outlasts: its holder gives it its own few seconds again."""
    name = world.keys.lease("signal_worker", shard)
    world.client.pexpire(name, 60_000)
    wait_for(lambda: 0 < int(world.client.pttl(name)) <= 3_000, "the lease is renewed", 30)


def test_a_warm_up_that_hangs_holds_up_neither_leases_nor_reports_nor_other_shards(
    servers: ServerUrls, tmp_path: Path
) -> None:
    days = trading_days(6, date(2026, 1, 2))
    rows = as_answer([row for day in days for row in day_rows(day.isoformat())])
    rows[-1][2] = rows[-1][3] - 1  # a high below the low
    of_first = [entry for entry in DAY if entry.shard < 2][:60]
    with (
        serving(HangingBroker(minutes=rows, answered=4)) as broker,
        world(servers, tmp_path / "hanging", "hanging", []) as run,
    ):
        assert isinstance(broker, HangingBroker)
        history = {"WARMUP": "true", "KITE_API_URL": broker.url, "HISTORY_REQUESTS_PER_SECOND": "20"}
        run.start(**THREE, **history, API_KEY="key", ACCESS_TOKEN="hunter2", LEASE_SECONDS="3")
        try:
            wait_for(lambda: len(broker.asked) == 5, "the last shard's request hangs")
            owner = run.client.get(run.keys.lease("signal_worker", 2))
            publish_closed(run.client, run.keys, of_first)
            run.wait_until_at(of_first)
            for _ in range(3):
                wait_until_renewed(run, 2)
                run.client.delete(run.keys.health("signal_worker"))
                wait_for(lambda: run.health().get("state", "").startswith("warming up"), "a new report")
            assert run.client.get(run.keys.lease("signal_worker", 2)) == owner
        finally:
            broker.goes_on.set()
        wait_for(lambda: run.health()["state"] == "running", "all is warm")
        assert run.health()["history_rejected"] == run.health()["history_rejected_prices"] == str(len(SYMBOLS))
        assert run.end() == 0
