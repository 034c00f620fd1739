"""A MongoDB that answers as a test wants: the real client, over a real socket, on replies made by hand."""

from __future__ import annotations

import contextlib
import socketserver
import struct
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import bson

_HEAD = struct.Struct("<iiii")
OP_REPLY, OP_MSG, OP_QUERY = 1, 2013, 2004
HELLO: dict[str, Any] = {
    "ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True, "maxWireVersion": 21,
    "minWireVersion": 0, "maxBsonObjectSize": 16_777_216, "maxMessageSizeBytes": 48_000_000,
    "maxWriteBatchSize": 100_000,
}  # fmt: skip
Answer = Mapping[str, Any] | bytes


class AnsweringMongo:
    """`answers` by command: a document, or bytes in the place of one. What is not named is answered with ok."""

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []
        server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError, struct.error):
                    while server.answer(self.request):
                        pass

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"mongodb://127.0.0.1:{self._server.server_address[1]}"

    @contextlib.contextmanager
    def running(self) -> Iterator[AnsweringMongo]:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()

    def answer(self, link: Any) -> bool:
        head = link.recv(_HEAD.size)
        if len(head) < _HEAD.size:
            return False
        size, request_id, _, opcode = _HEAD.unpack(head)
        body = b""
        while len(body) < size - _HEAD.size:
            body += link.recv(size - _HEAD.size - len(body))
        at = 5 if opcode == OP_MSG else body.index(b"\0", 4) + 9
        command = next(iter(bson.decode(body[at : at + struct.unpack_from("<i", body, at)[0]])))
        self.asked.append(command)
        link.sendall(_reply(opcode, request_id, self._answer_to(command)))
        return True

    def _answer_to(self, command: str) -> bytes:
        if command.lower() in ("hello", "ismaster"):
            return bson.encode(HELLO)
        answer = self.answers.get(command, {"ok": 1.0, "n": 1, "nModified": 1})
        return answer if isinstance(answer, bytes) else bson.encode(answer)


def _reply(opcode: int, request_id: int, document: bytes) -> bytes:
    if opcode == OP_QUERY:
        body = struct.pack("<iqii", 8, 0, 0, 1) + document
        return _HEAD.pack(_HEAD.size + len(body), 1, request_id, OP_REPLY) + body
    body = b"\0\0\0\0\0" + document
    return _HEAD.pack(_HEAD.size + len(body), 1, request_id, OP_MSG) + body
