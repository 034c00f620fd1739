"""Whether a text is a URL of Redis or MongoDB that means what its reader takes it for.

A special character in a password is the usual mistake. The usual URLs of MongoDB are known without its client, whose
import takes 0.15 s.
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from urllib.parse import parse_qsl

import redis

SPECIAL = (
    "a special character stands where none may, in the password perhaps: "
    "write @ as %40, # as %23, / as %2F, ? as %3F, : as %3A, % as %25, others likewise"
)
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~!$&'()*,;=+-]|%[0-9A-Fa-f]{2})*")


class UrlError(ValueError):
    """What is wrong with a URL: one sentence, which shows no part of it that may be secret."""


@dataclass(frozen=True, slots=True)
class StoreUrl:
    """The parts, as they stand in the URL; `path` and `query` without the sign before them."""

    scheme: str
    user: str
    hosts: str
    path: str
    query: str


def split_store_url(url: str) -> StoreUrl:
    """UrlError where a password may have been read as something else: it would land in logs as a host or a path."""
    scheme, _, rest = url.partition("://")
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    path, _, query = rest[len(authority) :].partition("?")
    user, _, hosts = authority.rpartition("@")
    if "#" in rest or "@" in path or "@" in query or user.count(":") > 1:
        raise UrlError(SPECIAL)
    if not all(_PLAIN.fullmatch(part) for part in user.split(":")):
        raise UrlError(SPECIAL)
    return StoreUrl(scheme, user, hosts, path.removeprefix("/"), query)


_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
_REDIS_OPTIONS_ALLOWED = frozenset({"db", "username", "password", "client_name"})
_REDIS_OPTIONS_OF_OURS = frozenset(
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

    Options that name the server may be in it. How to talk (time-outs, protocol, decoding) is measured and
    fixed in `utils/stores/redis_connection.py`; the client would let the URL have its way.
    """
    parts = split_store_url(url)
    if parts.scheme != "unix":
        _check_host(parts.hosts)
        if not re.fullmatch("[0-9]{0,4}", parts.path):
            raise UrlError("after its host stands more than the number of a database, such as /0")
    options = parse_qsl(parts.query, keep_blank_values=True)
    for name, _ in options:
        if name not in _REDIS_OPTIONS_ALLOWED and not name.startswith("ssl_"):
            raise UrlError(f"its option {_shown(name)} is not for the URL to set: take it out")
    if parts.path and parts.scheme != "unix" and any(name == "db" for name, _ in options):
        raise UrlError("it names two databases, one behind / and one as db=: keep one")
    if not _can_be_opened(url):
        raise UrlError("its options, user or database cannot be read: see the server's manual for its URL")


def _check_host(hosts: str) -> None:
    found = _HOST.fullmatch(hosts)
    if found is None or not 0 < int((found[2] or ":6379")[1:]) <= HIGHEST_PORT:
        raise UrlError(
            "its host and port cannot be read: write one of each, such as 127.0.0.1:6379, and special characters "
            "in a password as %XX"
        )


def _shown(name: str) -> str:
    """An `&` in a password makes an option of what follows."""
    return name if name in _REDIS_OPTIONS_OF_OURS else "…"


def _can_be_opened(url: str) -> bool:
    """Whether the client understands all of it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            redis.ConnectionPool.from_url(url).make_connection()
    except Exception:  # of any kind: TypeError, ValueError, those of the client
        return False
    return True


MONGO_URL_EXAMPLE = "a MongoDB URL such as mongodb://127.0.0.1:27017"

_USUAL_MONGO_URL = re.compile(
    r"mongodb://([A-Za-z0-9_-]+:[A-Za-z0-9_-]+@)?"
    r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(/(\?authSource=[A-Za-z0-9_]+(&journal=true)?)?)?"
)
_APP_NAME = re.compile(r"([?&]appName=)@[A-Za-z0-9_-]+@", re.IGNORECASE)  # as Azure writes it
_SRV_OPTION = re.compile("[?&]srv[A-Za-z]+=", re.IGNORECASE)
_MONGO_OPTIONS_OF_OURS = (
    "timeoutMS",
    "datetime_conversion",
    "unicode_decode_error_handler",
    "document_class",
    "type_registry",
    "connect",
)


def is_mongo_url(url: str) -> bool:
    """Whether the client understands all of it, and as it is meant."""
    try:
        check_mongo_url(url)
    except UrlError:
        return False
    return True


def check_mongo_url(url: str) -> None:
    """UrlError in one sentence. Time-outs, retries and time zones of ours win over the URL's; what would change what
    a write promises or what a value is read as may not stand in it. Of `mongodb+srv` only DNS knows the hosts.
    """
    if _USUAL_MONGO_URL.fullmatch(url):
        return
    parts = split_store_url(_APP_NAME.sub(r"\1", url))
    if "+" in parts.user:
        raise UrlError(f"{SPECIAL}, + as %2B")  # the client reads a + as a blank
    _check_options(parts)
    if not _is_parsed(url):
        raise UrlError(
            "its options (or a file that they name), user or database cannot be read: see the server's manual for "
            "its URL"
        )


def _check_options(parts: StoreUrl) -> None:
    options = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    if options.get("w") == "0":
        raise UrlError("with w=0 a write is never acknowledged, and lost ones go unnoticed: take it out")
    if options.get("journal") == "false":
        raise UrlError("with journal=false a write may be lost after it was acknowledged: take it out")
    for name in _MONGO_OPTIONS_OF_OURS:
        if name.lower() in options:
            raise UrlError(f"its option {name} is not for the URL to set: take it out")


def _is_parsed(url: str) -> bool:
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415 - the connector never talks to MongoDB

    if url.startswith("mongodb+srv://"):
        if _SRV_OPTION.search(url):
            return True
        url = url.replace("+srv", "", 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # they would show a part of a password with `?` or `&` in it
            parse_uri(url, warn=False)
    except Exception:  # of any kind: TypeError, ValueError, the client's own
        return False
    return True
