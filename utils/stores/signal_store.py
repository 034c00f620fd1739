"""The signal worker's side of Redis: closed candles in; indicator values, signals and its own snapshot out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
import redis
import structlog

from utils.indicators.values import LatestValues
from utils.journal.entries import ZERO_ID, EntryId
from utils.keys import Keys
from utils.market.candle import Candle
from utils.market.instruments import Instrument
from utils.market.signal import Signal
from utils.stores.guarded_writes import GuardedWrites
from utils.stores.indicator_hashes import values_commands, values_names
from utils.stores.publishing import MESSAGES_AT_ONCE, Message, Outbox, message_id
from utils.stores.redis_connection import (
    OwnConnection,
    StreamAnswer,
    StreamRequest,
    ask_streams,
    pack,
    send_packed,
    stream_answers,
)


class ClosedEntry(NamedTuple):
    """One entry of a closed stream; `candle` is None when it cannot be read."""

    shard: int
    id: EntryId
    candle: Candle | None


@dataclass(frozen=True, slots=True)
class ClosedRead:
    """A shard's next entries; `is_cut_off`: some between the position and the first of them are gone.

    Redis does not show which entry it trimmed last: a stream that lost entries and begins behind it counts as
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


PAGE = 1_000
VALUES_AT_ONCE = 250  # in one transaction: so long Redis does nothing else
ROLE = "signal_worker"


