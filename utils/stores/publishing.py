"""Publishing once: stream entries and their pub/sub twin, refused by Redis when they were published before.

A message carries the id of what caused it (its source id), which only rises within a shard. One script keeps the last
id of each stream, so a worker that repeats itself after a crash publishes nothing twice.

And nothing is published to a Redis that forgot what was published before: redis-py connects again silently, and a
server that came back without its last writes would otherwise never get them again.

Ids rise within a call: the script compares until the first that is new, and trims the stream with the last one only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.stores.redis_connection import OwnConnection, Word
from utils.stores.redis_failure import SMALLER_ID, StreamAheadError

MESSAGES_AT_ONCE = 500  # in one script call: some milliseconds during which Redis does nothing else
CALLS_IN_FLIGHT = 2  # while Redis works on one, the next is made ready
COUNTER_BITS = 20  # up to a million messages because of one entry

_PUBLISH = """
local published_ms, published_seq = string.match(redis.call('HGET', KEYS[2], ARGV[1]) or '0-0', '(%d+)-(%d+)')
local function later(a_ms, a_seq, b_ms, b_seq)
  if #a_ms ~= #b_ms then return #a_ms > #b_ms end
  if a_ms ~= b_ms then return a_ms > b_ms end
  if #a_seq ~= #b_seq then return #a_seq > #b_seq end
  return a_seq > b_seq
end
local known_ms, known_seq = string.match(ARGV[3], '^(%d+)-(%d+)$')
if later(known_ms, known_seq, published_ms, published_seq) then return -1 end
local first = 4
while first <= #ARGV do
  local ms, seq = string.match(ARGV[first], '^(%d+)-(%d+)$')
  if later(ms, seq, published_ms, published_seq) then break end
  first = first + 3
end
if first > #ARGV then return 0 end
local new, last = 0, #ARGV - 2
for index = first, last, 3 do
  if index < last then
    redis.call('XADD', KEYS[1], ARGV[index], 'json', ARGV[index + 1])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[index], 'json', ARGV[index + 1])
  end
  if ARGV[index + 2] ~= '' then redis.call('PUBLISH', ARGV[index + 2], ARGV[index + 1]) end
  new = new + 1
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[last])
return new
"""


NOTHING_PUBLISHED = "0-0"


class OutboxMovedError(redis.RedisError):
    """Redis lost what this outbox had published: its worker has to go back to where Redis is."""


class Message(NamedTuple):
    """What is published: its rising id, its JSON, and the channel it also goes out on ('' for none)."""

    id: str
    json: bytes
    channel: str = ""


def message_id(source_ms: int, source_counter: int, index: int) -> str:
    """Of the message with this index among those of one source entry: rises as (ms, counter, index) does.

    >>> message_id(1795146300000, 1, 2)
    '1795146300000-1048578'
    """
    return f"{source_ms}-{(source_counter << COUNTER_BITS) + index}"


class Outbox:
    """Writes messages to one stream of a shard, each once and under its own id, whatever is repeated."""

    def __init__(self, client: redis.Redis, keys: Keys, stream: str, shard: int, max_entries: int) -> None:
        self._client = client
        self._own = OwnConnection(client)
        self._keys = (stream, keys.published(shard))
        self._head = (stream, max_entries)
        self._acknowledged = NOTHING_PUBLISHED
        self._in_flight: deque[str] = deque()  # the last id of each call that is not answered yet
        self._new = 0

    def publish(self, messages: Sequence[Message], at_once: int = MESSAGES_AT_ONCE) -> int:
        """In order; returns how many were new.

        RedisError: any may be unpublished, publish all again. OutboxMovedError: none is, and `forget` goes first.
        """
        self.flush()
        for start in range(0, len(messages), at_once):
            self.send(messages[start : start + at_once])
        return self.flush()

    def send(self, messages: Sequence[Message]) -> None:
        """Send them, MESSAGES_AT_ONCE at most; a later call reads the reply, `flush` at the latest.

        Each call knows what must have been published before it: after one that failed those in flight are refused.
        RedisError: any of what was sent since the last `flush` may be unpublished. OutboxMovedError: as `publish`.
        """
        while len(self._in_flight) >= CALLS_IN_FLIGHT:
            self._wait_for_ack()
        if messages:
            self._request(messages)
            self._in_flight.append(messages[-1].id)

    def flush(self) -> int:
        """Wait until all that was sent is published; returns how many were new since the last time.

        Raises as `send`.
        """
        while self._in_flight:
            self._wait_for_ack()
        new, self._new = self._new, 0
        return new

    def check(self) -> None:
        """OutboxMovedError when Redis does not know any more what was published. RedisError."""
        self.flush()
        if self._acknowledged != NOTHING_PUBLISHED:
            self._request(())
            self._read_reply()

    def forget(self) -> None:
        """Begin anew from wherever Redis is: all that it may have lost is published again."""
        self._drop()
        self._acknowledged = NOTHING_PUBLISHED

    def end_source(self, position: EntryId) -> None:
        """No message comes any more of the source entry of the last one, if that is at or before `position`.

        A snapshot is only kept when all that came of its entries was published. RedisError.
        """
        known: Any = self._client.hget(self._keys[1], self._head[0])
        ms, _, number = (known or b"0-0").decode().partition("-")
        counter = int(number) >> COUNTER_BITS
        if known and EntryId(int(ms), counter) <= position:
            last = message_id(int(ms), counter, (1 << COUNTER_BITS) - 1)
            self._client.hset(self._keys[1], self._head[0], last)

    def _request(self, messages: Sequence[Message]) -> None:
        known = self._in_flight[-1] if self._in_flight else self._acknowledged
        words: list[Word] = ["EVAL", _PUBLISH, len(self._keys), *self._keys, *self._head, known]
        for message in messages:
            words += (message.id, message.json, message.channel)
        try:
            self._own.ask([words])
        except BaseException:
            self._drop()
            raise

    def _wait_for_ack(self) -> None:
        self._new += self._read_reply()
        self._acknowledged = self._in_flight.popleft()

    def _read_reply(self) -> int:
        """How many were new."""
        try:
            new = int(self._own.reply())
        except BaseException as error:
            self._drop()
            if isinstance(error, redis.ResponseError) and SMALLER_ID in str(error):
                raise StreamAheadError(*self._keys) from None
            if isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error):
                raise redis.ResponseError(f"WRONGTYPE in one of the keys {' and '.join(self._keys)}") from None
            raise
        if new < 0:
            self._drop()
            raise OutboxMovedError(f"Redis lost what was published in {self._keys[0]} (up to {self._acknowledged})")
        return new

    def _drop(self) -> None:
        """What is in flight may or may not be published."""
        self._own.forget()
        self._in_flight.clear()
        self._new = 0
