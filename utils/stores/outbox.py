"""Saying things once: stream entries and their pub/sub twin, refused by Redis when they were said before.

What is said carries the id of what caused it (its source id), which only rises within a shard. One script keeps
the last source id of each stream and shard, so a worker that repeats itself after a crash is not heard twice.

And nothing is said on to a Redis that forgot what was said: redis-py connects again without a word, and a server that
came back without its last writes would otherwise never hear them again.

Ids rise within a call: the script compares until the first that is new, and trims the stream with the last one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import redis

from utils.keys import Keys

SAID_AT_ONCE = 500  # in one script call: some milliseconds during which Redis does nothing else
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
local known_ms, known_seq = string.match(ARGV[4], '^(%d+)-(%d+)$')
if later(known_ms, known_seq, said[1], said[2]) then return -1 end
local at = 5
while at <= #ARGV do
  local ms, seq = string.match(ARGV[at], '^(%d+)-(%d+)$')
  if later(ms, seq, said[1], said[2]) then break end
  at = at + 3
end
if at > #ARGV then return 0 end
local new, last, id = 0, #ARGV - 2, '*'
for nth = at, last, 3 do
  if ARGV[3] == 'own' then id = ARGV[nth] end
  if nth < last then
    redis.call('XADD', KEYS[1], id, 'json', ARGV[nth + 1])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id, 'json', ARGV[nth + 1])
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


@dataclass(frozen=True, slots=True)
class Saying:
    """One thing to say: its rising id, its JSON, and the channel it also goes out on ('' for none)."""

    id: str
    json: bytes
    channel: str = ""


def saying_id(source_ms: int, source_counter: int, nth: int) -> str:
    """The id of the nth thing said because of one source entry: rises as (ms, counter, nth) does."""
    return f"{source_ms}-{(source_counter << COUNTER_BITS) + nth}"


class Outbox:
    """Writes sayings of one shard to one stream, each once, whatever is repeated.

    With `own_ids` the stream entry gets the saying's own id (the stream belongs to one shard); otherwise Redis
    numbers it, because shards share the stream.
    """

    def __init__(
        self, client: redis.Redis, keys: Keys, stream: str, shard: int, max_entries: int, own_ids: bool
    ) -> None:
        self._script = client.register_script(_SAY)
        self._keys = [stream, keys.said()]
        self._head = [f"{stream}|{shard}", str(max_entries), "own" if own_ids else "auto"]
        self._said_to = NOTHING_SAID

    def say(self, sayings: Sequence[Saying], at_once: int = SAID_AT_ONCE) -> int:
        """Say them in order; returns how many were new.

        RedisError leaves the rest unsaid: say all again. OutboxMovedError: nothing was said, and `forget` goes first.
        """
        new = 0
        for start in range(0, len(sayings), at_once):
            part = sayings[start : start + at_once]
            new += self._say(part)
            self._said_to = part[-1].id
        return new

    def check(self) -> None:
        """OutboxMovedError when Redis does not know any more what was said. RedisError."""
        if self._said_to != NOTHING_SAID:
            self._say(())

    def forget(self) -> None:
        """Begin anew from wherever Redis is: all that it may have lost is said again."""
        self._said_to = NOTHING_SAID

    def _say(self, part: Sequence[Saying]) -> int:
        arguments: list[str | bytes] = [*self._head, self._said_to]
        for one in part:
            arguments += (one.id, one.json, one.channel)
        new = int(self._script(keys=self._keys, args=arguments))
        if new < 0:
            raise OutboxMovedError(f"Redis lost what was said in {self._keys[0]} (said up to {self._said_to})")
        return new
