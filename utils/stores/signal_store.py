"""The signal worker's side of Redis: closed candles in; indicator values, signals and its own snapshot out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from utils.candle import Candle
from utils.feed import ZERO_ID, EntryId
from utils.instruments import Instrument
from utils.keys import Keys
from utils.signals import LatestValues, Signal
from utils.stores.indicator_hashes import values_commands
from utils.stores.outbox import Outbox, Saying, saying_id
from utils.stores.packed_commands import send_packed

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class ClosedEntry:
    """One entry of a closed stream; `candle` is None when it can not be read."""

    shard: int
    id: EntryId
    candle: Candle | None


class SignalStore:
    """Every call may raise RedisError; repeating any of them is harmless."""

    def __init__(self, client: redis.Redis, keys: Keys, shards: int, signals_max_entries: int) -> None:
        self._client = client
        self._keys = keys
        self._streams = {keys.closed(shard).encode(): shard for shard in range(shards)}
        self._outboxes = [
            Outbox(client, keys, keys.signals(), shard, signals_max_entries, own_ids=False) for shard in range(shards)
        ]

    def last_ids(self) -> dict[int, EntryId]:
        """The id of the newest entry of each closed stream; 0-0 where there is none yet."""
        ids: dict[int, EntryId] = {}
        for name, shard in self._streams.items():
            newest: Any = self._client.xrevrange(name, count=1)
            ids[shard] = EntryId.parse(newest[0][0]) if newest else ZERO_ID
        return ids

    def is_cut_off(self, positions: Mapping[int, EntryId]) -> bool:
        """Whether entries after these were trimmed away before they were read."""
        for name, shard in self._streams.items():
            first: Any = self._client.xrange(name, count=1)
            if not first or EntryId.parse(first[0][0]) <= positions.get(shard, ZERO_ID):
                continue
            about: Any = self._client.xinfo_stream(name)
            if EntryId.parse(about["max-deleted-entry-id"]) > positions.get(shard, ZERO_ID):
                return True
        return False

    def closed_after(
        self, positions: Mapping[int, EntryId], count: int, block_ms: int | None = None
    ) -> list[ClosedEntry]:
        """The next entries after a position in each stream, at most `count` of each; waits for them if told to."""
        streams: Any = {name: str(positions.get(shard, ZERO_ID)) for name, shard in self._streams.items()}
        answer: Any = self._client.xread(streams, count=count, block=block_ms)
        return [
            _entry(self._streams[name], entry_id, fields)
            for name, content in answer or []
            for entry_id, fields in content
        ]

    def closed_until(self, positions: Mapping[int, EntryId], limit: int) -> list[ClosedEntry]:
        """The newest `limit` entries of each stream up to and with a position, oldest first."""
        found: list[ClosedEntry] = []
        for name, shard in self._streams.items():
            newest_first: list[ClosedEntry] = []
            until = str(positions.get(shard, ZERO_ID))
            while len(newest_first) < limit:
                page: Any = self._client.xrevrange(name, max=until, count=min(PAGE, limit - len(newest_first)))
                newest_first += [_entry(shard, entry_id, fields) for entry_id, fields in page]
                if len(page) < PAGE:
                    break
                until = f"({newest_first[-1].id}"
            found += reversed(newest_first)
        return found

    def instruments(self) -> dict[str, Instrument]:
        """By symbol, as the connector wrote them; empty before it did."""
        content: Any = self._client.hgetall(self._keys.instruments())
        found = (Instrument.from_dict(orjson.loads(body)) for body in content.values())
        return {one.symbol: one for one in found}

    def load_snapshot(self) -> bytes | None:
        """The last one saved. What comes after it is said again, to whatever Redis this is now."""
        for outbox in self._outboxes:
            outbox.forget()
        content: Any = self._client.get(self._keys.signal_state(0))
        return bytes(content) if content is not None else None

    def save_snapshot(self, content: bytes) -> None:
        """OutboxMovedError instead of a snapshot that is further than what Redis knows to have been said."""
        for outbox in self._outboxes:
            outbox.check()
        self._client.set(self._keys.signal_state(0), content)

    def say(self, fired: Sequence[tuple[ClosedEntry, Signal]]) -> int:
        """Signals with the entries that caused them, in order; returns how many had not been said before."""
        sayings: dict[int, list[Saying]] = {}
        last, nth = (-1, ZERO_ID), 0
        for entry, signal in fired:
            nth = nth + 1 if (entry.shard, entry.id) == last else 0
            last = (entry.shard, entry.id)
            channel = self._keys.signals_channel(signal.symbol, signal.timeframe)
            saying = Saying(saying_id(*entry.id, nth), orjson.dumps(signal.as_document()), channel)
            sayings.setdefault(entry.shard, []).append(saying)
        return sum(self._outboxes[shard].say(of_shard) for shard, of_shard in sayings.items())

    def write_values(self, latest: Sequence[LatestValues]) -> None:
        """The newest values of each instrument and timeframe; those that are absent leave the hash."""
        send_packed(self._client, values_commands(self._keys, latest))


def _entry(shard: int, entry_id: bytes, fields: Mapping[bytes, bytes]) -> ClosedEntry:
    try:
        candle = Candle.from_document(orjson.loads(fields[b"json"]))
    except (ValueError, KeyError, TypeError):
        candle = None
    return ClosedEntry(shard, EntryId.parse(entry_id), candle)
