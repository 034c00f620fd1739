"""The refusal of the broker, read from its answer, and the cause behind it with its remedy and its wait.

An answer is `{"status": "error", "error_type": "TokenException", "message": "…"}` (Kite Connect v3, "Exceptions and
errors"). One status has several causes: 403 is a dead token, and an app without market data, too. Who acts on a
cause: connector/connection.py (WebSocket), signals/warmup.py (history), commands/login.py.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

LONGEST_TEXT = 160
LONGEST_BODY = 1 << 16  # of a refusal; more of it is not looked at
SHORTEST_SECRET = 6
FORBIDDEN, TOO_MANY_REQUESTS, SERVER_ERROR = 403, 429, 500

_TITLE = re.compile(rb"<title>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LOOKS_SECRET = re.compile(r"\b(?=\w*\d)[A-Za-z0-9_-]{24,}\b|(?<=token=)[^\s&\"']+|(?<=api_key=)[^\s&\"']+")


class Cause(Enum):
    """What to do, and how long to wait before asking again (seconds; None: until there is another token)."""

    TOKEN = ("the access token is not valid any more: log in with 'python manage.py login'", None)
    PERMISSION = (
        "the Kite app has no market data: at developers.kite.trade its plan must be Connect, which brings WebSocket "
        "and history; another login does not help",
        900.0,
    )
    USER = ("the app belongs to another Zerodha user: log in as the one who is named at developers.kite.trade", None)
    KEY = ("API_KEY is not that of an active Kite app: compare it with developers.kite.trade", 300.0)
    CHECKSUM = ("API_SECRET does not belong to API_KEY: compare both with developers.kite.trade", None)
    THROTTLED = ("too many requests or connections: see whether another program uses this API_KEY", 60.0)
    SERVERS = ("the broker's own servers are in trouble: nothing to do but wait", 10.0)
    BLOCKED = (
        "what stands before the broker's servers does not let this machine's address through: try from another "
        "network, or ask Zerodha; another login does not help",
        300.0,
    )
    UNCLEAR = (
        "the access token is not valid any more, or the Kite app has no market data: log in with "
        "'python manage.py login', and if that changes nothing, see the app's plan at developers.kite.trade",
        None,
    )
    UNKNOWN = ("", 10.0)

    def __init__(self, sentence: str, wait_seconds: float | None) -> None:
        self.sentence = sentence
        self.wait_seconds = wait_seconds


@dataclass(frozen=True, slots=True)
class BrokerError:
    """One refusal: `error_type` and `message` are empty when the answer does not hold them."""

    status: int
    error_type: str = ""
    message: str = ""

    @property
    def cause(self) -> Cause:
        return next((cause for cause, is_it in _KNOWN if is_it(self, self.message.lower())), Cause.UNKNOWN)

    @property
    def sentence(self) -> str:
        """The cause with its remedy, and the text of the broker; only the latter when the cause is not known."""
        known = self.cause.sentence
        return f"{known} ({self})" if known else str(self)

    def __str__(self) -> str:
        """`PermissionException 403: Insufficient permission for that call.`"""
        name = f"{self.error_type} {self.status}" if self.error_type else f"HTTP {self.status}"
        return f"{name}: {self.message}" if self.message else name


# Words in the titles of pages that a proxy sends in the broker's place.
_BLOCKING = ("cloudflare", "denied", "blocked", "just a moment", "captcha")
_PAGE = "a web page, "


def _is_page(error: BrokerError) -> bool:
    return error.status == FORBIDDEN and not error.error_type and error.message.startswith(_PAGE)


# In this order. The texts are those that Kite's users report; a type without a known text has its own line below.
_KNOWN: tuple[tuple[Cause, Any], ...] = (
    (Cause.USER, lambda error, text: "not enabled for the app" in text),
    (Cause.CHECKSUM, lambda error, text: "checksum" in text),
    (Cause.KEY, lambda error, text: "api_key" in text and "access_token" not in text),
    (Cause.TOKEN, lambda error, text: error.error_type == "TokenException"),
    (Cause.PERMISSION, lambda error, text: error.error_type == "PermissionException"),
    (Cause.THROTTLED, lambda error, text: error.status == TOO_MANY_REQUESTS or "too many requests" in text),
    (Cause.BLOCKED, lambda error, text: _is_page(error) and any(word in text for word in _BLOCKING)),
    (Cause.UNCLEAR, lambda error, text: error.status == FORBIDDEN and not error.error_type),
    (Cause.SERVERS, lambda error, text: error.status >= SERVER_ERROR),
)


def read_broker_error(status: int, body: bytes, secrets: Iterable[str] = ()) -> BrokerError:
    """The refusal in an answer; what is not the broker's JSON leaves type and message empty, but for a page's title.

    >>> str(read_broker_error(403, b'{"error_type": "TokenException", "message": "Token has expired."}'))
    'TokenException 403: Token has expired.'
    """
    body = body[:LONGEST_BODY]
    begin, end = body.find(b"{"), body.rfind(b"}") + 1  # a proxy may have chunked it
    try:
        content = json.loads(body[begin:end]) if begin >= 0 else None
    except (ValueError, RecursionError):
        content = None
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    if fields.keys().isdisjoint(("error_type", "message")):
        fields = {"message": _title_of(body)}
    error_type, message = (fields.get(name) for name in ("error_type", "message"))
    return BrokerError(
        status,
        shown(error_type) if isinstance(error_type, str) else "",
        shown(message, secrets) if isinstance(message, str) else "",
    )


def _title_of(body: bytes) -> str | None:
    found = _TITLE.search(body)
    title = html.unescape(found[1].decode(errors="replace")).strip() if found else ""
    return f'{_PAGE}"{title}"' if title else None


def shown(text: str, secrets: Iterable[str] = (), longest: int = LONGEST_TEXT) -> str:
    """A text of the broker's for people: on one line, cut at a word, without the secrets or what looks like one.

    >>> shown("Token abc is  refused\\nfor good", ["abc"], longest=20)
    'Token *** is refused…'
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        # A short one is matched as a word only, or each of its letters would go out of every word.
        line = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", line)
        line = line.replace(secret, "***") if len(secret) >= SHORTEST_SECRET else line
    line = _LOOKS_SECRET.sub("***", line)
    if len(line) <= longest:
        return line
    head = line[: longest + 1].rpartition(" ")[0] or line[:longest]
    return f"{head}…"
