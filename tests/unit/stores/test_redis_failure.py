"""Each error of Redis has its kind: what passes is an outage, and everything else names what it is and what to do."""

from __future__ import annotations

import pytest
import redis
from redis import exceptions

from commands.doctor.stores import redis_findings, refused_findings
from utils.runtime.lifecycle import EXIT_BAD_SETTINGS, EXIT_REFUSED
from utils.stores.redis_failure import RedisFailure, StreamAheadError, failure_of
from utils.stores.redis_server import NOT_SHOWN, dangers

WORDS = "Operation against a key holding the wrong kind of value"
# As Redis 7, Valkey 9 and redis-py word them.
KINDS = [
    (redis.ConnectionError("Error 111 connecting to 127.0.0.1:1. Connection refused."), RedisFailure.OUTAGE),
    (redis.ConnectionError("Connection closed by server."), RedisFailure.OUTAGE),
    (redis.TimeoutError("Timeout reading from socket"), RedisFailure.OUTAGE),
    (redis.ConnectionError("Error -2 connecting to rediss:6379. Name or service not known."), RedisFailure.HOST),
    (redis.ConnectionError("Error 1 connecting to r:1. [SSL: WRONG_VERSION_NUMBER] wrong"), RedisFailure.TLS),
    (redis.InvalidResponse("Protocol Error: b'HTTP/1.1 400'"), RedisFailure.NO_REDIS),
    (redis.BusyLoadingError("Redis is loading the dataset in memory"), RedisFailure.NOT_READY),
    (redis.ReadOnlyError("You can't write against a read only replica."), RedisFailure.NOT_READY),
    (redis.ResponseError("READONLY You can't write against a replica script: on @f:2."), RedisFailure.NOT_READY),
    (exceptions.MasterDownError("Link with MASTER is down"), RedisFailure.NOT_READY),
    (redis.ResponseError("NOREPLICAS Not enough good replicas to write."), RedisFailure.NOT_READY),
    (redis.ConnectionError("max number of clients reached"), RedisFailure.NOT_READY),
    (exceptions.NoScriptError("No matching script."), RedisFailure.NOT_READY),
    (redis.AuthenticationError("invalid username-password pair or user is disabled."), RedisFailure.CREDENTIALS),
    (redis.AuthenticationError("Authentication required."), RedisFailure.CREDENTIALS),
    (redis.ResponseError("DB index is out of range"), RedisFailure.DATABASE),
    (exceptions.NoPermissionError("User reader has no permissions to run the 'set' command"), RedisFailure.RIGHTS),
    (redis.ResponseError("ACL failure in script: User x has no permissions to run the 'xadd'"), RedisFailure.RIGHTS),
    (redis.ResponseError(f"WRONGTYPE {WORDS}"), RedisFailure.TYPE),
    (redis.ResponseError(f"Command # 1 (HSET closed:{{a}} a 1) of pipeline caused error: WRONGTYPE {WORDS}"),
     RedisFailure.TYPE),
    (exceptions.MovedError("12182 127.0.0.1:30002"), RedisFailure.CLUSTER),
    (exceptions.ClusterCrossSlotError("Keys in request don't hash to the same slot"), RedisFailure.CLUSTER),
    (exceptions.ClusterDownError("Hash slot not served"), RedisFailure.CLUSTER),
    (redis.ResponseError("SELECT is not allowed in cluster mode"), RedisFailure.CLUSTER),
    (redis.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), RedisFailure.MEMORY),
    (redis.ResponseError("MISCONF Redis is configured to save RDB snapshots, but it's currently unable to"),
     RedisFailure.DISK),
    (redis.ResponseError("user_script:5: attempt to get length of local 'b_ms' (a nil value)"), RedisFailure.SCRIPT),
    (redis.ResponseError("Error compiling script (new function): user_script:1: unexpected"), RedisFailure.SCRIPT),
    (redis.ResponseError("unknown command 'XAUTOCLAIM', with args beginning with: 'a'"), RedisFailure.COMMAND),
    (StreamAheadError("closed:{a}", "published:{a}"), RedisFailure.STREAM),
    (redis.ResponseError("syntax error"), RedisFailure.OTHER),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind"), KINDS, ids=lambda failure: failure.name if isinstance(failure, RedisFailure) else ""
)
def test_an_error_has_its_kind(error: redis.RedisError, kind: RedisFailure) -> None:
    failure = failure_of(error)
    assert failure.kind is kind
    assert failure.sentence.endswith(".") and " script: on" not in failure.sentence
    assert "{" not in failure.sentence.replace("{a}", ""), "a gap of a sentence that was not filled in"
    assert ("does not answer" in failure.sentence) == (kind is RedisFailure.OUTAGE)


def test_only_what_passes_by_itself_is_an_outage() -> None:
    outages = {kind for error, kind in KINDS if failure_of(error).is_outage}
    assert outages == {RedisFailure.OUTAGE, RedisFailure.NOT_READY, RedisFailure.HOST}


def test_the_exit_code_names_whose_matter_it_is() -> None:
    codes = {kind: kind.exit_code for kind in RedisFailure if kind.exit_code}
    settings = {RedisFailure.CREDENTIALS, RedisFailure.DATABASE, RedisFailure.CLUSTER, RedisFailure.TLS_MISMATCH}
    refused = {RedisFailure.RIGHTS, RedisFailure.TYPE, RedisFailure.COMMAND, RedisFailure.SCRIPT, RedisFailure.STREAM}
    assert codes == {**dict.fromkeys(settings, EXIT_BAD_SETTINGS), **dict.fromkeys(refused, EXIT_REFUSED)}


@pytest.mark.parametrize(
    ("info", "word"),
    [
        ({"maxmemory_policy": "allkeys-lru"}, "maxmemory-policy to noeviction (it is allkeys-lru)"),
        ({"maxmemory_policy": "volatile-ttl"}, "(it is volatile-ttl)"),
        ({"used_memory": 199 << 20, "maxmemory": 200 << 20}, "199 MB of its maxmemory of 200 MB"),
        ({"role": "slave"}, "a replica"),
        ({"aof_last_write_status": "err"}, "could not save to its disk"),
        ({"rdb_last_bgsave_status": "err"}, "could not save to its disk"),
    ],
)
def test_what_endangers_the_data_is_a_sentence(info: dict[str, object], word: str) -> None:
    (sentence,) = dangers({"maxmemory_policy": "noeviction", "role": "master", **info})
    assert word in sentence


def test_a_server_as_it_should_be_is_no_finding() -> None:
    info = {
        "maxmemory_policy": "noeviction",
        "used_memory": 5,
        "maxmemory": 0,
        "role": "master",
        "cluster_enabled": 0,
    }
    assert list(redis_findings(info)) == []


def test_the_doctor_reports_that_it_could_not_look() -> None:
    (finding,) = redis_findings(None)
    assert finding.sentence == NOT_SHOWN and not finding.is_problem


def test_the_doctor_shows_what_redis_refused_a_worker() -> None:
    (finding,) = refused_findings({"candle_worker": {"redis_fault": "It is so."}, "x": {}}, ["candle_worker", "x"])
    assert (finding.process, finding.sentence, finding.is_problem) == ("candle_worker", "It is so.", True)
