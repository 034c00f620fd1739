"""What the URLs of Redis and MongoDB have in common: a password in one is where people go wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
