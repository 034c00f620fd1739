"""What the facts about classes speak against, and all sentences about it, for log and doctor. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path

from utils.market.class_facts import FEWEST_OUTSIDE, NOT_ASKED, ClassFacts, Quiet, Quiets
from utils.market.instruments import SessionClass
from utils.market.ist import iso_ist


class Doubt(StrEnum):
    """What may be wrong with the hours of a class, or with its feed."""

    OUTSIDE = "outside"  # trades come outside the hours
    UNKNOWN = "unknown"  # nobody knows any
    MUTE = "halted or mute"  # heartbeats come, and no quote of any instrument
    UNSEEN = "unseen"  # nor one since the open, of a class so small that this may be in order


PROBLEMS = frozenset({Doubt.OUTSIDE, Doubt.UNKNOWN, Doubt.MUTE})
Doubted = dict[tuple[Doubt, str], ClassFacts]  # by class, too

_SENTENCES = {
    Doubt.OUTSIDE: "trades come outside the hours that we believe in: {who}; write the right hours into {file}, "
    "restart the workers, and 'python manage.py replay' makes the day's candles anew",
    Doubt.UNKNOWN: "no trading hours are known, so there are no candles: {who}; take these out of INSTRUMENTS",
    Doubt.MUTE: "halted or mute: {who}: heartbeats come, and no quote; if the exchange trades, log in anew "
    "('python manage.py login'); if it is closed, write that into {file} and restart the workers",
    Doubt.UNSEEN: "no quote came yet in a session that should be under way: {who}; what few trade may be quiet so "
    "long; if the exchange is closed or opens later, write that into {file} and restart the workers",
}


def doubts_of(facts: Iterable[ClassFacts]) -> Doubted:
    """By kind and class: what `joined` facts show."""
    return {(doubt, class_facts.name): class_facts for class_facts in facts for doubt in _doubts(class_facts)}


def _doubts(facts: ClassFacts) -> Iterator[Doubt]:
    if not facts.is_known:
        yield Doubt.UNKNOWN
    if facts.outside.trades >= FEWEST_OUTSIDE:
        yield Doubt.OUTSIDE
    if facts.quiet_ms != NOT_ASKED and facts.quiet_ms >= (facts.unquoted_ms or facts.limit_ms):
        yield Doubt.MUTE
    elif 0 < facts.unseen_ms <= facts.quiet_ms:
        yield Doubt.UNSEEN


def sentences(doubted: Doubted, file: Path) -> Iterator[tuple[Doubt, str]]:
    """For each kind one, without its full stop: what is wrong, with whom, and what to do."""
    for doubt, template in _SENTENCES.items():
        if whom := [who(doubt, symbols) for (kind, _), symbols in doubted.items() if kind is doubt]:
            yield doubt, template.format(who=", ".join(whom), file=file)


def who(doubt: Doubt, facts: ClassFacts) -> str:
    """`NSE equity (3 trades, the last of 16:05:03)`, `NSE equity (since 09:15:00)`."""
    if doubt is Doubt.UNKNOWN:
        return f"{facts.name} ({facts.instruments} instruments)"
    if doubt is Doubt.OUTSIDE:
        what = "values" if facts.name.endswith(f" {SessionClass.INDEX}") else "trades"
        return (
            f"{facts.name} ({facts.outside.trades:,} {what}, the last of {iso_ist(facts.outside.latest_ms)[11:19]})"
        )
    return f"{facts.name} (since {iso_ist(facts.since_ms)[11:19]})"


def silent_sentences(facts: Sequence[ClassFacts]) -> Iterator[tuple[bool, str]]:
    """Single instruments of classes that are not mute: whether they ought to be quoted, and which they are."""
    among_others = [class_facts for class_facts in facts if Doubt.MUTE not in _doubts(class_facts)]
    for is_sure in (True, False):
        found = Quiets()
        for class_facts in among_others:
            found |= class_facts.silent if is_sure else class_facts.unsure
        if found.total:
            who = _named(found)
            yield is_sure, f"no usable quote of {who}, unlike their habit; see INSTRUMENTS and the broker's own app"


def _named(quiets: Quiets) -> str:
    """`NSE:TCS (12 min), NSE:INFY (3 min) and 7 more`."""
    more = quiets.total - len(quiets.longest)
    return ", ".join(map(_quiet, quiets.longest)) + (f" and {more} more" if more else "")


def _quiet(quiet: Quiet) -> str:
    return (
        f"{quiet.symbol} ({quiet.ms // 1000} s)"
        if quiet.ms < 120_000
        else f"{quiet.symbol} ({quiet.ms // 60_000} min)"
    )
