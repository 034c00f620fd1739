"""What speaks against the hours of the session table, and the sentences for log and doctor. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path


class Doubt(StrEnum):
    """Its kinds; the values are fields of the candle worker's health report."""

    OUTSIDE = "hours_outside"  # trades outside the hours
    SILENT = "hours_silent"  # none since the session should have begun
    QUIET = "hours_quiet"  # none any more, though the session should go on
    UNKNOWN = "hours_unknown"  # nobody knows any


_EACH = re.compile(r"[^,(]+[(][^)]*[)]")
Doubts = Mapping[Doubt, Sequence[str]]  # by kind, of whom: `MCX-FUT commodity (3 trades, the last of 23:56:10)`

_SENTENCES = {
    Doubt.OUTSIDE: "trades come outside the hours that we believe in: {who}; write the right hours into {file}, "
    "restart the workers, and 'python manage.py replay' makes the day's candles anew",
    Doubt.SILENT: "no trade came yet in a session that should be under way: {who}; if the exchange is closed or "
    "opens later, write that into {file} and restart the workers",
    Doubt.QUIET: "no trade comes any more in a session that should go on: {who}; if it ended earlier, write that "
    "into {file} and restart the workers",
    Doubt.UNKNOWN: "no trading hours are known, so there are no candles: {who}; take these out of INSTRUMENTS",
}
PROBLEMS = frozenset({Doubt.OUTSIDE, Doubt.SILENT, Doubt.UNKNOWN})  # a class may have no more to trade for today


def sentence(doubt: Doubt, who: str, file: Path) -> str:
    """One sentence, without its full stop: what is wrong, with whom, and what to do."""
    return _SENTENCES[doubt].format(who=who, file=file)


def as_fields(doubts: Sequence[Doubts]) -> dict[str, str]:
    """Fields of a health report, empty where nothing is to say, from the doubts of several shards."""
    return {kind.value: ", ".join(who for part in doubts for who in part.get(kind, ())) for kind in Doubt}


def without_classes(who: str, classes: Collection[str]) -> str:
    """What `as_fields` made of several, without those of some classes.

    >>> without_classes("NSE equity (since 09:15:00), NFO-FUT index_derivative (since 09:15:00)", ["equity"])
    'NFO-FUT index_derivative (since 09:15:00)'
    """
    return ", ".join(one.strip() for one in _EACH.findall(who) if _name(one).rpartition(" ")[2] not in classes)


class NewDoubts:
    """Tells of each class and kind once, until it is over."""

    def __init__(self) -> None:
        self._told: set[tuple[Doubt, str]] = set()

    def of(self, doubts: Sequence[Doubts]) -> Iterator[tuple[Doubt, str]]:
        """Those that were not there the last time."""
        found = {(kind, _name(who)): who for part in doubts for kind, names in part.items() for who in names}
        for (kind, name), who in found.items():
            if (kind, name) not in self._told:
                yield kind, who
        self._told = set(found)


def _name(who: str) -> str:
    return who.partition(" (")[0]
