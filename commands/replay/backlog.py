"""How far readers lag behind the workers: a replay publishes faster than its readers may store.

The streams of closed candles and of signals are bounded; what a limit drops before it was read is lost to the reader.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from commands.shared.processes import SIGNAL_WORKER
from commands.shared.readiness import Reports, position_of
from commands.shared.waiting import mongodb_groups
from utils.journal.entries import ZERO_ID, EntryId
from utils.keys import Keys

# Of a stream's bound; the rest is for what comes of the entries that were sent already (journal_feed.ClosingBound).
HELD_SHARE = 0.5
ARCHIVE, SIGNALS, TALLY = "MongoDB's archive", "the signal worker", "the count of the closed candles"


@dataclass(frozen=True, slots=True)
class StreamBacklog:
    """`added` entries in all, the last one's id, and how many its consumer groups have not stored."""

    added: int = 0
    last: EntryId = ZERO_ID
    unstored: int = 0


def stream_backlogs(client: redis.Redis, streams: Sequence[str]) -> list[StreamBacklog]:
    """Of each; of one that is not there: nothing. RedisError."""
    pipeline = client.pipeline(transaction=False)
    for name in streams:
        pipeline.xinfo_stream(name)
        pipeline.xinfo_groups(name)
    answers: list[Any] = pipeline.execute(raise_on_error=False)
    return [_facts(about, groups) for about, groups in zip(answers[::2], answers[1::2], strict=True)]


def _facts(about: Any, groups: Any) -> StreamBacklog:
    for answer in (about, groups):
        if isinstance(answer, redis.ResponseError) and "no such key" in str(answer):
            return StreamBacklog()
        if isinstance(answer, Exception):
            raise answer
    length, added = int(about["length"]), int(about["entries-added"])
    left = [
        length if mongodb_group["lag"] is None else int(mongodb_group["lag"]) + int(mongodb_group["pending"])
        for mongodb_group in mongodb_groups(groups)
    ]
    return StreamBacklog(added, EntryId.parse(about["last-generated-id"]), max(left, default=added))


class ReplayBacklog:
    """What waits for each reader, as a share of its stream's bound; `look` brings it up to date."""

    def __init__(
        self,
        client: redis.Redis,
        keys: Keys,
        shards: Sequence[int],
        closed_max_entries: int,
        signals_max_entries: int,
    ) -> None:
        self._client = client
        self._shards = list(shards)
        self._streams = [*map(keys.closed, shards), *map(keys.signals, shards)]
        self._closed_max = closed_max_entries
        self._signals_max = signals_max_entries
        self._published: dict[int, deque[tuple[EntryId, int]]] = {shard: deque([(ZERO_ID, 0)]) for shard in shards}
        self.unread: dict[str, int] = {}
        self._shares: dict[str, float] = {}

    @property
    def is_too_long(self) -> bool:
        """Whether publishing should pause until it is shorter."""
        return any(share > HELD_SHARE for share in self._shares.values())

    @property
    def slowest(self) -> str:
        """The reader that is nearest to losing something."""
        return max(self._shares, key=self._shares.__getitem__, default="")

    @property
    def position(self) -> Hashable:
        """Another one whenever a reader has come further."""
        return tuple(self.unread.items())

    def look(self, reports: Reports, tallied: Mapping[int, int]) -> None:
        """`tallied`: how many entries of each shard's stream were counted here. RedisError."""
        found, shards = stream_backlogs(self._client, self._streams), len(self._shards)
        unread: dict[str, int] = {ARCHIVE: 0, SIGNALS: 0, TALLY: 0}
        shares = dict.fromkeys(unread, 0.0)

        def note(reader: str, count: int, bound: int) -> None:
            unread[reader] += count
            shares[reader] = max(shares[reader], count / bound)

        for shard, facts in zip(self._shards, found[:shards], strict=True):
            note(ARCHIVE, facts.unstored, self._closed_max)
            note(SIGNALS, self._after(shard, facts, position_of(reports, SIGNAL_WORKER, shard)), self._closed_max)
            note(TALLY, facts.added - tallied.get(shard, 0), self._closed_max)
        for facts in found[shards:]:
            note(ARCHIVE, facts.unstored, self._signals_max)
        self.unread, self._shares = unread, shares

    def _after(self, shard: int, facts: StreamBacklog, position: EntryId) -> int:
        """How many entries come after a position, at most: Redis counts them up to a group's position only.

        What was seen at the last look that the position has passed is behind it, the rest may not be.
        """
        published = self._published[shard]
        if facts.last > published[-1][0]:
            published.append((facts.last, facts.added))
        while len(published) > 1 and published[1][0] <= position:
            published.popleft()
        return facts.added - published[0][1]
