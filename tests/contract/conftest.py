"""One Valkey and one MongoDB for all tests of a worker process of pytest: each test finds them empty.

Whoever kills, stops or fills a server is marked `own_valkey`, or starts one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pymongo
import pytest
import redis

from tests.shared.servers import EmbeddedServer, ServerUrls, ValkeyServer, mongo_server, valkey_server
from utils.stores.redis_connection import open_redis

OF_MONGODB = ("admin", "config", "local")


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    with valkey_server(tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture(scope="session")
def shared_mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """For tests that take a database of their own, or `mongo`."""
    with mongo_server(tmp_path_factory.mktemp("shared")) as server:
        yield server


@pytest.fixture(scope="session")
def servers(shared_valkey: ValkeyServer, shared_mongo: EmbeddedServer) -> ServerUrls:
    """Both, for runs that have a prefix and a database of their own in them; the URL is the administrator's."""
    return ServerUrls(shared_valkey.url, shared_mongo.url, (), True, True)


@pytest.fixture
def valkey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """Empty: no keys, no scripts."""
    if request.node.get_closest_marker("own_valkey"):
        with valkey_server(tmp_path_factory.mktemp("own")) as own:
            yield own
        return
    shared: ValkeyServer = request.getfixturevalue("shared_valkey")
    with closing(open_redis(shared.url)) as administrator:
        administrator.flushall()
        administrator.script_flush()
    yield shared


@pytest.fixture
def mongo(shared_mongo: EmbeddedServer) -> EmbeddedServer:
    """Without any database."""
    with pymongo.MongoClient[dict[str, object]](shared_mongo.url) as client:
        for name in client.list_database_names():
            if name not in OF_MONGODB:
                client.drop_database(name)
    return shared_mongo


@pytest.fixture
def redis_url(valkey: ValkeyServer) -> str:
    return valkey.url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with closing(open_redis(redis_url)) as opened:
        yield opened
