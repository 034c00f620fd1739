"""Reading the streams of closed candles, and noticing what left them before it was read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import redis

from utils.candle import Candle
from utils.feed import EntryId
from utils.keys import Keys
from utils.stores.packed_commands import OwnConnection, Word


class ClosedEntry(NamedTuple):
    """One entry of a closed stream; `candle` is None when it can not be read."""

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
        """Of each shard that has some the next entries after its position, at most so many; waits if there are none.

        Entries and what shows whether some are gone come in one transaction, so that no trim comes between.
        """
        names = {shard: self._keys.closed(shard) for shard in positions}
        commands: list[tuple[Word, ...]] = [("MULTI",)]
        for shard, after in positions.items():
            commands.append(("XREAD", "COUNT", count, "STREAMS", names[shard], str(after)))
            commands.append(("XINFO", "STREAM", names[shard]))
        commands.append(("EXEC",))
        if block_ms:
            afters = [str(after) for after in positions.values()]
            commands.insert(0, ("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", *names.values(), *afters))
        self._own.ask(commands)
        answers: Any = self._own.replies()[-1]
        return dict(_read(positions, answers))

    def forget(self) -> None:
        """The next read takes a new connection: this one may be dead."""
        self._own.forget()


def _read(positions: Mapping[int, EntryId], answers: Sequence[Any]) -> Iterator[tuple[int, ClosedRead]]:
    for (shard, after), read, info in zip(positions.items(), answers[::2], answers[1::2], strict=True):
        for answer in (read, info):
            if isinstance(answer, Exception) and "no such key" not in str(answer):
                raise answer
        if read:
            entries = [closed_entry(shard, entry_id, fields) for entry_id, fields in read[0][1]]
            yield shard, ClosedRead(entries, _is_cut_off(after, info))


def _is_cut_off(after: EntryId, info: Sequence[Any]) -> bool:
    said = dict(zip(info[::2], info[1::2], strict=True))
    return said[b"entries-added"] > said[b"length"] and EntryId.parse(said[b"first-entry"][0]) > after


def closed_entry(shard: int, entry_id: bytes, fields: Sequence[bytes]) -> ClosedEntry:
    """fields: names and values, one after the other, as Redis gives them."""
    try:
        body = fields[1] if fields[0] == b"json" else dict(zip(fields[::2], fields[1::2], strict=True))[b"json"]
        candle = Candle.from_document(orjson.loads(body))
    except (ValueError, KeyError, TypeError):
        candle = None
    return ClosedEntry(shard, EntryId.parse(entry_id), candle)
