"""An update in mid-day from version 1 of the layout of Redis: the journal makes the day again under the new names.

The first half of the session is played, and then its keys get the names that version 1 gave them.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from tests.e2e.harness import CONNECTOR, WORKERS, Scripts, pipeline, stores
from tests.e2e.simulated import Steps, ist_ms, journal_entries, play_on, start_exchange
from tests.reference.candles import reference_candles
from tests.reference.comparison import compare
from tests.reference.inputs import ReferenceSettings
from tests.shared.console_here import manage_here
from tests.shared.env_file import write_env_file
from utils.keys import SIGNALS_COLLECTION

TIMEFRAMES = {"5s": 5, "15s": 15, "1m": 60, "5m": 300}
SETTINGS = ReferenceSettings(tuple((name, seconds * 1_000) for name, seconds in TIMEFRAMES.items()))
START, UPDATE, OVER = "10:05:00", "10:15:20", "10:25:00"
SEED = int(os.environ.get("CANDLEWICK_SEED", "8"))
ENVIRONMENT = {"PATH": os.environ["PATH"]}
RENAMED = {
    "ticks:{a}": "ticks:0", "ticks-subscribed:{a}": "ticks-subscribed:0", "broker:{a}": "broker:0",
    "closed:{a}": "closed:0", "state:{a}": "state:0", "signal-state:{a}": "signal-state:0", "signals:{a}": "signals",
    "state-counts:{a}": "state-counts", "published:{a}": "said", "ticks.rejected:{a}": "ticks.rejected",
    "archive.rejected:{a}": "archive.rejected", "lease:candle_worker:{a}:last": "lease:candle_worker:0:last",
    "lease:signal_worker:{a}:last": "lease:signal_worker:0:last",
}  # fmt: skip
LEFT = "Redis has keys from before the update"


def test_an_update_in_mid_day_loses_nothing(tmp_path: Path) -> None:
    print(f"\n  seed {SEED}")
    settings = {"TIMEFRAMES": ",".join(TIMEFRAMES), "WARMUP": "false"}
    with stores(tmp_path) as where, pipeline(tmp_path, where, settings) as scripts:
        clock = Steps.from_start(tmp_path, START)
        exchange = start_exchange(scripts, clock, 12, SEED, "late,duplicate,badprint", tmp_path / "sent")
        start_all(scripts)
        play_on(scripts, exchange, clock, ist_ms(UPDATE))
        scripts.drain()
        for name in WORKERS:
            scripts.stop(name)
        before = scripts.entries("closed:{a}")
        signals = {document["_id"] for document in scripts.collection(SIGNALS_COLLECTION)}
        left = as_version_1(scripts)
        start_all(scripts)
        for name in (CONNECTOR, *WORKERS):
            assert (tmp_path / f"{name}.err").read_text().count(LEFT) == 1, name
        play_on(scripts, exchange, clock, ist_ms(OVER))
        scripts.drain()
        candles, after = scripts.candles_published_once(), scripts.entries("closed:{a}")
        stored = [document["_id"] for document in scripts.collection(SIGNALS_COLLECTION)]
        clean_up(scripts, left)
    assert len(before) > 1_000 and len(after) > len(before) and after[: len(before)] == before
    entries = journal_entries(tmp_path / "journal", 0)
    assert compare(reference_candles(entries, exchange.instruments, SETTINGS).candles, candles) == []
    assert signals <= set(stored) and len(stored) == len(set(stored))


def start_all(scripts: Scripts) -> None:
    reports = [f"health:{name}" for name in ("connector", *WORKERS)]
    scripts.stores.client.delete(*reports)  # of those that ended
    for name in (*WORKERS, CONNECTOR):
        scripts.start(name)
    scripts.until_ready(*WORKERS)
    scripts.until_connected()


def as_version_1(scripts: Scripts) -> set[str]:
    """The names that are there then; what expires is as if it had expired."""
    client: Any = scripts.stores.client
    client.delete(*(f"health:{name}" for name in (CONNECTOR, *WORKERS)))  # they would pass for the next start's
    found = {name.decode() for name in client.scan_iter("*{*")}
    expiring = {name for name in found if name.startswith(("lease:", "written:")) and not name.endswith(":last")}
    assert found - expiring <= RENAMED.keys(), "a key of a shard that this test does not know"
    for name in found:
        if name in expiring:
            client.delete(name)
        else:
            client.rename(name, RENAMED[name])
    return {RENAMED[name] for name in found - expiring}


def clean_up(scripts: Scripts, left: set[str]) -> None:
    """The doctor names a command, which deletes what was left and nothing else."""
    client: Any = scripts.stores.client
    printed = doctor(scripts)
    assert printed.count(LEFT) == 1 and "not in MongoDB" not in printed
    command = next(line for line in printed.splitlines() if LEFT in line).partition("redis-cli DEL ")[2]
    assert client.delete(*shlex.split(command.rstrip("."))) == len(left)
    assert client.exists(*left) == 0 and LEFT not in doctor(scripts)


def doctor(scripts: Scripts) -> str:
    directory = scripts.directory / "work" / "doctor"
    write_env_file(directory, {"REDIS_URL": scripts.stores.redis_url})
    return manage_here(["doctor"], directory, ENVIRONMENT).stdout
