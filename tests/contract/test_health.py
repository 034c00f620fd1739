"""Health reports in a real Valkey: the newest one, whole, for as long as its process keeps reporting."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import redis
import structlog

from tests.shared.servers import ValkeyServer, free_port, valkey_server
from utils.keys import Keys
from utils.stores.health import HealthReport, read_health
from utils.stores.redis_connection import open_redis

KEYS = Keys("demo:")


def test_what_is_written_can_be_read_by_name(client: redis.Redis) -> None:
    assert HealthReport(client, KEYS, "connect", 15).write({"frames": 12, "lag_ms": 1.5, "state": "up"})
    assert HealthReport(client, KEYS, "candle_worker:0", 15).write({"candles": 3})
    assert read_health(client, KEYS) == {
        "candle_worker:0": {"candles": "3"},
        "connect": {"frames": "12", "lag_ms": "1.5", "state": "up"},
    }


def test_the_names_other_programs_rely_on(client: redis.Redis) -> None:
    HealthReport(client, KEYS, "connect", 15).write({"state": "up"})
    assert client.hgetall("demo:health:connect") == {b"state": b"up"}
    assert 0 < client.ttl("demo:health:connect") <= 15


def test_each_report_replaces_the_whole_last_one(client: redis.Redis) -> None:
    report = HealthReport(client, KEYS, "connect", 15)
    report.write({"state": "down", "reason": "403"})
    report.write({"state": "up"})
    assert read_health(client, KEYS) == {"connect": {"state": "up"}}


def test_each_report_starts_the_time_to_live_anew(client: redis.Redis) -> None:
    report = HealthReport(client, KEYS, "connect", 600)
    report.write({"state": "up"})
    client.expire("demo:health:connect", 300)
    report.write({"state": "up"})
    assert client.ttl("demo:health:connect") > 300


def test_a_process_that_stops_reporting_disappears(client: redis.Redis) -> None:
    for name in ("gone", "there"):
        HealthReport(client, KEYS, name, 600).write({"state": "up"})
    assert set(read_health(client, KEYS)) == {"gone", "there"}
    client.pexpire("demo:health:gone", 1)
    deadline = time.monotonic() + 60
    while "gone" in read_health(client, KEYS) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert read_health(client, KEYS) == {"there": {"state": "up"}}


def test_runs_under_other_prefixes_are_not_seen(client: redis.Redis) -> None:
    HealthReport(client, Keys(), "connect", 15).write({"state": "live"})
    assert read_health(client, KEYS) == {}
    assert read_health(client, Keys()) == {"connect": {"state": "live"}}


def test_redis_away_is_false_for_the_writer_and_an_error_for_the_reader() -> None:
    nowhere = open_redis(f"redis://127.0.0.1:{free_port()}/0")
    assert HealthReport(nowhere, KEYS, "connect", 15).write({"state": "up"}) is False
    with pytest.raises(redis.RedisError):
        read_health(nowhere, KEYS)


def test_a_report_survives_a_servers_restart(tmp_path: Path) -> None:
    with valkey_server(tmp_path) as server:
        client = open_redis(server.url)
        report = HealthReport(client, KEYS, "connect", 15)
        assert report.write({"state": "up"})
        server.kill()
        assert not report.write({"state": "up"})
        server.start()
        assert report.write({"state": "back"})
        assert read_health(client, KEYS)["connect"] == {"state": "back"}


def test_a_report_that_redis_refuses_is_logged_once(client: redis.Redis, valkey: ValkeyServer) -> None:
    """Without a word the process would only seem not to run."""
    reader = HealthReport(open_redis(valkey.url_of("reader")), Keys(), "connector", 15)
    with structlog.testing.capture_logs() as logs:
        assert not reader.write({"state": "up"})
        assert not reader.write({"state": "up"})
    assert [log["event"] for log in logs] == ["the health report is not written"]
    assert "denies the user of REDIS_URL" in logs[0]["reason"]


def test_a_report_while_redis_is_away_is_not_logged_here() -> None:
    away = HealthReport(open_redis(f"redis://127.0.0.1:{free_port()}/0"), KEYS, "connector", 15)
    with structlog.testing.capture_logs() as logs:
        assert not away.write({"state": "up"})
    assert logs == []
