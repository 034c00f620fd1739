"""`manage.py replay`: a journal that a demo recorded, through the same workers again, beside the live data."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest
import redis

from tests.shared.console_here import manage_here
from tests.shared.length import length
from tests.shared.servers import both_servers

_ROOT = Path(__file__).resolve().parents[2]
_DAY = "2026-11-20"
_LIVE_DB, _LIVE_PREFIX = "candlewick_demo", "demo:"
_PASSING = tuple(f"{_LIVE_PREFIX}{kind}:".encode() for kind in ("health", "health-part", "lease"))
Documents = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class _Recorded:
    """A short demo in the place of a live day: its stores run, and its journal is there."""

    directory: Path
    redis_url: str
    mongo_url: str
    demo_url: str

    def manage(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs `manage.py` as the containers `demo` and `replay` do: as the Redis user demo."""
        environment = os.environ | {"REDIS_URL": self.demo_url, "MONGO_URL": self.mongo_url, **settings}
        return subprocess.run(
            [sys.executable, str(_ROOT / "manage.py"), *arguments],
            capture_output=True, text=True, cwd=self.directory, env=environment, timeout=900, check=False,
        )  # fmt: skip

    def replay(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.manage("replay", *arguments, **self._of_the_day())

    def replay_here(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a replay that fails before it begins, in this process."""
        own = {"REDIS_URL": self.demo_url, "MONGO_URL": self.mongo_url}
        environment = os.environ | own | self._of_the_day()
        return manage_here(["replay", *arguments], self.directory, environment)

    def _of_the_day(self) -> dict[str, str]:
        return {
            "MONGO_DB": _LIVE_DB,
            "REDIS_PREFIX": _LIVE_PREFIX,
            "JOURNAL_DIR": str(self.directory / "run" / "journal"),
            "LOG_DIR": str(self.directory / "logs"),
        }

    def documents(self, database: str, collection: str, **query: Any) -> Documents:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(self.mongo_url)
        with client:
            return {document["_id"]: document for document in client[database][collection].find(query)}

    def live_keys(self) -> dict[bytes, str]:
        """Every live key with a digest of its value, without health reports and leases."""
        client = redis.Redis.from_url(self.redis_url)
        names: Any = client.keys(f"{_LIVE_PREFIX}*")
        kept = (name for name in names if not name.startswith(_PASSING))
        dumps: Any = {name: client.dump(name) for name in kept}
        return {name: hashlib.sha256(dump or b"").hexdigest() for name, dump in dumps.items()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Recorded]:
    directory = tmp_path_factory.mktemp("replay")
    with both_servers(directory / "servers") as servers:
        day = _Recorded(directory, servers.redis_url, servers.mongo_url, servers.redis_url_of("demo"))
        options = ["--instruments", length(short="6", long="12"), "--from", "09:10", "--until", "09:36"]
        options += ["--seed", "5", "--speed", "600", "--history-first"]
        done = day.manage("demo", *options, "--directory", str(directory / "run"))
        assert done.returncode == 0, done.stdout + done.stderr
        yield day


@pytest.fixture(scope="module")
def replayed(recorded: _Recorded) -> tuple[subprocess.CompletedProcess[str], dict[bytes, str], dict[bytes, str]]:
    """A replay as fast as it goes, with the live keys before and after it."""
    before = recorded.live_keys()
    done = recorded.replay(_DAY)
    return done, before, recorded.live_keys()


Replayed = tuple[subprocess.CompletedProcess[str], dict[bytes, str], dict[bytes, str]]


def test_every_candle_comes_out_the_same_to_the_last_field(recorded: _Recorded, replayed: Replayed) -> None:
    done = replayed[0]
    assert done.returncode == 0, done.stdout + done.stderr
    live = recorded.documents(_LIVE_DB, "candles", source="live")
    again = recorded.documents(f"{_LIVE_DB}_replay", "candles", source="live")
    assert len(live) > 200
    assert again == live
    assert f"{len(live):,} of the {len(live):,} candles stored live that day came out the same" in done.stdout


def test_the_signals_come_out_the_same(recorded: _Recorded, replayed: Replayed) -> None:
    """Of those whose session began after the recording did: the others' morning is not all in the journal."""
    nse = {"symbol": {"$gte": "NSE:", "$lt": "NSE;"}}
    live = recorded.documents(_LIVE_DB, "signals", **nse)
    assert live
    assert recorded.documents(f"{_LIVE_DB}_replay", "signals", **nse) == live


def test_live_data_is_not_touched(recorded: _Recorded, replayed: Replayed) -> None:
    _, before, after = replayed
    assert len(before) > 10
    assert after == before


def test_redis_does_not_keep_the_day(recorded: _Recorded, replayed: Replayed) -> None:
    client = redis.Redis.from_url(recorded.redis_url)
    sent: Any = client.xinfo_stream("replay:ticks:{a}")
    assert sent["entries-added"] > 1000
    assert client.xlen("replay:ticks:{a}") == 0


def test_an_earlier_replay_is_cleared_and_a_speed_is_kept_to(recorded: _Recorded, replayed: Replayed) -> None:
    client = redis.Redis.from_url(recorded.redis_url)
    client.set("replay:stale", "1")
    mongo: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(recorded.mongo_url)
    with mongo:
        mongo[f"{_LIVE_DB}_replay"]["candles"].insert_one({"_id": "stale", "k": "stale"})
    began = time.monotonic()
    done = recorded.replay(_DAY, "--speed", "300")
    assert done.returncode == 0, done.stdout + done.stderr
    assert time.monotonic() - began > 26 * 60 / 300
    assert client.get("replay:stale") is None
    assert "stale" not in recorded.documents(f"{_LIVE_DB}_replay", "candles")
    live = recorded.documents(_LIVE_DB, "candles", source="live")
    assert recorded.documents(f"{_LIVE_DB}_replay", "candles", source="live") == live


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["2026-11-19"], 1, "has no journal of 2026-11-19; it holds 2026-11-20 to 2026-11-20."),
        ([_DAY, "--prefix", ""], 2, "--prefix: '' is that of live data"),
        ([_DAY, "--prefix", "demo:"], 2, "--prefix: 'demo:' is that of live data"),
        ([_DAY, "--prefix", "de"], 2, "live keys begin with 'de' too"),
        ([_DAY, "--speed", "quick"], 2, "--speed: 'quick' is neither 'max' nor a number above 0."),
        (["yesterday"], 2, "'yesterday' does not match the format"),
    ],
)
def test_what_cannot_be_replayed_is_one_sentence(
    recorded: _Recorded, arguments: list[str], code: int, sentence: str
) -> None:
    before = recorded.live_keys()
    done = recorded.replay_here(*arguments)
    assert done.returncode == code
    assert sentence in " ".join((done.stdout + done.stderr).split())
    assert recorded.live_keys() == before
