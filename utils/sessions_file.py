"""Reads `sessions.toml` into a checked table. Every complaint is one sentence that names the file and the entry."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

from utils.instruments import SessionClass
from utils.text_files import decoded

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SECTIONS = frozenset({"known", "groups", "period", "holidays", "special"})
_PERIOD_KEYS = frozenset({"classes", "from", "open", "close", "day_start", "day_end", "expiring_close", "source"})
_HOLIDAY_KEYS = frozenset({"classes", "dates", "source"})
_SPECIAL_KEYS = frozenset({"classes", "dates", "open", "close", "day_start", "day_end", "approximate", "source"})


class SessionsError(ValueError):
    """The session table can not be used; one sentence says which entry is at fault and why."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Ordinary hours, in minutes since 00:00 IST; ends are excluded."""

    open: int
    close: int
    day_start: int
    day_end: int
    expiring_close: int | None = None


@dataclass(frozen=True, slots=True)
class Special:
    """What a special day changes, in minutes since 00:00 IST; None is as usual."""

    open: int | None
    close: int | None
    day_start: int | None
    day_end: int | None


def merged(ordinary: Hours, special: Special) -> Hours:
    """A special session's own hours; what it leaves out is ordinary, and a side it sets has no auction of its own."""
    open_minute = ordinary.open if special.open is None else special.open
    close_minute = ordinary.close if special.close is None else special.close
    default_start = ordinary.day_start if special.open is None else open_minute
    default_end = ordinary.day_end if special.close is None else close_minute
    return Hours(
        open=open_minute,
        close=close_minute,
        day_start=default_start if special.day_start is None else special.day_start,
        day_end=default_end if special.day_end is None else special.day_end,
        expiring_close=ordinary.expiring_close if special.open is None and special.close is None else None,
    )


@dataclass(slots=True)
class Table:
    """The whole file, ready to be asked. Periods of a class are sorted by the day from which they hold."""

    known_from: date
    known_to: date
    starts: dict[SessionClass, list[date]] = field(default_factory=dict)
    periods: dict[SessionClass, list[Hours]] = field(default_factory=dict)
    holidays: set[tuple[SessionClass, date]] = field(default_factory=set)
    special: dict[tuple[SessionClass, date], Special] = field(default_factory=dict)
    approximate: set[date] = field(default_factory=set)

    def hours(self, session_class: SessionClass, day: date) -> Hours:
        """The ordinary hours that hold on a day."""
        return self.periods[session_class][bisect_right(self.starts[session_class], day) - 1]


def read_table(path: Path) -> Table:
    """The table in a file. SessionsError when it can not be read, parsed or believed."""
    try:
        content = tomllib.loads(decoded(path.read_bytes()))
    except OSError as error:
        raise SessionsError(f"{path}: can not be read ({error.strerror}); restore it from the project") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SessionsError(f"{path}: not valid TOML ({error}); correct that place") from None
    try:
        return _table(content)
    except SessionsError as error:
        raise SessionsError(f"{path}: {error}") from None


def _table(content: Mapping[str, Any]) -> Table:
    _check_keys("the file", content, _SECTIONS)
    known = content.get("known", {})
    table = Table(_day("[known]", "from", known.get("from")), _day("[known]", "to", known.get("to")))
    groups = content.get("groups", {})
    for where, entry in _entries(content, "period", _PERIOD_KEYS):
        _add_period(table, where, entry, _classes(where, entry, groups))
    for where, entry in _entries(content, "holidays", _HOLIDAY_KEYS):
        _add_holidays(table, where, entry, _classes(where, entry, groups))
    for where, entry in _entries(content, "special", _SPECIAL_KEYS):
        _add_special(table, where, entry, _classes(where, entry, groups))
    _check_whole(table)
    return table


def _entries(content: Mapping[str, Any], section: str, keys: frozenset[str]) -> list[tuple[str, dict[str, Any]]]:
    entries = content.get(section, [])
    if not isinstance(entries, list):
        raise SessionsError(f"{section} is not a list of tables: write [[{section}]]")
    named = [(f"[[{section}]] number {number}", entry) for number, entry in enumerate(entries, 1)]
    for where, entry in named:
        _check_keys(where, entry, keys)
        if not isinstance(entry.get("source"), str) or not entry["source"].strip():
            raise SessionsError(f"{where} has no source: say where its facts come from")
    return named


