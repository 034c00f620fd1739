"""Whether a text is a URL of MongoDB. The usual ones are known without its client, whose import takes 0.15 s."""

from __future__ import annotations

import re
import warnings

AS_WANTED = "a MongoDB URL such as mongodb://127.0.0.1:27017"

_USUAL = re.compile(
    r"mongodb://([A-Za-z0-9_-]+:[A-Za-z0-9_-]+@)?"
    r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:([1-9][0-9]{0,3}|[1-5][0-9]{4}))?"
    r"(/(\?authSource=[A-Za-z0-9_]+(&journal=true)?)?)?"
)


def is_mongo_url(url: str) -> bool:
    """Whether the client understands all of it. Of `mongodb+srv` only DNS knows: it is taken as it is."""
    return url.startswith("mongodb+srv://") or _USUAL.fullmatch(url) is not None or _is_parsed(url)


def _is_parsed(url: str) -> bool:
    from pymongo.uri_parser import parse_uri  # noqa: PLC0415 - the connector never talks to MongoDB

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # they would show a part of a password with `?` or `&` in it
            parse_uri(url, warn=False)
    except Exception:  # of any kind: TypeError, ValueError, the client's own
        return False
    return True
