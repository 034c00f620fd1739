"""The README's programs for people who read candles, run as they stand there, against real servers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pymongo
import pytest

from tests.shared.guarded_valkey import GuardedValkey, guarded_valkey, passwords
from tests.shared.pages import README, Example, example_text
from tests.shared.servers import EmbeddedServer
from utils.market.candle import Candle, Source, TimedBy
from utils.market.ist import DAY_MS, MINUTE_MS
from utils.stores.mongo import MongoStore

START_MS = 1_795_146_300_000  # 2026-11-20 09:15 IST
MONGO_URL = "mongodb://reader:…@127.0.0.1:27017/?authSource=admin"
REDIS_URL = "redis://reader:…@127.0.0.1:6379"
CONNECTION = 'redis.Redis(port=6379, username="reader", password="…", '
PRINTS_SECONDS = 60.0


def filled(example: Example, written: str, value: str) -> str:
    """The example with one text replaced that a reader replaces, too."""
    text = example_text(example)
    assert written in text
    return text.replace(written, value)


def pandas_lines(mongo_url: str) -> str:
    return filled(Example.PANDAS, MONGO_URL, mongo_url)


def run(lines: str) -> str:
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def candle(index: int, timeframe: str = "5m") -> Candle:
    prices, counts = (100.0, 101.0, 99.0, 100.5), (10, None, 100.2, 3)
    start_ms = START_MS + 5 * index * MINUTE_MS
    origin = (True, Source.LIVE, 0, TimedBy.EXCHANGE)
    return Candle("NSE:INFY", timeframe, 408065, start_ms, start_ms + 5 * MINUTE_MS, *prices, *counts, *origin)


def store(mongo: EmbeddedServer, candles: list[Candle]) -> None:
    documents = [candle.as_document() for candle in candles]
    assert MongoStore(mongo.url, "candlewick").upsert_candles(documents) == []


def test_the_pandas_lines_show_when_nothing_is_stored(mongo: EmbeddedServer) -> None:
    assert run(pandas_lines(mongo.url)) == "no candle of 2026-11-20 is stored\n"


def test_the_pandas_lines_take_yesterday_where_asked(mongo: EmbeddedServer) -> None:
    lines = pandas_lines(mongo.url)
    assert lines.count("# yesterday: day = ") == 1
    today = datetime.now(ZoneInfo("Asia/Kolkata")).date()
    printed = run(lines.replace("# yesterday: ", ""))
    days = {
        f"no candle of {today - timedelta(days=ago)} is stored\n" for ago in (0, 1)
    }  # 0: midnight passed meanwhile
    assert printed in days


def test_the_pandas_lines_show_that_day_only(mongo: EmbeddedServer) -> None:
    the_day_before, the_day_after = (
        replace(candle(0), start_ms=START_MS + days * DAY_MS, close=77.5) for days in (-1, 1)
    )
    other = replace(candle(1, "1m"), close=77.5)
    store(mongo, [the_day_before, candle(0), replace(candle(1), complete=False), candle(2), the_day_after, other])
    shown = run(pandas_lines(mongo.url))
    assert [line.split()[1][:5] for line in shown.splitlines() if line.startswith("2026-11-20")] == [
        "09:15", "09:20", "09:25",
    ]  # fmt: skip
    assert "77.5" not in shown


def test_the_pandas_lines_show_complete_candles_only_where_asked(mongo: EmbeddedServer) -> None:
    query = 'find({"k": keys})'
    assert '`"complete": True`' in README.read_text()
    lines = pandas_lines(mongo.url)
    assert query in lines
    store(mongo, [candle(0), replace(candle(1), complete=False, close=77.5), candle(2)])
    shown = run(lines.replace(query, 'find({"k": keys, "complete": True})'))
    assert "2026-11-20 09:25:00+05:30" in shown
    assert "77.5" not in shown


def mongosh_queries(tmp_path: Path) -> list[dict[str, Any]]:
    """What the lines ask for, as Node reads them."""
    script = tmp_path / "queries.js"
    script.write_text(example_text(Example.MONGOSH))
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here to read the lines for mongosh with")
    done = subprocess.run([node, "-e", _SHELL, str(script)], capture_output=True, text=True, check=True)
    queries: list[dict[str, Any]] = json.loads(done.stdout)
    return queries


def test_each_line_for_mongosh_finds_what_it_is_for(mongo: EmbeddedServer, tmp_path: Path) -> None:
    queries = mongosh_queries(tmp_path)
    assert len(queries) == len(example_text(Example.MONGOSH).splitlines())
    with pymongo.MongoClient[dict[str, Any]](mongo.url) as client:
        database = client["candlewick"]
        for collection, document in _DOCUMENTS:
            database[collection].insert_one({**document})
        for query in queries:
            found = database[query["collection"]].find(query["filter"]).limit(query["limit"])
            if query["sort"]:
                found = found.sort(list(query["sort"].items()))
            assert list(found), query


def first_line(command: list[str], directory: Path, until: Callable[[], object]) -> str:
    """What a program that never ends prints first; `until` is called again and again meanwhile."""
    output = directory / "printed"
    with output.open("w") as file, subprocess.Popen(command, cwd=directory, stdout=file, stderr=file) as process:
        try:
            deadline = time.monotonic() + PRINTS_SECONDS
            while "\n" not in output.read_text():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, "nothing was printed"
                until()
                time.sleep(0.05)
        finally:
            process.kill()
    return output.read_text().splitlines()[0]


def live_valkey(directory: Path) -> Any:
    return guarded_valkey(directory)


def publish(valkey: GuardedValkey) -> Callable[[], object]:
    document = json.dumps(candle(0).as_document())
    client = valkey.client("default")
    client.hset("candle:NSE:INFY:5m", mapping={"close": "100.5"})

    def again() -> None:
        client.xadd("closed:{a}", {"json": document})
        client.publish("candles.closed.5m.NSE:INFY", document)

    return again


def test_the_python_lines_show_the_live_candle_and_each_closed_one(tmp_path: Path) -> None:
    with live_valkey(tmp_path) as valkey:
        password = passwords()["REDIS_READER_PASSWORD"]
        mine = CONNECTION.replace("6379", str(valkey.port)).replace("…", password)
        lines = filled(Example.LIVE_CANDLE, CONNECTION, mine)
        again = publish(valkey)
        assert first_line([sys.executable, "-u", "-c", lines], tmp_path, again) == "{'close': '100.5'}"
        closed_only = lines.replace('print(client.hgetall("candle:NSE:INFY:5m"))\n', "")
        shown = first_line([sys.executable, "-u", "-c", closed_only], tmp_path, again)
        assert shown == "NSE:INFY 2026-11-20T09:15:00+05:30 100.5 True"
        assert valkey.refusals() == []


def test_the_node_lines_show_each_closed_candle(tmp_path: Path) -> None:
    """Over a small client with node-redis' calls, since packages of Node are not installed here."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no Node here to run the lines with")
    package = tmp_path / "node_modules" / "redis"
    package.mkdir(parents=True)
    (package / "package.json").write_text('{"name": "redis", "type": "module", "main": "index.js"}')
    (package / "index.js").write_text(_NODE_REDIS)
    with live_valkey(tmp_path) as valkey:
        (tmp_path / "read.mjs").write_text(filled(Example.NODE, REDIS_URL, valkey.url_of("reader")))
        shown = first_line([node, "read.mjs"], tmp_path, publish(valkey))
        assert shown == "NSE:INFY 5m 2026-11-20T09:15:00+05:30 100.5"
        assert valkey.refusals() == []


_DOCUMENTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("candles", candle(0).as_document()),
    ("candles", {**candle(0, "1d").as_document(), "rescaled_on": "2026-11-20", "rescaled_by": 0.5}),
    ("signals", {"_id": "s", "t": START_MS, "direction": "LONG"}),
    ("outages", {"_id": "o", "t": START_MS}),
    ("coverage", {"_id": "c", "day": "2026-11-20", "timeframe": "5m", "incomplete": 1}),
)
_SHELL = """
const queries = []
function find(collection, filter) {
  const query = {collection, filter, sort: null, limit: 0}
  const cursor = {
    sort: order => { query.sort = order; return cursor },
    limit: count => { query.limit = count; return cursor },
  }
  queries.push(query)
  return cursor
}
globalThis.db = new Proxy({}, {get: (_, collection) => ({find: filter => find(collection, filter)})})
require('vm').runInThisContext(require('fs').readFileSync(process.argv[1], 'utf8'))
console.log(JSON.stringify(queries))
"""
# createClient, connect and xRead of node-redis 6, over RESP: one reader, one question at a time.
_NODE_REDIS = r"""
import net from 'node:net'

function parse(data, at = 0) {
  const end = data.indexOf('\r\n', at)
  if (end < 0) return null
  const kind = data[at], rest = data.slice(at + 1, end)
  if (kind === '+' || kind === ':') return [rest, end + 2]
  if (kind === '-') throw new Error(rest)
  if (rest === '-1') return [null, end + 2]
  if (kind === '$') {
    const stop = end + 2 + Number(rest)
    return data.length < stop + 2 ? null : [data.slice(end + 2, stop), stop + 2]
  }
  const list = []
  let next = end + 2
  for (let n = 0; n < Number(rest); n++) {
    const part = parse(data, next)
    if (part === null) return null
    list.push(part[0])
    next = part[1]
  }
  return [list, next]
}

export function createClient({ url }) {
  const { hostname, port, username, password } = new URL(url)
  const socket = net.connect(Number(port), hostname)
  socket.setEncoding('latin1')
  const ask = (...words) => new Promise((resolve, reject) => {
    let data = ''
    const take = chunk => {
      data += chunk
      try {
        const answer = parse(data)
        if (answer === null) return
        socket.off('data', take)
        resolve(answer[0])
      } catch (error) { reject(error) }
    }
    socket.on('data', take)
    const bulk = words.map(word => `$${Buffer.byteLength(`${word}`)}\r\n${word}\r\n`)
    socket.write(`*${words.length}\r\n` + bulk.join(''))
  })
  const client = {
    connect: async () => { await ask('AUTH', username, decodeURIComponent(password)); return client },
    xRead: async ({ key, id }, { BLOCK, COUNT }) => {
      const answer = await ask('XREAD', 'COUNT', COUNT, 'BLOCK', BLOCK, 'STREAMS', key, id)
      return answer?.map(([name, entries]) => ({ name, messages: entries.map(([entry, fields]) => {
        const message = {}
        for (let n = 0; n < fields.length; n += 2) message[fields[n]] = fields[n + 1]
        return { id: entry, message }
      }) })) ?? null
    },
  }
  return client
}
"""
