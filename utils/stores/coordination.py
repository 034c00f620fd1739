"""What the workers of a role need of Redis to share its shards: leases, one report, and a way to meet its errors."""

from __future__ import annotations

from utils.keys import Keys
from utils.runtime.log import BoundLogger
from utils.runtime.settings import Settings
from utils.runtime.shard_worker import Coordination
from utils.stores.health import SharedHealth
from utils.stores.leases import ShardLeases
from utils.stores.redis_connection import open_redis
from utils.stores.redis_guard import RedisGuard, check_at_start


def coordinate(settings: Settings, role: str, log: BoundLogger) -> Coordination:
    """After a look at Redis: FatalError where it can be of no use; one that is away is waited for."""
    server = check_at_start(settings, log)
    client, keys = open_redis(settings.redis_url.get_secret_value()), Keys(settings.redis_prefix)
    leases = ShardLeases(client, keys, role, settings.shards, settings.lease_seconds)
    health = SharedHealth(client, keys, role, leases.owner, settings.health_ttl_seconds)
    return Coordination(leases, health, RedisGuard(server, log))
