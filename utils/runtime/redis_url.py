"""Whether a text is a URL of Redis that means what its reader takes it for."""

from __future__ import annotations

import re
import warnings
from urllib.parse import parse_qsl

import redis

from utils.runtime.store_url import UrlError, split_store_url

_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_THEIRS = frozenset({"db", "username", "password", "client_name"})
_OURS = frozenset(
    {
        *("decode_responses", "encoding", "encoding_errors", "protocol", "legacy_responses"),
        *("socket_timeout", "socket_connect_timeout", "socket_keepalive", "socket_read_size", "timeout"),
        *("health_check_interval", "retry_on_timeout", "retry_on_error", "max_connections"),
        "single_connection_client",
    }
)
HIGHEST_PORT = 65_535


def check_redis_url(url: str) -> None:
    """UrlError in one sentence. Nothing is connected to.

    Options that say whom to talk to may stand in it. How to talk (time-outs, protocol, decoding) is measured and
    fixed in `utils/stores/redis_connection.py`; the client would let the URL have its way.
    """
    parts = split_store_url(url)
    if parts.scheme != "unix":
        _check_host(parts.hosts)
        if not re.fullmatch("[0-9]{0,4}", parts.path):
            raise UrlError("after its host stands more than the number of a database, such as /0")
    options = parse_qsl(parts.query, keep_blank_values=True)
    for name, _ in options:
        if name not in _THEIRS and not name.startswith("ssl_"):
            raise UrlError(f"its option {_shown(name)} is not for the URL to set: take it out")
    if parts.path and parts.scheme != "unix" and any(name == "db" for name, _ in options):
        raise UrlError("it names two databases, one behind / and one as db=: keep one")
    if not _can_be_opened(url):
        raise UrlError("its options, user or database can not be read: see the server's manual for its URL")


def _check_host(hosts: str) -> None:
    found = _HOST.fullmatch(hosts)
    if found is None or not 0 < int((found[2] or ":6379")[1:]) <= HIGHEST_PORT:
        raise UrlError(
            "its host and port can not be read: write one of each, such as 127.0.0.1:6379, and special characters "
            "in a password as %XX"
        )


def _shown(name: str) -> str:
    """An `&` in a password makes an option of what follows."""
    return name if name in _OURS else "…"


def _can_be_opened(url: str) -> bool:
    """Whether the client understands all of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            redis.Redis.from_url(url).connection_pool.make_connection()
    except Exception:  # of any kind: TypeError, ValueError, those of the client
        return False
    return True
