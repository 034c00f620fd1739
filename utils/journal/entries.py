"""What travels from the connector to the workers: whole frames and marks, each under an id that only rises.

One stream entry has one field, whose name is its kind: `f` a binary WebSocket frame as received,
`t` a text frame as received, `m` a mark of the connector's own (JSON).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from utils.market.instruments import Instrument

HEARTBEAT = b"\x00"  # Kite's, a frame of one byte about once a second


class EntryId(NamedTuple):
    """Receive time (epoch milliseconds, never falling) and a counter within that millisecond."""

    ms: int
    counter: int

    def __str__(self) -> str:
        return f"{self.ms}-{self.counter}"

    @classmethod
    def parse(cls, text: str | bytes) -> EntryId:
        raw = text.decode() if isinstance(text, bytes) else text
        ms, _, counter = raw.partition("-")
        return cls(int(ms), int(counter or 0))

    def after(self, now_ms: int) -> EntryId:
        """The id of the next entry: a clock that steps back does not lower it."""
        return EntryId(now_ms, 0) if now_ms > self.ms else EntryId(self.ms, self.counter + 1)

    def before(self) -> EntryId:
        """The highest id below this one."""
        return EntryId(self.ms, self.counter - 1) if self.counter else EntryId(self.ms - 1, LAST_COUNTER)


LAST_COUNTER = (1 << 32) - 1

ZERO_ID = EntryId(0, 0)


class Topic(StrEnum):
    """What a journal and its stream hold: the market's frames, or what the broker publishes about the account."""

    TICKS = "ticks"
    BROKER = "broker"


class Kind(StrEnum):
    """Field name of a stream entry, and the record kind in the journal."""

    FRAME = "f"
    TEXT = "t"
    MARK = "m"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing received (or a mark of the connector), with its id."""

    id: EntryId
    kind: Kind
    payload: bytes


class Mark(StrEnum):
    """The marks of the connector: `clock` is recorded once a second while the socket is silent.

    `gap` stands in no journal: whoever reads one puts it where records cannot be read.
    """

    UP = "up"
    DOWN = "down"
    SUBSCRIBED = "subscribed"
    CLOCK = "clock"
    GAP = "gap"


def up_mark() -> bytes:
    return orjson.dumps({"mark": Mark.UP})


def clock_mark() -> bytes:
    return orjson.dumps({"mark": Mark.CLOCK})


def down_mark(reason: str) -> bytes:
    return orjson.dumps({"mark": Mark.DOWN, "reason": reason})


def gap_mark(damaged_bytes: int) -> bytes:
    return orjson.dumps({"mark": Mark.GAP, "reason": f"{damaged_bytes} bytes of the journal cannot be read"})


def is_gap(entry: Entry) -> bool:
    """Whether it stands for records that cannot be read."""
    return entry.kind is Kind.MARK and entry.payload.startswith(_GAP_HEAD)


_GAP_HEAD = b'{"mark":"gap"'


def subscribed_mark(mode: str, instruments: list[Instrument]) -> bytes:
    """Names every instrument of the connection, so that a journal can be read without anything else."""
    return orjson.dumps(
        {"mark": Mark.SUBSCRIBED, "mode": mode, "instruments": [instrument.as_dict() for instrument in instruments]}
    )


def read_mark(payload: bytes) -> dict[str, Any]:
    """The mark as a dict with at least `mark`. ValueError when it is none of ours."""
    content = orjson.loads(payload)
    name = content.get("mark") if isinstance(content, dict) else None
    if not isinstance(name, str) or name not in set(Mark):
        raise ValueError(f"not a mark: {payload[:80]!r}")
    found: dict[str, Any] = content
    return found


def mark_instruments(content: dict[str, Any]) -> list[Instrument]:
    """The instruments of a `subscribed` mark. ValueError when it names none, or one that is no instrument."""
    named = content.get("instruments")
    if not isinstance(named, list):
        raise ValueError("a `subscribed` mark without a list of instruments")
    return [Instrument.from_dict(instrument) for instrument in named]
