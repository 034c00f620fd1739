"""Whether a text is a URL of MongoDB. The usual ones are known without its client, whose import takes 0.15 s."""

from __future__ import annotations

import re
import warnings
from urllib.parse import parse_qsl

from utils.runtime.store_url import SPECIAL, StoreUrl, UrlError, split_store_url

AS_WANTED = "a MongoDB URL such as mongodb://127.0.0.1:27017"

_USUAL = re.compile(
    r"mongodb://([A-Za-z0-9_-]+:[A-Za-z0-9_-]+@)?"
    r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(/(\?authSource=[A-Za-z0-9_]+(&journal=true)?)?)?"
)
_APP_NAME = re.compile(r"([?&]appName=)@[A-Za-z0-9_-]+@", re.IGNORECASE)  # as Azure writes it
_SRV_OPTION = re.compile("[?&]srv[A-Za-z]+=", re.IGNORECASE)
_OURS = (
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
    if _USUAL.fullmatch(url):
        return
    parts = split_store_url(_APP_NAME.sub(r"\1", url))
    if "+" in parts.user:
        raise UrlError(f"{SPECIAL}, + as %2B")  # the client reads a + as a blank
    _check_options(parts)
    if not _is_parsed(url):
        raise UrlError(
            "its options (or a file that they name), user or database can not be read: see the server's manual for "
            "its URL"
        )


def _check_options(parts: StoreUrl) -> None:
    options = {name.lower(): value for name, value in parse_qsl(parts.query, keep_blank_values=True)}
    if options.get("w") == "0":
        raise UrlError("with w=0 a write is never acknowledged, and lost ones go unnoticed: take it out")
    if options.get("journal") == "false":
        raise UrlError("with journal=false a write may be lost after it was acknowledged: take it out")
    for name in _OURS:
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
