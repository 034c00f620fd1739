"""Answers a MongoDB client's commands with errors, in the server's place (the wire protocol's OP_MSG, by hand)."""

from __future__ import annotations

import random
import struct
from typing import Any

import bson

from tests.chaos.proxy import Proxy

_HEAD = struct.Struct("<iiii")
OP_MSG = 2013
COMMANDS = ("update", "insert", "find")
# Of the command: shutdown, another primary, the time limit; and of one document: disk, conflict, lock.
COMMAND_ERRORS = ((11600, "interrupted at shutdown"), (10107, "not primary"), (50, "operation exceeded time limit"))
WRITE_ERRORS = ((14031, "No space left on device"), (112, "WriteConflict"), (8, "database is locked"))


class MongoErrors:
    """Of one connection. Other commands, and all of them while `answers_errors` is off, are forwarded."""

    def __init__(self, proxy: Proxy, seed: int) -> None:
        self._proxy = proxy
        self._random = random.Random(seed)
        self._pending = b""

    def process(self, data: bytes) -> tuple[bytes, bytes]:
        self._pending += data
        on, back = b"", b""
        while len(self._pending) >= 4:
            (length,) = struct.unpack_from("<i", self._pending)
            if len(self._pending) < length:
                break
            message, self._pending = self._pending[:length], self._pending[length:]
            reply = self._reply_to(message) if self._proxy.answers_errors else b""
            back += reply
            on += b"" if reply else message
        return on, back

    def _reply_to(self, message: bytes) -> bytes:
        _, request_id, _, opcode = _HEAD.unpack_from(message)
        if opcode != OP_MSG or message[20] != 0:
            return b""
        command = next(iter(bson.decode(message[21 : 21 + struct.unpack_from("<i", message, 21)[0]])))
        if command not in COMMANDS:
            return b""
        body = b"\0\0\0\0\0" + bson.encode(self._error(command))
        return _HEAD.pack(_HEAD.size + len(body), 1, request_id, OP_MSG) + body

    def _error(self, command: str) -> dict[str, Any]:
        if command == "update" and self._random.random() < 0.5:
            code, text = self._random.choice(WRITE_ERRORS)
            return {"ok": 1.0, "n": 0, "nModified": 0, "writeErrors": [{"index": 0, "code": code, "errmsg": text}]}
        code, text = self._random.choice(COMMAND_ERRORS)
        return {"ok": 0.0, "code": code, "errmsg": text}
