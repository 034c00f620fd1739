"""What the Redis server is like: cluster mode, eviction, memory and disk, from one INFO; and what an update left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import redis

from utils.keys import Keys
from utils.stores.old_layout import old_keys_sentence
from utils.stores.redis_failure import ClusterModeError, RedisFailure
from utils.stores.redis_tls import check_tls

if TYPE_CHECKING:
    from utils.runtime.log import BoundLogger

EVICTS_NOTHING = "noeviction"
FULL = 0.95  # of maxmemory
NOT_SHOWN = (
    "Redis does not show this user how it is set up, so cluster mode and eviction are not checked: "
    "allow the user of REDIS_URL the command INFO."
)

Info = Mapping[str, Any]
_NUMBER = re.compile("[0-9][0-9,]*")


def read_info(client: redis.Redis) -> Info | None:
    """None where the user may not ask. TlsMismatchError, RedisError."""
    try:
        found: Any = client.info()
    except redis.exceptions.NoPermissionError:
        return None
    except (redis.ConnectionError, redis.TimeoutError) as error:
        check_tls(client, error)
        raise
    except redis.ResponseError as error:
        if "unknown command" in str(error):  # some providers take it away
            return None
        raise
    return found if isinstance(found, Mapping) else None


def is_cluster(info: Info) -> bool:
    """Whether keys are spread over nodes, even if there is only one."""
    return str(info.get("cluster_enabled", "0")) == "1"


def dangers(info: Info) -> Iterator[str]:
    """What can lose data or stop it soon: a sentence each. Cluster mode is not among them."""
    policy = str(info.get("maxmemory_policy", EVICTS_NOTHING))
    if policy != EVICTS_NOTHING:
        yield (
            f"Redis may evict (delete) candles, snapshots and frames when its memory is full: "
            f"set its maxmemory-policy to noeviction (it is {policy})."
        )
    if info.get("role") == "slave":
        yield "REDIS_URL names a replica, which takes no writes: let it name the primary."
    if "err" in (info.get("aof_last_write_status"), info.get("rdb_last_bgsave_status")):
        yield "Redis could not save to its disk the last time: free that disk, and see Redis' log."
    yield from _of_memory(info)


def _of_memory(info: Info) -> Iterator[str]:
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if limit and used > FULL * limit:
        yield (
            f"Redis has used {used >> 20:,} MB of its maxmemory of {limit >> 20:,} MB: "
            "raise it (REDIS_MAXMEMORY), or lower STREAM_MAX_MB."
        )


def check_redis(client: redis.Redis) -> Info | None:
    """What INFO gives. ClusterModeError, RedisError."""
    info = read_info(client)
    if info is not None and is_cluster(info):
        raise ClusterModeError(RedisFailure.CLUSTER.sentence)
    return info


class ServerCheck:
    """Looks at the server once, and again after `forget`: another one may answer after an outage."""

    def __init__(self, client: redis.Redis, keys: Keys, log: BoundLogger) -> None:
        self._client = client
        self._keys = keys
        self._log = log
        self._logged: set[str] = set()
        self._is_done = False

    def forget(self) -> None:
        """The next look is a real one."""
        self._is_done = False

    def look(self) -> None:
        """Logs each danger once, and what an update left. ClusterModeError, RedisError."""
        if self._is_done:
            return
        info = check_redis(self._client)
        if info is None:
            self._log_once(self._log.warning, NOT_SHOWN)
        for sentence in dangers(info or {}):
            self._log_once(self._log.error, sentence)
        left = old_keys_sentence(self._client, self._keys)
        if left:
            self._log_once(self._log.warning, left)
        self._is_done = True

    def _log_once(self, log: Callable[[str], Any], sentence: str) -> None:
        kind = _NUMBER.sub("#", sentence)  # how full it is changes with each look
        if kind not in self._logged:
            self._logged.add(kind)
            log(sentence)
