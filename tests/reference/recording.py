"""The recording of one connection of an exchange, as journal entries: to compare what was sent with what is stored.

`sent-<n>.frames`: records of little-endian `<q market_ms><I length><bytes>`, the frames of connection n in order.
`sent-<n>.json`: `{"subscribes": [{"market_ms": ..., "mode": ..., "tokens": [...]}, ...]}`, what the client asked for.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.reference.inputs import Entry

_HEAD = struct.Struct("<qI")


def entries_from_recording(directory: Path, connection: int) -> list[Entry]:
    """One `subscribed` mark that names every token asked for, and the connection's frames, ids never falling.

    - Receive times are the sending times: `rev` and closing times may differ from those of a real receiver.
    - A client subscribes in several messages (in parts, and again for the mode). The mark is at the first of them,
      before any answer, as in a journal.
    - A torn last record is left out.

    ValueError: nothing was subscribed.
    """
    path = directory / f"sent-{connection}.json"
    asked = [
        subscription
        for subscription in json.loads(path.read_text())["subscribes"]
        if subscription["mode"] != "unsubscribe"
    ]
    if not asked:
        raise ValueError(
            f"{path.name}: nothing was subscribed on connection {connection}, there is nothing to compare"
        )
    marks = [(int(asked[0]["market_ms"]), "m", _mark(asked))]
    frames = [(at, "f", frame) for at, frame in _records((directory / f"sent-{connection}.frames").read_bytes())]
    before_asking = sum(1 for at, _, frame in frames if at < marks[0][0] and len(frame) == 1)
    return _numbered([*frames[:before_asking], *marks, *frames[before_asking:]])


def _mark(asked: list[dict[str, Any]]) -> bytes:
    tokens = dict.fromkeys(token for series in asked for token in series["tokens"])
    named = [{"token": token} for token in tokens]
    return json.dumps({"mark": "subscribed", "mode": asked[-1]["mode"], "instruments": named}).encode()


def _numbered(records: list[tuple[int, str, bytes]]) -> list[Entry]:
    entries: list[Entry] = []
    for ms, kind, payload in records:
        if not entries or ms > entries[-1].ms:
            entries.append(Entry(ms, 0, kind, payload))
        else:
            entries.append(Entry(entries[-1].ms, entries[-1].counter + 1, kind, payload))
    return entries


def _records(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(content):
        market_ms, length = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        if at + length > len(content):
            return
        yield market_ms, content[at : at + length]
        at += length
