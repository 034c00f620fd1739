"""Saying things once: stream entries and their pub/sub twin, refused by Redis when they were said before.

What is said carries the id of what caused it (its source id), which only rises within a shard. One script keeps
the last source id of each stream and shard, so a worker that repeats itself after a crash is not heard twice.

And nothing is said on to a Redis that forgot what was said: redis-py connects again without a word, and a server that
came back without its last writes would otherwise never hear them again.

Ids rise within a call: the script compares until the first that is new, and trims the stream with the last one only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import redis

from utils.journal.entries import EntryId
from utils.keys import Keys
from utils.stores.packed_commands import OwnConnection, Word
from utils.stores.redis_failure import SMALLER_ID, StreamAheadError

SAID_AT_ONCE = 500  # in one script call: some milliseconds during which Redis does nothing else
UNDER_WAY = 2  # calls: while Redis works on one, the next is made ready
COUNTER_BITS = 20  # up to a million things may be said because of one entry

_SAY = """
local said = {}
for text in string.gmatch(redis.call('HGET', KEYS[2], ARGV[1]) or '0-0', '%d+') do said[#said + 1] = text end
local function later(a_ms, a_seq, b_ms, b_seq)
  if #a_ms ~= #b_ms then return #a_ms > #b_ms end
  if a_ms ~= b_ms then return a_ms > b_ms end
  if #a_seq ~= #b_seq then return #a_seq > #b_seq end
  return a_seq > b_seq
end
local known_ms, known_seq = string.match(ARGV[3], '^(%d+)-(%d+)$')
if later(known_ms, known_seq, said[1], said[2]) then return -1 end
local at = 4
while at <= #ARGV do
  local ms, seq = string.match(ARGV[at], '^(%d+)-(%d+)$')
  if later(ms, seq, said[1], said[2]) then break end
  at = at + 3
end
if at > #ARGV then return 0 end
local new, last = 0, #ARGV - 2
for nth = at, last, 3 do
  if nth < last then
    redis.call('XADD', KEYS[1], ARGV[nth], 'json', ARGV[nth + 1])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], ARGV[nth], 'json', ARGV[nth + 1])
  end
  if ARGV[nth + 2] ~= '' then redis.call('PUBLISH', ARGV[nth + 2], ARGV[nth + 1]) end
  new = new + 1
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[last])
return new
"""


NOTHING_SAID = "0-0"


class OutboxMovedError(redis.RedisError):
    """Redis lost what this outbox had said: its worker has to go back to where Redis is."""


class Saying(NamedTuple):
    """One thing to say: its rising id, its JSON, and the channel it also goes out on ('' for none)."""

    id: str
    json: bytes
    channel: str = ""


def saying_id(source_ms: int, source_counter: int, nth: int) -> str:
    """The id of the nth thing said because of one source entry: rises as (ms, counter, nth) does."""
    return f"{source_ms}-{(source_counter << COUNTER_BITS) + nth}"


class Outbox:
    """Writes sayings to one stream of a shard, each once and under its own id, whatever is repeated."""

    def __init__(self, client: redis.Redis, keys: Keys, stream: str, shard: int, max_entries: int) -> None:
        self._client = client
        self._own = OwnConnection(client)
        self._keys = (stream, keys.published(shard))
        self._head = (stream, max_entries)
        self._said_to = NOTHING_SAID
        self._under_way: deque[str] = deque()  # the last id of each call that is not answered yet
        self._new = 0

    def say(self, sayings: Sequence[Saying], at_once: int = SAID_AT_ONCE) -> int:
        """Say them in order; returns how many were new.

        RedisError leaves the rest unsaid: say all again. OutboxMovedError: nothing was said, and `forget` goes first.
        """
        self.settle()
        for start in range(0, len(sayings), at_once):
            self.begin(sayings[start : start + at_once])
        return self.settle()

    def begin(self, sayings: Sequence[Saying]) -> None:
        """Send them, SAID_AT_ONCE at most; what became of them the next calls tell, `settle` at the latest.

        Each call knows what must have been said before it: after one that failed those under way are refused.
        RedisError: any of what was begun since the last `settle` may be unsaid. OutboxMovedError: as `say`.
        """
        while len(self._under_way) >= UNDER_WAY:
            self._hear()
        if sayings:
            self._ask(sayings)
            self._under_way.append(sayings[-1].id)

    def settle(self) -> int:
        """Wait until all is said that was begun; returns how many were new since the last time. Raises as `begin`."""
        while self._under_way:
            self._hear()
        new, self._new = self._new, 0
        return new

    def check(self) -> None:
        """OutboxMovedError when Redis does not know any more what was said. RedisError."""
        self.settle()
        if self._said_to != NOTHING_SAID:
            self._ask(())
            self._take_reply()

    def forget(self) -> None:
        """Begin anew from wherever Redis is: all that it may have lost is said again."""
        self._drop()
        self._said_to = NOTHING_SAID

    def end_source(self, position: EntryId) -> None:
        """Nothing more is said because of the source entry that was said last, if that is at or before `position`.

        A snapshot is only kept when all that came of its entries was said. RedisError.
        """
        known: Any = self._client.hget(self._keys[1], self._head[0])
        ms, _, number = (known or b"0-0").decode().partition("-")
        counter = int(number) >> COUNTER_BITS
        if known and EntryId(int(ms), counter) <= position:
            last = saying_id(int(ms), counter, (1 << COUNTER_BITS) - 1)
            self._client.hset(self._keys[1], self._head[0], last)

    def _ask(self, sayings: Sequence[Saying]) -> None:
        known = self._under_way[-1] if self._under_way else self._said_to
        words: list[Word] = ["EVAL", _SAY, len(self._keys), *self._keys, *self._head, known]
        for one in sayings:
            words += (one.id, one.json, one.channel)
        try:
            self._own.ask([words])
        except BaseException:
            self._drop()
            raise

    def _hear(self) -> None:
        self._new += self._take_reply()
        self._said_to = self._under_way.popleft()

    def _take_reply(self) -> int:
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
            raise OutboxMovedError(f"Redis lost what was said in {self._keys[0]} (said up to {self._said_to})")
        return new

    def _drop(self) -> None:
        """What is under way may or may not be said."""
        self._own.forget()
        self._under_way.clear()
        self._new = 0
