"""Reading the streams of closed candles, and noticing what left them before it was read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson
import redis

from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.market.candle import Candle
from utils.stores.packed_commands import OwnConnection
from utils.stores.stream_read import StreamAnswer, StreamRequest, ask_streams, stream_answers


class ClosedEntry(NamedTuple):
    """One entry of a closed stream; `candle` is None when it cannot be read."""

    shard: int
    id: EntryId
    candle: Candle | None


@dataclass(frozen=True, slots=True)
class ClosedRead:
    """A shard's next entries; `is_cut_off`: some between the position and the first of them are gone.

    Redis does not say which entry it trimmed last: a stream that lost entries and begins after the position counts as
    cut off, though in a rare case it is cut exactly there.
    """

    entries: list[ClosedEntry]
    is_cut_off: bool


class ClosedReader:
    """Over a connection of its own; not safe for threads. RedisError from `read`, which may be repeated."""

    def __init__(self, client: redis.Redis, keys: Keys) -> None:
        self._own = OwnConnection(client)
        self._keys = keys

    def read(self, positions: Mapping[int, EntryId], count: int, block_ms: int = 0) -> dict[int, ClosedRead]:
        """Of each shard that has some, the next entries after its position, at most so many; may wait for them."""
        requests = [StreamRequest(self._keys.closed(shard), after, count) for shard, after in positions.items()]
        ask_streams(self._own, requests, block_ms)
        answers = zip(positions.items(), stream_answers(self._own), strict=True)
        return {shard: _read(shard, after, answer) for (shard, after), answer in answers if answer is not None}

    def forget(self) -> None:
        """The next read takes a new connection: this one may be dead."""
        self._own.forget()


def _read(shard: int, after: EntryId, answer: StreamAnswer) -> ClosedRead:
    entries = [closed_entry(shard, entry_id, _body(fields)) for entry_id, fields in answer.entries]
    return ClosedRead(entries, is_cut_off=answer.facts.dropped > 0 and answer.facts.first > after)


def _body(fields: Sequence[bytes]) -> bytes:
    if fields[0] == b"json":
        return fields[1]
    return dict(zip(fields[::2], fields[1::2], strict=True)).get(b"json", b"")


def closed_entry(shard: int, entry_id: bytes, body: bytes) -> ClosedEntry:
    """Of its field `json`, empty when it has none."""
    try:
        candle = Candle.from_document(orjson.loads(body))
    except (ValueError, KeyError, TypeError):
        candle = None
    return ClosedEntry(shard, EntryId.parse(entry_id), candle)
