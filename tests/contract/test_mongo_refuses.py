"""A MongoDB that is there and refuses, or answers oddly: nothing counts as written; a sentence names what to do."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from tests.shared.env_file import write_env_file
from tests.shared.mongo_answers import AnsweringMongo
from tests.shared.servers import ValkeyServer, free_port
from utils.market.instruments import Instrument, SessionClass
from utils.stores.mongo import MongoStore, StoreError

CANDLE = {"_id": "NSE:INFY|1m|001", "k": "NSE:INFY|1m|001", "symbol": "NSE:INFY", "timeframe": "1m", "t": 1, "rev": 0}
INFY = Instrument(408065, "NSE", "INFY", "INFOSYS", "NSE", "EQ", "", 0.05, 1, SessionClass.EQUITY)
REPO = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": os.environ["PATH"]}
CONCERN = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}


def failed(code: int, text: str) -> dict[str, Any]:
    return {"ok": 0.0, "code": code, "errmsg": text}


@contextlib.contextmanager
def store_on(**answers: Any) -> Iterator[tuple[MongoStore, AnsweringMongo]]:
    with AnsweringMongo(answers).running() as server:
        store = MongoStore(server.url, "candlewick", socket_timeout_ms=5_000)
        try:
            yield store, server
        finally:
            store.close()


def test_a_write_is_written_when_it_is_confirmed() -> None:
    with store_on() as (store, server):
        assert store.upsert_candles([CANDLE]) == []
    assert "update" in server.asked


@pytest.mark.parametrize("with_write_error", [False, True])
def test_a_write_that_is_not_confirmed_is_not_taken_for_written(with_write_error: bool) -> None:
    answer: dict[str, Any] = {"ok": 1.0, "n": 1, "nModified": 0, "writeConcernError": CONCERN}
    if with_write_error:
        answer["writeErrors"] = [{"index": 0, "code": 121, "errmsg": "Document failed validation"}]
    with store_on(update=answer) as (store, server):
        with pytest.raises(StoreError, match=r"could not confirm a write .*timed out.*lower w in MONGO_URL"):
            store.upsert_candles([CANDLE])
        server.answers.clear()
        assert store.upsert_candles([CANDLE]) == []


def test_indexes_that_are_not_confirmed_are_made_again() -> None:
    with store_on(createIndexes={"ok": 1.0, "writeConcernError": CONCERN}) as (store, server):
        for _ in range(2):
            with pytest.raises(StoreError, match="could not confirm a write"):
                store.upsert_candles([CANDLE])
    assert server.asked.count("createIndexes") == 2 and "update" not in server.asked


def test_a_write_concern_that_confirms_nothing_is_refused() -> None:
    """The settings refuse w=0; the client reads other spellings as the same."""
    store = MongoStore("mongodb://127.0.0.1:1/?w=00", "candlewick")
    with pytest.raises(StoreError, match="MONGO_URL has w=0"):
        store.upsert_candles([CANDLE])


KINDS = [
    (failed(18, "Authentication failed."), "refuses the user or the password of MONGO_URL"),
    (failed(8000, "bad auth : authentication failed"), "refuses the user or the password of MONGO_URL"),
    (failed(13, "not authorized on candlewick to execute command"), "give it readWrite on the database MONGO_DB"),
    (failed(13, "Command update requires authentication"), "give it readWrite on the database MONGO_DB"),
    (failed(73, "Invalid namespace specified"), "MONGO_DB is no name for a database"),
    (failed(14031, "No space left on device"), "disk is full or fails"),
    (failed(100, "Not enough data-bearing nodes"), "could not confirm a write"),
    (failed(59, "no such command: 'update'"), "has to be MongoDB 6 or newer"),
    (failed(50, "operation exceeded time limit"), "took too long"),
]


@pytest.mark.parametrize(("answer", "words"), KINDS)
def test_a_refusal_names_what_it_is_for_writes_and_reads(answer: dict[str, Any], words: str) -> None:
    with store_on(update=answer, find=answer) as (store, _):
        with pytest.raises(StoreError) as writing:
            store.upsert_candles([CANDLE])
        with pytest.raises(StoreError) as reading:
            store.candles_before("NSE:INFY", "1m", 5, 5)
    for raised in (writing, reading):
        assert words in str(raised.value) and "is away" not in str(raised.value)


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (14031, "No space left on device", "disk is full"),
        (13, "not authorized", "readWrite on the database MONGO_DB"),
    ],
)
def test_one_write_refused_for_the_servers_sake_names_what_it_is(code: int, text: str, words: str) -> None:
    answer = {"ok": 1.0, "n": 0, "nModified": 0, "writeErrors": [{"index": 0, "code": code, "errmsg": text}]}
    with store_on(update=answer) as (store, _), pytest.raises(StoreError, match=words):
        store.upsert_candles([CANDLE])


@pytest.mark.parametrize("name", ["", "a b", "a.b", "a/b", "$a"])
def test_a_wrong_name_of_the_database_is_one_sentence(name: str) -> None:
    store = MongoStore("mongodb://127.0.0.1:1", name)
    with pytest.raises(StoreError, match="MONGO_DB is no name for a database"):
        store.ping()


ODD: list[Any] = [
    {"ok": 1.0},
    {"ok": 1.0, "cursor": None},
    {"ok": 1.0, "cursor": {"id": 0, "ns": "candlewick.candles"}},
    {"ok": 1.0, "cursor": {"id": 0, "ns": "candlewick.candles", "firstBatch": [{"_id": 1}]}},
    {"ok": 1.0, "cursor": {"id": 0, "ns": "candlewick.candles", "firstBatch": [{"_id": 1, "k": 5}]}},
    {"ok": 1.0, "cursor": {"id": 0, "ns": "candlewick.candles", "firstBatch": "none"}},
    {"ok": 1.0, "cursor": {"id": "x", "ns": 3, "firstBatch": [3]}},
    {"ok": "yes", "cursor": 7},
    {},
    b"\x05\0\0\0\0"[:4],
    b"\x07\0\0\0\x99\0\0",
    b"\xff\xff\xff\x7f",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
]


@pytest.mark.parametrize("answer", ODD)
def test_an_odd_answer_is_a_store_error(answer: Any) -> None:
    with store_on(find=answer) as (store, _), pytest.raises(StoreError, match="MongoDB"):
        store.newest_of_each([("NSE:INFY", "1m"), ("NSE:SBIN", "1m")], 5, 1)


@pytest.mark.parametrize(
    "answer",
    [
        {"ok": 1.0, "n": "x"},
        {"ok": 1.0, "n": 1, "writeErrors": [{"index": 9, "code": 11000, "errmsg": "duplicate"}]},
        {"ok": 1.0, "n": 1, "writeErrors": [{}]},
        {"ok": 1.0, "n": 1, "writeErrors": "many"},
        {"ok": 1.0},
        {},
    ],
)
def test_an_odd_answer_to_a_write_is_a_store_error(answer: Any) -> None:
    with store_on(update=answer) as (store, _), pytest.raises(StoreError, match="MongoDB"):
        store.upsert_candles([CANDLE])


# -- real workers on it


@contextlib.contextmanager
def worker(name: str, directory: Path, valkey: ValkeyServer, mongo_url: str) -> Iterator[subprocess.Popen[bytes]]:
    values = {
        "REDIS_URL": valkey.url_of(name), "MONGO_URL": mongo_url, "INSTRUMENTS": INFY.symbol, "TIMEFRAMES": "1m",
        "LOG_DIR": str(directory / "logs"), "KITE_API_URL": f"http://127.0.0.1:{free_port()}", "WARMUP": "false",
    }  # fmt: skip
    write_env_file(directory, values)
    with (directory / "err").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(REPO / f"{name}.py")], cwd=directory, env=ENVIRONMENT, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_doctor_names_what_mongodb_refuses(tmp_path: Path, valkey: ValkeyServer, client: redis.Redis) -> None:
    client.xadd("closed:{a}", {"json": orjson.dumps(CANDLE)})
    refuses = AnsweringMongo({"update": failed(13, "not authorized on candlewick to execute command")})
    with refuses.running() as mongo, worker("candle_worker", tmp_path, valkey, mongo.url):
        wait_until(lambda: client.hget("health:candle_worker", "archive_state") == b"failing")
        done = subprocess.run(
            [sys.executable, str(REPO / "manage.py"), "doctor", "--process", "candle_worker"],
            cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 1 and "give it readWrite on the database MONGO_DB" in done.stdout
        mongo.answers.clear()
        wait_until(lambda: client.hget("health:candle_worker", "archive_written") == b"1")


def test_an_odd_answer_at_warm_up_does_not_end_the_signal_worker(
    tmp_path: Path, valkey: ValkeyServer, client: redis.Redis
) -> None:
    client.hset("instruments", INFY.symbol, orjson.dumps(INFY.as_dict()))
    odd = AnsweringMongo({"find": {"ok": 1.0, "cursor": None}})
    with odd.running() as mongo, worker("signal_worker", tmp_path, valkey, mongo.url) as process:
        wait_until(lambda: process.poll() is not None or client.hget("health:signal_worker", "state") == b"running")
        logged = (tmp_path / "err").read_text()
        assert process.poll() is None, logged
    assert "find" in odd.asked and "cannot be read" in logged and "Traceback" not in logged
