"""One place makes clients of Redis: what was measured about time-outs and repeated writes holds for all of them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).parents[3]
THE_ONE = REPO / "utils/stores/redis_connection.py"
CLASSES = {"Redis", "StrictRedis", "RedisCluster", "Sentinel", "NamingRedis"}


def made_in(source: str) -> Iterator[str]:
    """Calls such as `redis.Redis(...)`, `Redis.from_url(...)`, `redis.from_url(...)`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            *owner, last = name.split(".")
            if last in CLASSES or (last == "from_url" and (not owner or owner[-1] in {"redis", *CLASSES})):
                yield name


def test_nothing_else_makes_a_client_of_redis() -> None:
    paths = [*REPO.glob("*.py"), *REPO.glob("utils/**/*.py"), *REPO.glob("commands/**/*.py")]
    assert len(paths) > 150
    found = {str(path.relative_to(REPO)): list(made_in(path.read_text())) for path in paths if path != THE_ONE}
    assert {path: names for path, names in found.items() if names} == {}
    assert list(made_in(THE_ONE.read_text())) == ["NamingRedis.from_url"]


@pytest.mark.parametrize("call", ["redis.Redis()", "Redis(port=1)", "redis.from_url(u)", "redis.Redis.from_url(u)"])
def test_each_way_to_make_one_is_found(call: str) -> None:
    assert list(made_in(f"x = {call}")) == [call.partition("(")[0]]
