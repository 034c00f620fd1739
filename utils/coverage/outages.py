"""When the feed of a shard was down, read from a day of its journal: docs/CANDLES.md section 1. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from utils.journal.entries import Entry, Kind, Mark, read_mark
from utils.market.ist import iso_ist

UNTIL_END = "the journal ends"
BEFORE_DAY = "since before the day"
QUIET_MS = 60_000  # a connector records a mark each second: a day's journal that ends sooner was cut short


@dataclass(frozen=True, slots=True)
class Outage:
    """No feed in [began_ms, ended_ms), epoch ms; `ended_ms` is None while it lasts. `source_ms` names it."""

    shard: int
    source_ms: int
    began_ms: int
    ended_ms: int | None
    reason: str

    def as_document(self) -> dict[str, Any]:
        """Flat and JSON-safe, for MongoDB: the same outage has the same `_id` each time the journal is read."""
        key = f"{self.shard}|{self.source_ms:015d}"
        ended = iso_ist(self.ended_ms) if self.ended_ms is not None else None
        return {
            "_id": key,
            "k": key,
            "t": self.began_ms,
            "end_t": self.ended_ms,
            "shard": self.shard,
            "began": iso_ist(self.began_ms),
            "ended": ended,
            "reason": self.reason,
        }


def outages_of_day(shard: int, entries: Iterable[Entry], day_end_ms: int, is_over: bool) -> list[Outage]:
    """The outages of a day's entries, in order, cut at its begin and, once it `is_over`, at its end.

    An outage begins with the last thing received before its mark, and ends with the next `subscribed`.
    """
    reader = _Reader(shard)
    for entry in entries:
        reader.take(entry)
    return reader.finish(day_end_ms, is_over)


class _Reader:
    """`_received_ms` is when the last thing came from the broker; 0: nothing yet."""

    def __init__(self, shard: int) -> None:
        self._shard = shard
        self._found: list[Outage] = []
        self._open: Outage | None = None
        self._received_ms = self._last_ms = 0

    def take(self, entry: Entry) -> None:
        is_first, self._last_ms = not self._last_ms, entry.id.ms
        if entry.kind is not Kind.MARK:
            if self._open is None:
                self._received_ms = entry.id.ms
            return
        content = _mark_of(entry)
        if content == {}:
            return
        mark = content["mark"]
        if mark == Mark.GAP:
            self._note_gap(entry.id.ms, str(content.get("reason")))
        elif is_first and mark != Mark.SUBSCRIBED:
            self._begin(entry.id.ms, entry.id.ms, str(content.get("reason") or BEFORE_DAY))
        elif mark != Mark.CLOCK and self._open is None and self._received_ms:
            self._begin(entry.id.ms, self._received_ms, str(content.get("reason") or mark))
        if mark == Mark.SUBSCRIBED:
            self._end(entry.id.ms)
            self._received_ms = entry.id.ms

    def _note_gap(self, at_ms: int, reason: str) -> None:
        """What cannot be read, since the last thing that can: over with the next that can."""
        if self._open is None:
            self._begin(at_ms, self._received_ms or at_ms, reason)
            self._end(at_ms)
            self._received_ms = at_ms

    def finish(self, day_end_ms: int, is_over: bool) -> list[Outage]:
        if is_over and self._open is None and self._last_ms and self._last_ms < day_end_ms - QUIET_MS:
            self._begin(self._last_ms, self._last_ms, UNTIL_END)
        if self._open is not None:
            self._found.append(self._open if not is_over else _ended(self._open, day_end_ms))
        return self._found

    def _begin(self, source_ms: int, began_ms: int, reason: str) -> None:
        self._open = Outage(self._shard, source_ms, began_ms, None, reason)

    def _end(self, at_ms: int) -> None:
        if self._open is not None:
            self._found.append(_ended(self._open, at_ms))
        self._open = None


def _ended(outage: Outage, at_ms: int) -> Outage:
    return Outage(outage.shard, outage.source_ms, outage.began_ms, at_ms, outage.reason)


def _mark_of(entry: Entry) -> dict[str, Any]:
    """Empty for one that is none of ours: it changes nothing."""
    try:
        return read_mark(entry.payload)
    except ValueError:
        return {}
