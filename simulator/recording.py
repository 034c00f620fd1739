"""Records what was sent (--record DIR), for references that are independent of the simulator.

- `universe.json`: the instruments, a list of objects with the fields of `utils.market.instruments.Instrument`.
- `sent-<n>.frames`, one for each connection, counted from 1: for every binary frame handed to the socket, in order,
  heartbeats (one byte) included: i64 market time in ms and u32 length, little-endian, then the frame.
- `sent-<n>.json`: `{"connection": n, "opened_ms": …, "subscribes": [{"market_ms": …, "mode": …, "tokens": […]}]}`;
  mode is `ltp`, `quote`, `full` or `unsubscribe`. Times are market time, epoch ms.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import orjson

from simulator.universe import Universe

RECORD_HEAD = struct.Struct("<qI")


def record_universe(directory: Path, universe: Universe) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    rows = [instrument.as_dict() for instrument in universe.instruments]
    (directory / "universe.json").write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2))


class Recording:
    """The files of one connection."""

    def __init__(self, directory: Path, number: int, market_ms: int) -> None:
        self._frames = (directory / f"sent-{number}.frames").open("wb")
        self._facts_path = directory / f"sent-{number}.json"
        self._facts: dict[str, Any] = {"connection": number, "opened_ms": market_ms, "subscribes": []}
        self._write_facts()

    def frame(self, market_ms: int, frame: bytes) -> None:
        self._frames.write(RECORD_HEAD.pack(market_ms, len(frame)) + frame)

    def subscribed(self, market_ms: int, mode: str, tokens: list[int]) -> None:
        self._facts["subscribes"].append({"market_ms": market_ms, "mode": mode, "tokens": tokens})
        self._write_facts()

    def flush(self) -> None:
        self._frames.flush()

    def close(self) -> None:
        self._frames.close()

    def _write_facts(self) -> None:
        self._facts_path.write_bytes(orjson.dumps(self._facts))


def read_recording(path: Path) -> list[tuple[int, bytes]]:
    """(market ms, frame) of a `.frames` file; a torn last record is left out."""
    content, at, found = path.read_bytes(), 0, []
    while at + RECORD_HEAD.size <= len(content):
        market_ms, length = RECORD_HEAD.unpack_from(content, at)
        at += RECORD_HEAD.size
        if at + length > len(content):
            break
        found.append((market_ms, content[at : at + length]))
        at += length
    return found
