"""The table of trading hours in memory, and what it has for one day. Pure.

An entry holds for a class everywhere, or only at a `place`: an exchange (`NFO`), a segment of one (`NFO-FUT`), or the
contracts on one underlying (`MCX:KAPAS`).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from datetime import date

from utils.market.instruments import SessionClass

EVERYWHERE = ""
SATURDAY = 5
Where = tuple[SessionClass, str]  # class, place
Places = tuple[str, ...]  # of an instrument, the narrowest first


@dataclass(frozen=True, slots=True)
class Hours:
    """One day's hours, in minutes since 00:00 IST; ends are excluded. Until `post_end` the exchange still trades."""

    open: int
    close: int
    day_start: int
    day_end: int
    expiring_close: int | None = None
    post_end: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What an entry makes different, in minutes since 00:00 IST; None is as it was."""

    open: int | None = None
    close: int | None = None
    day_start: int | None = None
    day_end: int | None = None
    expiring_close: int | None = None
    post_end: int | None = None
    source: str = ""
    name: str = ""
    certain: bool = True


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day without a session."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the table has for a day: the hours, None when closed; `why` is the day's name or why it is closed."""

    hours: Hours | None
    why: str
    sources: tuple[str, ...]
    certain: bool = True


def changed_hours(ordinary: Hours, change: Change) -> Hours:
    """Hours after a change; what it leaves out stays, and a side that it sets has no auction of its own."""
    sets_hours = change.open is not None or change.close is not None
    open_minute = ordinary.open if change.open is None else change.open
    close_minute = ordinary.close if change.close is None else change.close
    default_start = ordinary.day_start if change.open is None else open_minute
    default_end = ordinary.day_end if change.close is None else close_minute
    default_post = ordinary.post_end if change.close is None else None
    default_expiring = None if sets_hours else ordinary.expiring_close
    return Hours(
        open=open_minute,
        close=close_minute,
        day_start=default_start if change.day_start is None else change.day_start,
        day_end=default_end if change.day_end is None else change.day_end,
        expiring_close=default_expiring if change.expiring_close is None else change.expiring_close,
        post_end=default_post if change.post_end is None else change.post_end,
    )


@dataclass(slots=True)
class Table:
    """All entries, ready to be asked. `starts` and `periods` of a class and place are sorted alike, by date."""

    known_from: date
    known_to: date
    starts: dict[Where, list[date]] = field(default_factory=dict)
    periods: dict[Where, list[Change]] = field(default_factory=dict)
    holidays: dict[tuple[Where, date], Holiday] = field(default_factory=dict)
    special: dict[tuple[Where, date], Change] = field(default_factory=dict)

    @property
    def narrow(self) -> frozenset[Where]:
        """Classes at places that have entries of their own."""
        entries = [*self.starts, *(where for where, _ in [*self.holidays, *self.special])]
        return frozenset(where for where in entries if where[1] != EVERYWHERE)

    @property
    def uncertain_days(self) -> frozenset[date]:
        """Days whose own hours are a guess."""
        return frozenset(day for (_, day), change in self.special.items() if not change.certain)

    def add_period(self, where: Where, start: date, change: Change) -> None:
        """It holds from a day on, until the next one; it replaces one that begins on the same day."""
        starts, periods = self.starts.setdefault(where, []), self.periods.setdefault(where, [])
        at = bisect_left(starts, start)
        if at < len(starts) and starts[at] == start:
            periods[at] = change
        else:
            starts.insert(at, start)
            periods.insert(at, change)

    def override(self, other: Table) -> None:
        """The entries of another table go before these, day by day and place by place."""
        self.known_from = min(self.known_from, other.known_from)
        self.known_to = max(self.known_to, other.known_to)
        for where, starts in other.starts.items():
            for start, change in zip(starts, other.periods[where], strict=True):
                self.add_period(where, start, change)
        for key in [*other.special, *other.holidays]:
            self.special.pop(key, None)
            self.holidays.pop(key, None)
        self.special |= other.special
        self.holidays |= other.holidays

    def ruling(self, session_class: SessionClass, places: Places, day: date) -> Ruling:
        """What holds for a class at some places (the narrowest first) on a day."""
        wheres = _wheres(session_class, places)
        holiday = self._holiday(wheres, day)
        if holiday is not None:
            return Ruling(None, holiday.name, (holiday.source,))
        special = self._special(wheres, day)
        if not special and day.weekday() >= SATURDAY:
            return Ruling(None, f"a {day:%A}", ())
        ordinary = self._periods(wheres, day)
        changes = [*ordinary, *special]
        # A special day with a close of its own does not hang on what is ordinary.
        decisive = special if special and special[-1].close is not None else changes
        hours = self.hours(session_class, places, day)
        # A day that begins at 17:00 is none for contracts that stop at 17:00.
        return Ruling(
            hours if hours.open < hours.close else None,
            special[-1].name if special else "",
            tuple(dict.fromkeys(change.source for change in reversed(changes))),
            certain=all(change.certain for change in decisive),
        )

    def hours(self, session_class: SessionClass, places: Places, day: date) -> Hours:
        """The hours, were the day no holiday and no weekend."""
        wheres = _wheres(session_class, places)
        ordinary, *changes = [*self._periods(wheres, day), *self._special(wheres, day)]
        hours = first_hours(ordinary)
        for change in changes:
            hours = changed_hours(hours, change)
        return hours

    def _holiday(self, wheres: list[Where], day: date) -> Holiday | None:
        """The narrowest entry of the day decides whether there is a session at all."""
        for where in wheres:
            if (where, day) in self.special:
                return None
            if (where, day) in self.holidays:
                return self.holidays[where, day]
        return None

    def _periods(self, wheres: list[Where], day: date) -> list[Change]:
        """What holds ordinarily, the widest first."""
        found = [(where, bisect_right(self.starts.get(where, []), day)) for where in reversed(wheres)]
        return [self.periods[where][at - 1] for where, at in found if at]

    def _special(self, wheres: list[Where], day: date) -> list[Change]:
        return [self.special[where, day] for where in reversed(wheres) if (where, day) in self.special]


def _wheres(session_class: SessionClass, places: Places) -> list[Where]:
    """The narrowest first."""
    return [(session_class, place) for place in (*places, EVERYWHERE)]


def first_hours(change: Change) -> Hours:
    """Of an ordinary period everywhere, which has an open and a close."""
    assert change.open is not None
    assert change.close is not None
    return changed_hours(Hours(change.open, change.close, change.open, change.close), change)
