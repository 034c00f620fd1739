"""A Valkey for the tests of a file, which find it empty. Who kills it, or fills it up, starts one of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tests.servers import valkey_server
from utils.stores.redis_connection import open_redis


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with valkey_server(tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    opened = open_redis(redis_url)
    opened.flushall()
    yield opened
    opened.close()
