"""The embedded servers are real, keep what they were given over a crash, and never stay behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymongo
import pytest
import redis

from commands.shared.child_process import ChildProcess, StartError
from commands.shared.embedded.server import free_port
from commands.shared.embedded.servers import open_servers
from tests.shared.servers import both_servers, mongo_server, valkey_server

_ROOT = Path(__file__).resolve().parents[2]


def _wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_valkey_keeps_its_data_over_an_orderly_stop_and_its_snapshot_over_a_kill(tmp_path: Path) -> None:
    """What came after the snapshot is the journal's to keep."""
    with valkey_server(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        with client.pipeline(transaction=False) as pipeline:  # enough to take a while to be loaded again
            for number in range(300_000):
                pipeline.set(f"key:{number}", "x" * 50)
            pipeline.execute()
        client.set("kept", "yes")
        assert client.config_get("appendonly")["appendonly"] == "no"
        port = server.port
        server.end()
        server.start()
        assert client.get("kept") == b"yes"
        client.set("later", "yes")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert server.port == port
        assert (client.get("kept"), client.get("later")) == (b"yes", None)


def test_mongo_stand_in_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    with mongo_server(tmp_path) as server:
        client: pymongo.MongoClient[dict[str, object]] = pymongo.MongoClient(server.url)
        client["some_db"]["things"].replace_one({"_id": "a"}, {"_id": "a", "n": 1}, upsert=True)
        server.end()
        server.start()
        assert client["some_db"]["things"].find_one({"_id": "a"}) == {"_id": "a", "n": 1}
        client.close()


def test_both_end_when_the_body_fails(tmp_path: Path) -> None:
    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt), both_servers(tmp_path) as servers:
        pids += [process.pid for process in servers.own]
        raise KeyboardInterrupt
    assert len(pids) == 2
    assert not any(_is_running(pid) for pid in pids)


def test_named_servers_are_used_and_left_alone(tmp_path: Path) -> None:
    with both_servers(tmp_path / "ours") as named:
        environment = {"REDIS_URL": named.redis_url, "MONGO_URL": named.mongo_url}
        with open_servers(tmp_path / "theirs", environment) as servers:
            assert (servers.redis_url, servers.mongo_url) == (named.redis_url, named.mongo_url)
            assert servers.own == ()
            assert servers.redis_is_shared
            assert servers.mongo_is_shared
        assert redis.Redis.from_url(named.redis_url).ping()
    assert not (tmp_path / "theirs").exists()


@pytest.mark.parametrize("name", ["REDIS_URL", "MONGO_URL"])
def test_a_named_server_that_is_away_is_named(tmp_path: Path, name: str) -> None:
    scheme = "redis" if name == "REDIS_URL" else "mongodb"
    environment = {name: f"{scheme}://127.0.0.1:{free_port()}"}
    with pytest.raises(StartError, match=name), open_servers(tmp_path, environment):
        pass


def test_a_command_that_ends_at_once_is_named_with_its_last_words(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "dump.rdb").write_text("no snapshot of Redis")
    with pytest.raises(StartError, match="valkey ended at once"), valkey_server(tmp_path):
        pass


def test_a_child_that_ignores_sigterm_is_killed_and_named(tmp_path: Path) -> None:
    code = "import signal as s, time; s.signal(s.SIGTERM, s.SIG_IGN); print('deaf', flush=True); time.sleep(99)"
    child = ChildProcess("deaf", [sys.executable, "-c", code], log_path=tmp_path / "deaf.log")
    assert _wait_for(lambda: child.last_lines() == "deaf")
    assert child.end(grace_seconds=0.2) is False
    assert child.was_killed
    assert child.exit_code == -signal.SIGKILL


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the parent-death signal is Linux's")
def test_a_killed_console_takes_its_servers_along(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from tests.shared.servers import valkey_server\n"
        f"with valkey_server(Path({str(tmp_path)!r})) as server:\n"
        "    print(server.process.pid, flush=True); time.sleep(60)\n"
    )
    console = subprocess.Popen([sys.executable, "-c", code], cwd=_ROOT, stdout=subprocess.PIPE, text=True)
    assert console.stdout is not None
    pid = int(console.stdout.readline())
    console.kill()
    console.wait()
    assert _wait_for(lambda: not _is_running(pid))
