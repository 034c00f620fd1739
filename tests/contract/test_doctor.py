"""`manage.py doctor` as a container calls it: a real process, a real Valkey, reports with a real time to live."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.shared.pages import Example, example_text
from tests.shared.servers import free_port
from utils.keys import Keys
from utils.kite.refusals import BrokerError
from utils.stores.health import HealthReport

_ROOT = Path(__file__).resolve().parents[2]
_AT_TEN_MS = 1_795_149_000_000  # 2026-11-20 10:00 IST
_PREFIX = "doctored:"


def _doctor(directory: Path, redis_url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """At 10:00:20 market time, standing nearly still."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    environment |= {"REDIS_URL": redis_url, "REDIS_PREFIX": _PREFIX, "INSTRUMENTS": "NSE:INFY"}
    environment["MARKET_CLOCK"] = f"2026-11-20T10:00:20@0.001@{time.time():.3f}"
    return subprocess.run(
        [sys.executable, str(_ROOT / "manage.py"), "doctor", *arguments],
        capture_output=True, text=True, cwd=directory, env=environment, timeout=60, check=False,
    )  # fmt: skip


def _report_connector(client: redis.Redis, last_frame_ms: int) -> None:
    fields: dict[str, str | int] = {"shards": 1, "instruments": 1, "shard0_instruments": 1, "shard0_state": "up"}
    fields |= {"shard0_last_frame_ms": last_frame_ms, "shard0_sent_to": f"{last_frame_ms}-0"}
    assert HealthReport(client, Keys(_PREFIX), "connector", ttl_seconds=60).write(fields)


def test_fresh_frames_are_well(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    _report_connector(client, _AT_TEN_MS + 19_999)
    done = _doctor(tmp_path, redis_url, "--process", "connector")
    assert (done.returncode, done.stderr) == (0, "")
    assert "All is well with connector (in trading hours)." in done.stdout


def test_an_old_last_frame_is_a_problem(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    _report_connector(client, _AT_TEN_MS - 3_570_000)
    done = _doctor(tmp_path, redis_url, "--process", "connector", "--frame-seconds", "3600000")
    assert done.returncode == 0  # the clock stands nearly still: 3600 market seconds are 3 600 000 real ones
    done = _doctor(tmp_path, redis_url, "--process", "connector")
    assert done.returncode == 1
    assert "PROBLEM  connector: connection 0: the last frame came" in done.stdout


def test_without_a_process_all_three_are_looked_at(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    _report_connector(client, _AT_TEN_MS + 19_999)
    done = _doctor(tmp_path, redis_url)
    assert done.returncode == 1
    assert "connector" not in done.stdout
    for name in ("candle_worker", "signal_worker"):
        assert f"PROBLEM  {name}: does not report" in done.stdout


def test_a_report_whose_time_to_live_is_over_counts_no_more(
    tmp_path: Path, redis_url: str, client: redis.Redis
) -> None:
    _report_connector(client, _AT_TEN_MS + 19_999)
    client.pexpire(Keys(_PREFIX).health("connector"), 1)
    while client.exists(Keys(_PREFIX).health("connector")):
        time.sleep(0.01)
    done = _doctor(tmp_path, redis_url, "--process", "connector")
    assert done.returncode == 1
    assert "PROBLEM  connector: does not report" in done.stdout


@pytest.mark.parametrize(("worker", "stream"), [("candle_worker", "ticks:{a}"), ("signal_worker", "closed:{a}")])
def test_a_worker_is_behind_by_how_long_the_oldest_unread_entry_waits(
    tmp_path: Path, redis_url: str, client: redis.Redis, worker: str, stream: str
) -> None:
    read, unread = f"{_AT_TEN_MS - 60_000_000}-0", f"{_AT_TEN_MS - 600}-7"
    for entry_id in (read, unread, f"{_AT_TEN_MS}-0"):
        client.xadd(_PREFIX + stream, {"json": "{}"}, id=entry_id)
    report = HealthReport(client, Keys(_PREFIX), worker, ttl_seconds=60)
    report.write({"position_0": unread, "lag_ms": 99_000_000})
    assert _doctor(tmp_path, redis_url, "--process", worker, "--lag-seconds", "20301").returncode == 0
    report.write({"position_0": read})
    done = _doctor(tmp_path, redis_url, "--process", worker, "--lag-seconds", "20301")
    assert done.returncode == 1
    assert f"PROBLEM  {worker}: is 5.7 h behind" in done.stdout  # 20.6 market seconds, a thousand times slower


def test_it_prints_what_the_readme_shows(tmp_path: Path, redis_url: str, client: redis.Redis) -> None:
    """A morning without a login and with a misspelt symbol; then all is well."""
    shown = example_text(Example.PROBLEMS)
    (missing,) = re.findall(r"connector: (1 of INSTRUMENTS .*): correct INSTRUMENTS\.", shown)
    refusal = BrokerError(403, "TokenException", "Incorrect `api_key` or `access_token`.").sentence
    keys, connector = Keys(_PREFIX), {"shards": 1, "instruments": 3, "shard0_instruments": 3}
    refused = {"shard0_state": "no token", "shard0_refusal": refusal, "instruments_missing": missing}
    HealthReport(client, keys, "connector", ttl_seconds=60).write({**connector, **refused})
    HealthReport(client, keys, "candle_worker", ttl_seconds=60).write({"state": "running"})
    signals = HealthReport(client, keys, "signal_worker", ttl_seconds=60)
    signals.write({"state": "running", "rows": 6, "warm_rows": 3})
    done = _doctor(tmp_path, redis_url)
    assert (done.returncode, done.stdout) == (1, shown)
    _report_connector(client, _AT_TEN_MS + 19_999)
    signals.write({"state": "running", "rows": 6, "warm_rows": 6})
    done = _doctor(tmp_path, redis_url)
    assert (done.returncode, done.stdout) == (0, example_text(Example.ALL_IS_WELL))


def test_redis_away_is_a_problem_named_without_its_password(tmp_path: Path) -> None:
    done = _doctor(tmp_path, f"redis://:secret99@127.0.0.1:{free_port()}/0", "--process", "connector")
    assert done.returncode == 1
    assert "Redis does not answer (ConnectionError)" in done.stdout
    assert "secret99" not in done.stdout + done.stderr


def test_a_wrong_setting_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    done = _doctor(tmp_path, "not-a-url")
    assert done.returncode == 2
    assert "REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr


def test_it_imports_nothing_heavy() -> None:
    heavy = "{'pandas', 'numpy', 'numba', 'twisted'}"
    code = f"import sys, commands.doctor.command; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=_ROOT, check=True)
    assert done.stdout.strip() == "[]"
