"""What the broker publishes about the account (order updates), in text frames between the quotes, on every socket.

It has a journal and a stream of its own, and is recorded once; a shard's journal has a heartbeat in its place.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

import orjson

from utils.connector.recorder import TickRecorder

OF_NOBODY = frozenset({"error", "message"})  # types of text frames that are about the connection or the market
REMEMBERED = 1_000  # updates; the sockets' copies come within a moment


def is_of_account(payload: bytes) -> bool:
    """Whether a text frame may hold something about the account: an unknown type does, for safety."""
    try:
        content = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return False
    if not isinstance(content, dict) or "type" not in content:
        return False
    kind = content["type"]
    return not (isinstance(kind, str) and kind in OF_NOBODY)


class AccountUpdates:
    """Records each update once, though every socket of the account receives it."""

    def __init__(self, recorder: TickRecorder) -> None:
        self._recorder = recorder
        self._received: OrderedDict[bytes, Counter[int]] = OrderedDict()  # of a payload, how often by shard

    def record(self, shard: int, payload: bytes) -> None:
        """What the socket of a shard received. The same again on the same socket is another update."""
        times = self._received.setdefault(payload, Counter())
        is_new = times[shard] == max(times.values(), default=0)
        times[shard] += 1
        self._received.move_to_end(payload)
        if len(self._received) > REMEMBERED:
            self._received.popitem(last=False)
        if is_new:
            self._recorder.frame(payload, is_binary=False)
