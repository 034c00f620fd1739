"""Entries of streams together with what Redis says about each stream, so that no trim comes in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import redis

from utils.journal.entries import EntryId
from utils.stores.packed_commands import OwnConnection, Word

_COMMANDS = 4  # of each request
RawEntry = tuple[bytes, list[bytes]]  # id; names and values of its fields, one after the other


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """At most `count` entries after `after`."""

    stream: str
    after: EntryId
    count: int


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """`dropped` entries stood before the first one, `added` is all that there ever were."""

    added: int
    dropped: int
    first: EntryId


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """Some entries, and how their stream stood at that moment."""

    entries: list[RawEntry]
    facts: StreamFacts


def ask_streams(own: OwnConnection, requests: Sequence[StreamRequest], block_ms: int = 0) -> None:
    """A transaction for each. RedisError.

    With `block_ms` the first begins when there is an entry, or after that time: that costs no round trip. Only this
    waiting names streams of several shards.
    """
    commands: list[tuple[Word, ...]] = []
    for one in requests:
        read = ("XREAD", "COUNT", one.count, "STREAMS", one.stream, str(one.after))
        commands += (("MULTI",), read, ("XINFO", "STREAM", one.stream), ("EXEC",))
    if block_ms:
        streams, afters = [one.stream for one in requests], [str(one.after) for one in requests]
        commands.insert(0, ("XREAD", "COUNT", 1, "BLOCK", block_ms, "STREAMS", *streams, *afters))
    own.ask(commands)


def stream_answers(own: OwnConnection) -> Iterator[StreamAnswer | None]:
    """To each request in order; None where nothing came. RedisError."""
    replies: Any = own.replies()
    waited = len(replies) % _COMMANDS  # for the reply to the blocking read
    for read, info in replies[waited:][_COMMANDS - 1 :: _COMMANDS]:
        for answer in (read, info):
            if isinstance(answer, Exception) and "no such key" not in str(answer):
                raise answer
        yield StreamAnswer(read[0][1], _facts(info)) if read else None


def _facts(info: Sequence[Any]) -> StreamFacts:
    said = dict(zip(info[::2], info[1::2], strict=True))
    if b"entries-added" not in said:
        raise redis.ResponseError("unknown subcommand: XINFO STREAM without entries-added")
    added = int(said[b"entries-added"])
    return StreamFacts(added, added - int(said[b"length"]), EntryId.parse(said[b"first-entry"][0]))
