"""What was seen of each class of instruments at its place, as facts: of one shard, or of all together. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from heapq import nlargest
from operator import attrgetter
from typing import Any, NamedTuple

FEWEST_OUTSIDE = 3  # trades: one or two may be strays
TOGETHER_MS = 600_000  # and so are some that have so long between them, of thousands of contracts in a day
NAMED_AT_MOST = 3
NOT_ASKED = -1


class Quiet(NamedTuple):
    """An instrument, and for how many ms it has been silent."""

    symbol: str
    ms: int


class Quiets(NamedTuple):
    """How many are quiet, and those that are so for longest, in that order."""

    total: int = 0
    longest: tuple[Quiet, ...] = ()

    @classmethod
    def of(cls, quiets: Iterable[Quiet], total: int) -> Quiets:
        return cls(total, tuple(nlargest(NAMED_AT_MOST, quiets, key=attrgetter("ms"))))

    def __or__(self, other: Quiets) -> Quiets:
        return Quiets.of([*self.longest, *other.longest], self.total + other.total)


class Outside(NamedTuple):
    """Trades outside the hours, and the time of the latest (epoch ms)."""

    trades: int = 0
    latest_ms: int = 0

    def __or__(self, other: Outside) -> Outside:
        """Few that have long between them are strays: the later ones stay."""
        earlier, later = sorted((self, other), key=attrgetter("latest_ms"))
        if earlier.trades < FEWEST_OUTSIDE and later.latest_ms - earlier.latest_ms > TOGETHER_MS:
            return later
        return Outside(earlier.trades + later.trades, later.latest_ms)


class ClassFacts(NamedTuple):
    """Of those of a class at a place that have the same session (`open_ms`, `close_ms`, 0 where there is none).

    While none of them has to send, `quiet_ms` is NOT_ASKED: no session, no connection, or a backlog.
    """

    name: str  # `NFO-FUT index_derivative`, `NSE equity`
    instruments: int
    is_known: bool = True
    open_ms: int = 0
    close_ms: int = 0
    outside: Outside = Outside()
    since_ms: int = 0  # when the last one sent, or could have for the first time
    quiet_ms: int = NOT_ASKED  # so long ago
    limit_ms: int = 0  # and together they are never quiet for so long
    unquoted_ms: int = 0  # while none sent even its cached packet the limit is so much
    unseen_ms: int = 0  # after so long it is odd that no quote is of this session; both 0 where they do not apply
    silent: Quiets = Quiets()  # those that ought to send
    unsure: Quiets = Quiets()  # those that may have a reason to be quiet

    def joined(self, other: ClassFacts) -> ClassFacts:
        """Of both shards: who sends in one of them is not silent, and who never sent has no habit."""
        asked = [facts for facts in (self, other) if facts.quiet_ms != NOT_ASKED]
        active = [facts for facts in asked if not facts.unquoted_ms] or asked
        return self._replace(
            instruments=self.instruments + other.instruments,
            outside=self.outside | other.outside,
            since_ms=max(self.since_ms, other.since_ms),
            quiet_ms=min((facts.quiet_ms for facts in asked), default=NOT_ASKED),
            limit_ms=min((facts.limit_ms for facts in active), default=0),
            unquoted_ms=min((facts.unquoted_ms for facts in asked), default=0),
            unseen_ms=min((facts.unseen_ms for facts in asked), default=0),
            silent=self.silent | other.silent,
            unsure=self.unsure | other.unsure,
        )


def joined(facts: Iterable[ClassFacts]) -> list[ClassFacts]:
    """One for each class at its place, whatever shards it is in."""
    found: dict[tuple[str, int, int], ClassFacts] = {}
    for class_facts in facts:
        key = class_facts.name, class_facts.open_ms, class_facts.close_ms
        found[key] = found[key].joined(class_facts) if key in found else class_facts
    return list(found.values())


def as_text(facts: Iterable[ClassFacts]) -> str:
    """For a field of the health report."""
    return json.dumps(list(facts))


def from_text(text: str) -> list[ClassFacts]:
    """The inverse of `as_text`; none where the field is empty, or that of another version's worker."""
    try:
        return [_facts(class_name) for class_name in json.loads(text)]
    except (ValueError, TypeError):
        return []


def _facts(values: list[Any]) -> ClassFacts:
    found = ClassFacts(*values)
    silent, unsure = (
        Quiets(total, tuple(Quiet(*quiet) for quiet in longest)) for total, longest in (found.silent, found.unsure)
    )
    return found._replace(outside=Outside(*found.outside), silent=silent, unsure=unsure)
