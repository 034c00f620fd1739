"""One connection of the official KiteTicker, made safe. Its traps are those of kiteconnect 5.2.2, read in its source.

Raw frames come through `on_message`, with `on_ticks` unset: nothing is parsed. A ticker is good for one connection
only; whoever wants another one makes a new ticker, because the token is part of the URL.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from autobahn.twisted.websocket import connectWS
from kiteconnect import KiteTicker
from kiteconnect.ticker import KiteTickerClientProtocol
from twisted.internet import reactor as _reactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.ssl import optionsForClientTLS

from utils.journal.records import LONGEST_PAYLOAD
from utils.kite.refusals import LONGEST_BODY, BrokerError, read_broker_error

CONNECT_SECONDS = 10
HANDSHAKE_SECONDS = 10
TOKENS_A_MESSAGE = 500
BODY_SECONDS = 1.0  # for the words of a refusal, which may come after its headers

_UPGRADE_REFUSED = re.compile(r"upgrade failed \((\d{3})")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:\s*(\d{1,9})\s*\r\n")

reactor: Any = _reactor  # twisted puts the real one into the module at run time


def refused_status(reason: str) -> int:
    """The HTTP status of a refused upgrade, 0 for another end: the client shows it in the reason's text only."""
    match = _UPGRADE_REFUSED.search(reason)
    return int(match[1]) if match else 0


class TickerEvents(Protocol):
    """The events of a connection. `ended` comes exactly once, whatever happened, and is the last.

    Its `error` is what the server answered instead of a WebSocket, None when it answered nothing.
    """

    def opened(self) -> None: ...

    def received(self, payload: bytes, is_binary: bool) -> None: ...

    def ended(self, reason: str, error: BrokerError | None) -> None: ...


class _SilentProtocol(KiteTickerClientProtocol):
    """Without the client's pong check: it sends no pings, and one stray pong would end the connection 5 s later."""

    def connectionLost(self, reason: Any) -> None:
        # Only here a certificate for another host is distinguished from a connection that was dropped.
        self.factory.lost_because = reason
        super().connectionLost(reason)

    def failHandshake(self, reason: str) -> None:
        """With the answer's body, which holds the reason of the broker; the client itself would drop it unread."""
        self.wasNotCleanReason = reason
        is_first, self.factory.refusal_body = not hasattr(self.factory, "refusal_body"), _body(self.data)
        if _is_full(self.data):
            super().failHandshake(reason)
        elif is_first:
            reactor.callLater(BODY_SECONDS, super().failHandshake, reason)

    def _loop_ping(self) -> None:
        return

    def _loop_pong_check(self) -> None:
        return


class OneConnection(KiteTicker):
    """A KiteTicker with verified TLS, no retries of its own, and no exception out of a callback."""

    def __init__(
        self, root: str, api_key: str, token: str, events: TickerEvents, on_fault: Callable[[Exception], None]
    ) -> None:
        # The client puts both into the URL as they are.
        super().__init__(quote(api_key, safe=""), quote(token, safe=""), root=root)
        self._events = events
        self._on_fault = on_fault
        self._token = token
        self._reason = ""
        self._connector: Any = None
        self._has_ended = False
        self.on_open = lambda _ticker: self._report(events.opened)
        self.on_message = lambda _ticker, payload, is_binary: self._report(events.received, payload, is_binary)

    def connect(self, **_ignored: Any) -> None:
        """Begins to connect. The client's own `connect` would not verify the server, and would start the reactor."""
        self._create_connection(self.socket_url, useragent=self._user_agent(), headers={"X-Kite-Version": "3"})
        factory = self.factory
        factory.protocol = _SilentProtocol
        factory.setProtocolOptions(
            openHandshakeTimeout=HANDSHAKE_SECONDS, maxMessagePayloadSize=LONGEST_PAYLOAD, tcpNoDelay=True
        )
        # In place of the client's methods, which retry: it would resubscribe by itself, and retry a 403.
        factory.clientConnectionFailed = self._on_gone
        factory.clientConnectionLost = self._on_gone
        context = optionsForClientTLS(factory.host) if factory.isSecure else None
        self._connector = connectWS(factory, contextFactory=context, timeout=CONNECT_SECONDS)

    def subscribe_all(self, tokens: Sequence[int], mode: str) -> None:
        """Subscribes each token once and sets its mode: a subscription alone means quote mode."""
        for part in _parts(tokens):
            self.subscribe(part)
            self.set_mode(mode, part)

    def drop(self) -> None:
        """Ends the connection, or the attempt, at once and without a word to the server. `ended` follows."""
        if self.ws is not None:
            self.ws.dropConnection(abort=True)
        elif self._connector is not None and self._connector.state == "connecting":
            self._connector.stopConnecting()
        elif self._connector is not None and self._connector.state == "connected":
            self._connector.transport.abortConnection()

    def _on_close(self, _ws: Any, _code: Any, reason: Any) -> None:
        self._reason = str(reason or "closed by the server")

    def _on_error(self, _ws: Any, _code: Any, _reason: Any) -> None:
        return  # `_on_close` follows with the same words

    def _parse_text_message(self, _payload: Any) -> None:
        return  # the client fails here on JSON that is no object, and that would end the connection

    def _on_gone(self, _connector: Any, failure: Any) -> None:
        if not self._has_ended:
            self._has_ended = True
            reason = self._without_token(self._reason_of(failure))
            error = self._error_of(reason)
            if error is not None and error.message:
                reason = f"{reason}: {error}"
            self._report(self._events.ended, reason, error)

    def _error_of(self, reason: str) -> BrokerError | None:
        status = refused_status(reason)
        body = getattr(self.factory, "refusal_body", b"")
        return read_broker_error(status, body, [self._token, quote(self._token, safe="")]) if status else None

    def _reason_of(self, last_failure: Any) -> str:
        failure = getattr(self.factory, "lost_because", last_failure)
        if self._reason and failure.check(ConnectionDone, ConnectionLost):
            return self._reason
        error = failure.value
        return f"{self._reason} {type(error).__name__}: {str(error) or repr(error)}".strip()

    def _without_token(self, reason: str) -> str:
        return reason.replace(self._token, "***").replace(quote(self._token, safe=""), "***")

    def _report(self, event: Callable[..., None], *arguments: Any) -> None:
        try:
            event(*arguments)
        except Exception as error:
            self._on_fault(error)


def _parts(tokens: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(tokens), TOKENS_A_MESSAGE):
        yield list(tokens[start : start + TOKENS_A_MESSAGE])


def _body(answer: bytes) -> bytes:
    return bytes(answer.partition(b"\r\n\r\n")[2])


def _is_full(answer: bytes) -> bool:
    """Whether the body is there as far as the headers give its length."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head + b"\r\n")
    return length is not None and len(body) >= min(int(length[1]), LONGEST_BODY)
