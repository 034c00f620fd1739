"""Access control: access tokens, connections an api key, requests a second."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, deque
from dataclasses import dataclass, field

MOST_CONNECTIONS = 3
REQUEST_TOKEN = "demo-request"


@dataclass(slots=True)
class Access:
    """Valid tokens and open connections. An empty `api_key` accepts any key."""

    api_key: str
    api_secret: str
    current_token: str
    tokens: set[str] = field(default_factory=set)
    connections: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.tokens.add(self.current_token)

    def is_valid(self, api_key: str, token: str) -> bool:
        return bool(api_key) and self.api_key in ("", api_key) and token in self.tokens

    def is_valid_header(self, header: str) -> bool:
        """Whether a header `token api_key:access_token` is valid."""
        scheme, _, pair = header.partition(" ")
        api_key, _, token = pair.partition(":")
        return scheme == "token" and self.is_valid(api_key, token)

    def accept(self, token: str) -> None:
        """Makes this token valid, and the one that a login gives."""
        self.tokens.add(token)
        self.current_token = token

    def expire(self) -> None:
        """Invalidates every token; a login gives a new one."""
        self.tokens.clear()

    def exchange(self, api_key: str, request_token: str, checksum: str) -> str | None:
        """The access token for a request token, None when the checksum or the request token is wrong."""
        expected = hashlib.sha256((api_key + REQUEST_TOKEN + self.api_secret).encode()).hexdigest()
        if request_token != REQUEST_TOKEN or not hmac.compare_digest(expected, checksum):
            return None
        if self.current_token not in self.tokens:
            self.accept(f"{self.current_token}+")
        return self.current_token


class RateLimit:
    """A limit of requests in any second of real time."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._recent: deque[float] = deque()

    def admits(self, now_seconds: float) -> bool:
        while self._recent and self._recent[0] <= now_seconds - 1:
            self._recent.popleft()
        if len(self._recent) >= self._per_second:
            return False
        self._recent.append(now_seconds)
        return True