def _check_keys(where: str, entry: Mapping[str, Any], keys: frozenset[str]) -> None:
    unknown = sorted(set(entry) - keys)
    if unknown:
        raise SessionsError(f"{where} has an unknown key {unknown[0]!r}: known are {', '.join(sorted(keys))}")


def _classes(where: str, entry: Mapping[str, Any], groups: Mapping[str, Any]) -> list[SessionClass]:
    names = entry.get("classes")
    if not isinstance(names, list) or not names:
        raise SessionsError(f"{where} has no classes: list at least one, such as 'equity'")
    wanted = [one for name in names for one in groups.get(name, [name])]
    try:
        return [SessionClass(one) for one in wanted]
    except ValueError as error:
        raise SessionsError(
            f"{where} names an unknown class ({error}): known are {', '.join(SessionClass)}"
        ) from None


def _day(where: str, name: str, value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise SessionsError(f"{where}: {name} {value!r} is not a date such as 2026-11-20")


def _minute(where: str, entry: Mapping[str, Any], name: str) -> int | None:
    if name not in entry:
        return None
    match = _TIME.fullmatch(str(entry[name]))
    if match is None:
        raise SessionsError(f"{where}: {name} {entry[name]!r} is not a time of day such as '09:15'")
    return int(match[1]) * 60 + int(match[2])


def _add_period(table: Table, where: str, entry: Mapping[str, Any], classes: list[SessionClass]) -> None:
    start = _day(where, "from", entry["from"]) if "from" in entry else date.min
    open_minute, close_minute = _minute(where, entry, "open"), _minute(where, entry, "close")
    if open_minute is None or close_minute is None:
        raise SessionsError(f"{where} has no {'open' if open_minute is None else 'close'}")
    day_start, day_end = _minute(where, entry, "day_start"), _minute(where, entry, "day_end")
    hours = Hours(
        open_minute,
        close_minute,
        open_minute if day_start is None else day_start,
        close_minute if day_end is None else day_end,
        _minute(where, entry, "expiring_close"),
    )
    _check_order(where, hours)
    for one in classes:
        starts, periods = table.starts.setdefault(one, []), table.periods.setdefault(one, [])
        if start in starts:
            raise SessionsError(f"{where}: {one} already has a period from {start}; keep one")
        at = bisect_right(starts, start)
        starts.insert(at, start)
        periods.insert(at, hours)


def _check_order(where: str, hours: Hours) -> None:
    if not hours.day_start <= hours.open < hours.close <= hours.day_end:
        raise SessionsError(f"{where}: the times do not rise from day_start over open and close to day_end")
    if hours.expiring_close is not None and not hours.open < hours.expiring_close <= hours.close:
        raise SessionsError(f"{where}: expiring_close is not between open and close")


def _dates(where: str, entry: Mapping[str, Any]) -> list[date]:
    dates = entry.get("dates")
    if not isinstance(dates, dict) or not dates:
        raise SessionsError(f'{where} has no dates: write 2026-01-26 = "Republic Day" under it')
    try:
        return [date.fromisoformat(text) for text in dates]
    except ValueError as error:
        raise SessionsError(f"{where}: {error}; write dates such as 2026-11-20") from None


def _add_holidays(table: Table, where: str, entry: Mapping[str, Any], classes: list[SessionClass]) -> None:
    for day in _dates(where, entry):
        for one in classes:
            if (one, day) in table.holidays:
                raise SessionsError(f"{where}: {day} is already a holiday of {one}; keep one")
            table.holidays.add((one, day))


def _add_special(table: Table, where: str, entry: Mapping[str, Any], classes: list[SessionClass]) -> None:
    special = Special(*(_minute(where, entry, name) for name in ("open", "close", "day_start", "day_end")))
    for day in _dates(where, entry):
        if entry.get("approximate", False):
            table.approximate.add(day)
        for one in classes:
            if (one, day) in table.special or (one, day) in table.holidays:
                raise SessionsError(f"{where}: {day} stands twice for {one} (special or holiday); keep one")
            table.special[one, day] = special


def _check_whole(table: Table) -> None:
    for one in SessionClass:
        if table.starts.get(one, [date.max])[0] != date.min:
            raise SessionsError(f"{one} has no [[period]] without `from`: give the hours that hold at first")
    if table.known_from > table.known_to:
        raise SessionsError("[known]: from is after to")
    for (one, day), special in table.special.items():
        _check_order(f"[[special]] {day} for {one}", merged(table.hours(one, day), special))
