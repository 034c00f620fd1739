"""The candle worker's side of Redis: ticks in; state, live view, closed candles and rejections out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import redis

from utils.candles.encoding import ClosedRecords, Rows
from utils.candles.engine_output import RejectedPacket
from utils.candles.live_view import Hashes
from utils.journal.entries import Entry, EntryId
from utils.keys import Keys
from utils.market.ist import iso_ist
from utils.stores.guarded_writes import GuardedWrites
from utils.stores.live_hashes import LiveHashes, live_names
from utils.stores.publishing import MESSAGES_AT_ONCE, Message, Outbox, message_id
from utils.stores.redis_connection import pack, send_packed
from utils.stores.tick_reader import Gap, TickReader

REMOVED_AT_ONCE = 200  # instruments that are looked up with one command
ROLE = "candle_worker"


class CandleStore:
    """What the candle worker reads and writes in Redis. Every method raises RedisError.

    While entries wait (`is_behind`), closed candles and the live view are sent without waiting for the replies: these
    are read by the next call of the kind, by `save_state` at the latest. After a RedisError only `load_state` may
    follow, for every shard.
    """

    def __init__(self, client: redis.Redis, keys: Keys, closed_max: int, rejected_max: int) -> None:
        self._client = client
        self._keys = keys
        self._closed_max = closed_max
        self._rejected_max = rejected_max
        self._outboxes: dict[int, dict[str, Outbox]] = {}
        self._live: dict[int, GuardedWrites] = {}
        self._live_hashes: dict[int, LiveHashes] = {}
        self._reader = TickReader(client, keys)

    def read_ticks(self, positions: Mapping[int, EntryId], block_ms: int, most: int) -> list[tuple[int, list[Entry]]]:
        """Entries of each shard beyond its position, at most so many each; waits when there are none."""
        return self._reader.read(positions, block_ms, most)

    @property
    def is_behind(self) -> bool:
        """Whether the last read left entries of a shard waiting, as far as is known."""
        return self._reader.is_behind

    def unsaved_bytes(self, shard: int) -> int:
        """About how much of the stream's memory no snapshot covers yet, of what was read."""
        return self._reader.unsaved_bytes(shard)

    def new_gaps(self) -> list[Gap]:
        """What was dropped from the streams before it was read, since the last call."""
        gaps, self._reader.gaps = self._reader.gaps, []
        return gaps

    def load_state(self, shard: int) -> bytes | None:
        """The shard's snapshot. What comes after it is published again, to whatever Redis this is now."""
        for outbox in self._outboxes_of(shard):
            outbox.forget()
        self._live_of(shard).forget()  # it may be dead without having been asked anything since
        self._reader.begin(shard)
        content = self._client.get(self._keys.candle_state(shard))
        return content if isinstance(content, bytes) else None

    def save_state(self, shard: int, content: bytes) -> None:
        """OutboxMovedError instead of a snapshot that is further than what Redis knows to have been published."""
        for outbox in self._outboxes_of(shard):
            outbox.check()
        self._live_of(shard).settle()
        note = self._reader.note_of(shard)
        self._client.mset({self._keys.candle_state(shard): content, self._keys.candle_state_counts(shard): note})
        self._reader.note_saved(shard)

    def end_source(self, shard: int, position: str) -> None:
        """A snapshot true for `position` was of no use: what closed up to there was published, and stays as it is.

        Under other timeframes the entry that was published last gives its candles other numbers.
        """
        if _is_id(position):
            self._closed_outbox(shard).end_source(EntryId.parse(position))

    def publish_closed(self, shard: int, closed: Sequence[ClosedRecords]) -> None:
        """To the closed stream and its channels, what was not published before."""
        outbox = self._closed_outbox(shard)
        for records in closed:
            for part in records.parts(MESSAGES_AT_ONCE):
                outbox.send(self._messages(part))
        if not self.is_behind:
            outbox.flush()

    def _messages(self, records: ClosedRecords) -> list[Message]:
        names = [records.rows.names_at(place) for place in records.places]
        return [
            Message(message_id(*source), json, self._keys.closed_channel(symbol, timeframe))
            for source, json, (symbol, timeframe) in zip(records.sources(), records.as_json(), names, strict=True)
        ]

    def publish_rejected(self, shard: int, rejected: Sequence[RejectedPacket]) -> int:
        """To the bounded stream of rejected packets, with reason and bytes."""
        messages = [
            Message(
                message_id(rejection.source.ms, rejection.source.counter, rejection.number),
                orjson.dumps(_rejection(rejection)),
            )
            for rejection in rejected
        ]
        return self._rejected_outbox(shard).publish(messages) if messages else 0

    def _closed_outbox(self, shard: int) -> Outbox:
        return self._outbox(self._keys.closed(shard), shard, self._closed_max)

    def _rejected_outbox(self, shard: int) -> Outbox:
        return self._outbox(self._keys.rejected(shard), shard, self._rejected_max)

    def _outbox(self, stream: str, shard: int, max_entries: int) -> Outbox:
        of_shard = self._outboxes.setdefault(shard, {})
        if stream not in of_shard:
            of_shard[stream] = Outbox(self._client, self._keys, stream, shard, max_entries)
        return of_shard[stream]

    def _outboxes_of(self, shard: int) -> Iterable[Outbox]:
        return self._outboxes.get(shard, {}).values()

    def live_view(self, shard: int, position: EntryId) -> object | None:
        """None while the hashes are newer than what is true for `position`: another worker wrote them.

        When it is another object than before, all is to be written anew.
        """
        return self._live_of(shard).view(position)

    def write_live(self, shard: int, rows: Rows, candles: Hashes, ticks: Hashes, position: EntryId) -> int:
        """The live view: the hashes of candles and of latest ticks; returns how many commands that took."""
        known = self._live_hashes.get(shard)
        if known is None:
            known = self._live_hashes[shard] = LiveHashes(self._keys)
        content, count = known.pack(rows, candles, ticks)
        if count:
            self._live_of(shard).write(content, count, position)
        if not self.is_behind:
            self._live_of(shard).settle()
        return count

    def remove_live(self, symbols: Sequence[str], timeframes: Sequence[str]) -> None:
        """Delete the live hashes of instruments that left a shard, unless the connector watches them in another."""
        for live in self._live.values():
            live.settle()  # a write that is on its way would bring the hash back
        for first in range(0, len(symbols), REMOVED_AT_ONCE):
            part = list(symbols[first : first + REMOVED_AT_ONCE])
            watched: Any = self._client.hmget(self._keys.instruments(), part)
            gone = [symbol for symbol, instrument in zip(part, watched, strict=True) if instrument is None]
            names = [name for symbol in gone for name in live_names(self._keys, symbol, timeframes)]
            self._delete(names)

    def remove_timeframes(self, symbols: Sequence[str], timeframes: Sequence[str]) -> None:
        """Delete the live candles of timeframes that are not kept any more."""
        names = [self._keys.candle(symbol, timeframe) for symbol in symbols for timeframe in timeframes]
        self._delete(names)

    def _delete(self, names: Sequence[str]) -> None:
        send_packed(self._client, [pack("DEL", name) for name in names])

    def _live_of(self, shard: int) -> GuardedWrites:
        if shard not in self._live:
            self._live[shard] = GuardedWrites(self._client, self._keys.written(ROLE, shard))
        return self._live[shard]


def _is_id(text: str) -> bool:
    try:
        EntryId.parse(text)
    except ValueError:
        return False
    return True


def _rejection(rejection: RejectedPacket) -> dict[str, Any]:
    return {
        "reason": rejection.reason,
        "token": rejection.token,
        "symbol": rejection.symbol,
        "source": str(rejection.source),
        "received": iso_ist(rejection.source.ms),
        "packet": rejection.packet.hex(),
    }