class SignalStore:
    """Every call may raise RedisError. What `send` and `write_values` sent may be undone then: only `load_snapshot`
    may follow, for every shard.
    """

    def __init__(self, client: redis.Redis, keys: Keys, shards: int, signals_max_entries: int) -> None:
        self._client = client
        self._keys = keys
        self._log = structlog.get_logger("signal_worker")
        self._unreadable: set[bytes] = set()
        self._reader = ClosedReader(client, keys)
        self._values = [GuardedWrites(client, keys.written(ROLE, shard)) for shard in range(shards)]
        self._outboxes = [
            Outbox(client, keys, keys.signals(shard), shard, signals_max_entries) for shard in range(shards)
        ]

    def last_id(self, shard: int) -> EntryId:
        """The id of the newest entry of a closed stream; 0-0 where there is none yet."""
        newest: Any = self._client.xrevrange(self._keys.closed(shard), count=1)
        return EntryId.parse(newest[0][0]) if newest else ZERO_ID

    def last_before(self, shard: int, ms: int) -> EntryId:
        """The id of a closed stream's newest entry from before an instant; 0-0 where there is none."""
        newest: Any = self._client.xrevrange(self._keys.closed(shard), max=ms - 1, count=1)
        return EntryId.parse(newest[0][0]) if newest else ZERO_ID

    def first_ms_since(self, shard: int, ms: int) -> int | None:
        """When a shard's first entry since an instant was received, as far as its streams reach back."""
        names = (self._keys.ticks(shard), self._keys.closed(shard))
        pages: Any = [self._client.xrange(name, min=ms, count=1) for name in names]
        return min((EntryId.parse(page[0][0]).ms for page in pages if page), default=None)

    def read_closed(self, positions: Mapping[int, EntryId], count: int, block_ms: int = 0) -> dict[int, ClosedRead]:
        """As ClosedReader.read: for the worker itself, whose warm-ups ask `closed_after`."""
        return self._reader.read(positions, count, block_ms)

    def closed_after(self, positions: Mapping[int, EntryId], count: int) -> list[ClosedEntry]:
        """The next entries after each position, at most `count` of each shard."""
        found: list[ClosedEntry] = []
        for shard, position in positions.items():
            page: Any = self._client.xrange(self._keys.closed(shard), min=f"({position}", count=count)
            found += [closed_entry(shard, entry_id, fields.get(b"json", b"")) for entry_id, fields in page]
        return found

    def closed_until(self, positions: Mapping[int, EntryId], limit: int) -> list[ClosedEntry]:
        """Of each shard the newest `limit` entries up to and with its position, oldest first."""
        found: list[ClosedEntry] = []
        for shard, position in positions.items():
            newest_first: list[ClosedEntry] = []
            name, until = self._keys.closed(shard), str(position)
            while len(newest_first) < limit:
                page: Any = self._client.xrevrange(name, max=until, count=min(PAGE, limit - len(newest_first)))
                newest_first += [closed_entry(shard, entry_id, fields.get(b"json", b"")) for entry_id, fields in page]
                if len(page) < PAGE:
                    break
                until = f"({newest_first[-1].id}"
            found += reversed(newest_first)
        return found

    def instruments(self) -> dict[str, Instrument]:
        """By symbol, as the connector wrote them; empty before it did. One that is none is left out, and logged."""
        content: Any = self._client.hgetall(self._keys.instruments())
        found = (self._instrument(symbol, body) for symbol, body in content.items())
        return {instrument.symbol: instrument for instrument in found if instrument is not None}

    def _instrument(self, symbol: bytes, body: bytes) -> Instrument | None:
        try:
            return Instrument.from_dict(orjson.loads(body))
        except ValueError as error:
            if symbol not in self._unreadable:
                self._unreadable.add(symbol)
                name = symbol.decode(errors="replace")
                self._log.error("an instrument in Redis cannot be read", field=name, reason=str(error))
            return None

    def load_snapshot(self, shard: int) -> bytes | None:
        """The last one saved. What comes after it is published again, to whatever Redis this is now."""
        self._outboxes[shard].forget()
        self._values[shard].forget()  # it may be dead without having been asked anything since
        self._reader.forget()
        return self.peek_snapshot(shard)

    def peek_snapshot(self, shard: int) -> bytes | None:
        """The last one saved of any shard, for a look at it."""
        content: Any = self._client.get(self._keys.signal_state(shard))
        return bytes(content) if content is not None else None

    def save_snapshot(self, shard: int, content: bytes) -> None:
        """OutboxMovedError instead of a snapshot that is further than what Redis knows to have been published."""
        self.check(shard)
        self._values[shard].settle()
        self._client.set(self._keys.signal_state(shard), content)

    def add_missing_snapshot(self, shard: int, content: bytes) -> None:
        """For a shard that has none yet."""
        self._client.set(self._keys.signal_state(shard), content, nx=True)

    def check(self, shard: int) -> None:
        """OutboxMovedError when Redis does not know any more what was published."""
        self._outboxes[shard].check()

    def send(self, fired: Sequence[tuple[ClosedEntry, Signal]]) -> None:
        """Send signals with the entries that caused them, in order; `flush` waits for them.

        A signal's entry id is made of the closed entry's: the same signal has the same id.
        """
        messages: dict[int, list[Message]] = {}
        last, index = (-1, ZERO_ID), 0
        for entry, signal in fired:
            index = index + 1 if (entry.shard, entry.id) == last else 0
            last = (entry.shard, entry.id)
            channel = self._keys.signals_channel(signal.symbol, signal.timeframe)
            message = Message(message_id(*entry.id, index), orjson.dumps(signal.as_document()), channel)
            messages.setdefault(entry.shard, []).append(message)
        for shard, of_shard in messages.items():
            for first in range(0, len(of_shard), MESSAGES_AT_ONCE):
                self._outboxes[shard].send(of_shard[first : first + MESSAGES_AT_ONCE])

    def flush(self, shard: int) -> int:
        """Wait until all signals that were sent are published; returns how many of them were new."""
        return self._outboxes[shard].flush()

    def values_view(self, shard: int, position: EntryId) -> object | None:
        """None while the values are newer than what is true for `position`: another worker wrote them.

        When it is another object than before, any of them may be another worker's, or lost.
        """
        return self._values[shard].view(position)

    def write_values(self, shard: int, latest: Sequence[LatestValues], position: EntryId) -> None:
        """The newest values of each instrument and timeframe; those that are absent leave the hash.

        Sent, and not waited for: `flush_values` does, and `save_snapshot` before it saves. Not safe for threads. When
        they were refused, `values_view` is another one.
        """
        view = self._values[shard].view(position)
        for first in range(0, len(latest), VALUES_AT_ONCE):
            commands = values_commands(self._keys, latest[first : first + VALUES_AT_ONCE])
            if self._values[shard].view(position) is view:
                self._values[shard].write(b"".join(commands), len(commands), position)

    def remove_values(self, symbols: Iterable[str], timeframes: Sequence[str]) -> None:
        """Delete the hashes of instruments that come no more."""
        self.flush_values()  # a write that is on its way would bring the hash back
        names = values_names(self._keys, symbols, timeframes)
        send_packed(self._client, [pack("DEL", name) for name in names])

    def flush_values(self) -> None:
        """Wait until all values are written that were sent."""
        for values in self._values:
            values.settle()
