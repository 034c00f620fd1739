"""Clients that never read: a subscriber to everything, and one that requests everything and reads no reply."""

from __future__ import annotations

import socket
import threading
from typing import Any
from urllib.parse import urlsplit

import redis

from utils.keys import Keys

NAME = "deaf"
ASKED_TIMES = 200


class DeafReaders:
    """`begin` connects them; `dropped` counts those that Redis has disconnected."""

    def __init__(self, url: str, shards: int) -> None:
        self._url = urlsplit(url)
        asks = "".join(f"XRANGE {Keys().ticks(shard)} - +\r\n" for shard in range(shards)) * ASKED_TIMES
        self._words = {"subscriber": "PSUBSCRIBE *\r\n", "asker": asks}
        self._sockets: list[socket.socket] = []

    def begin(self) -> None:
        for name, words in self._words.items():
            deaf = socket.socket()
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.connect((self._url.hostname, self._url.port))
            self._sockets.append(deaf)
            login = f"AUTH {self._url.username} {self._url.password}"
            request = f"{login}\r\nCLIENT SETNAME {NAME}-{name}\r\n{words}".encode()
            # Redis may stop listening to one whose answers pile up.
            threading.Thread(target=_send, args=(deaf, request), daemon=True).start()

    def dropped(self, client: redis.Redis) -> int:
        listed: Any = client.client_list()
        return len(self._sockets) - sum(str(instrument["name"]).startswith(NAME) for instrument in listed)

    def end(self) -> None:
        for open_socket in self._sockets:
            open_socket.close()


def _send(deaf: socket.socket, words: bytes) -> None:
    try:
        deaf.sendall(words)
    except OSError:
        return
