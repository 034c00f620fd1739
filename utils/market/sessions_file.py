"""Reads `sessions.toml`, and a file of your own before it. Every complaint names the file and the entry.

The table itself, and what it has for a day, is `utils/market/sessions_table.py`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

from utils.market.instruments import CASH_EXCHANGES, EXCHANGES, SessionClass
from utils.market.sessions_table import EVERYWHERE, Change, Holiday, Hours, Table, Where, first_hours
from utils.text import decoded

_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")
_SECTIONS = frozenset({"known", "groups", "period", "holidays", "special"})
_TIMES = ("open", "close", "day_start", "day_end", "expiring_close", "post_end")
_COMMON_KEYS = frozenset({"classes", "places", "source"})
_PERIOD_KEYS = _COMMON_KEYS | frozenset({"from", "approximate", *_TIMES})
_HOLIDAY_KEYS = _COMMON_KEYS | frozenset({"dates"})
_SPECIAL_KEYS = _COMMON_KEYS | frozenset(
    {"dates", "approximate", "open", "close", "day_start", "day_end", "post_end"}
)
_SEGMENTS = f"({'|'.join(EXCHANGES)})(-(FUT|OPT))?|INDICES"  # exchanges too, all as in Kite's dump
_UNDERLYINGS = f"({'|'.join(sorted(set(EXCHANGES) - CASH_EXCHANGES))}):[A-Z0-9&-]+"
_PLACE = re.compile(f"{_SEGMENTS}|{_UNDERLYINGS}")

Groups = Mapping[str, Any]


class SessionsError(ValueError):
    """The session table cannot be used; one sentence names which entry is at fault and why."""


def read_table(path: Path, local: Path | None = None) -> Table:
    """The table in a file, and before it what a file of one's own has.

    SessionsError when one of them cannot be believed.
    """
    content = _content(path)
    with _naming(path):
        table = _table(content, {})
        _check_whole(table)
    if local is not None:
        own = _signed(_content(local), local.name)
        with _naming(local):
            table.override(_table(own, content.get("groups", {}), table))
            _check_whole(table)
    return table


def _content(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(decoded(path.read_bytes()))
    except OSError as error:
        raise SessionsError(
            f"{path}: cannot be read ({error.strerror}); restore it, or let this user read it"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SessionsError(f"{path}: not valid TOML ({error}); correct that place") from None


def _signed(content: dict[str, Any], name: str) -> dict[str, Any]:
    """The same, each source with the file's name, so that one sees whose word an hour is."""
    for section in (part for part in content.values() if isinstance(part, list)):
        for entry in section:
            if isinstance(entry, dict) and str(entry.get("source", "")).strip():
                entry["source"] = f"{entry['source']} ({name})"
    return content


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """A complaint from within begins with the file's name."""
    try:
        yield
    except SessionsError as error:
        raise SessionsError(f"{path}: {error}") from None


def _table(content: Mapping[str, Any], groups: Groups, base: Table | None = None) -> Table:
    """Of a file of one's own (`base` is ours) `known` may be left out, in whole or in part."""
    _check_keys("the file", content, _SECTIONS)
    known = content.get("known", {})
    table = Table(
        base.known_from if base and "from" not in known else _day("[known]", "from", known.get("from")),
        base.known_to if base and "to" not in known else _day("[known]", "to", known.get("to")),
    )
    groups = {**groups, **content.get("groups", {})}
    for where, entry in _entries(content, "period", _PERIOD_KEYS):
        _add_period(table, where, entry, _wheres(where, entry, groups))
    for where, entry in _entries(content, "holidays", _HOLIDAY_KEYS):
        _add_holidays(table, where, entry, _wheres(where, entry, groups))
    for where, entry in _entries(content, "special", _SPECIAL_KEYS):
        _add_special(table, where, entry, _wheres(where, entry, groups))
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


def _wheres(where: str, entry: Mapping[str, Any], groups: Groups) -> list[Where]:
    classes, places = _classes(where, entry, groups), entry.get("places", [EVERYWHERE])
    if not isinstance(places, list) or not places:
        raise SessionsError(f"{where}: places is not a list such as ['NSE', 'NFO-FUT']")
    for place in places:
        if place != EVERYWHERE and not _PLACE.fullmatch(str(place)):
            known = ", ".join(EXCHANGES)
            raise SessionsError(
                f"{where}: {place!r} is no exchange or segment such as 'NFO' or 'NFO-FUT', nor contracts on one "
                f"underlying such as 'MCX:KAPAS': known are {known}"
            )
    return [(session_class, place) for session_class in classes for place in places]


def _classes(where: str, entry: Mapping[str, Any], groups: Groups) -> list[SessionClass]:
    names = entry.get("classes")
    if not isinstance(names, list) or not names:
        raise SessionsError(f"{where} has no classes: list at least one, such as 'equity'")
    wanted = [session_class for name in names for session_class in groups.get(name, [name])]
    try:
        return [SessionClass(class_name) for class_name in wanted]
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


def _change(where: str, entry: Mapping[str, Any], name: str = "") -> Change:
    approximate = entry.get("approximate", False)
    if not isinstance(approximate, bool):
        raise SessionsError(f"{where}: approximate is {approximate!r}, not true or false")
    times = {time: _minute(where, entry, time) for time in _TIMES}
    return Change(**times, source=entry["source"], name=name, certain=not approximate)


def _add_period(table: Table, where: str, entry: Mapping[str, Any], wheres: list[Where]) -> None:
    start = _day(where, "from", entry["from"]) if "from" in entry else date.min
    change = _change(where, entry)
    for class_at in wheres:
        if class_at[1] == EVERYWHERE:
            _check_ordinary(where, change)
        if start in table.starts.get(class_at, []):
            raise SessionsError(f"{where}: {_shown(class_at)} already has a period from {start}; keep one")
        table.add_period(class_at, start, change)


def _check_ordinary(where: str, change: Change) -> None:
    if change.open is None or change.close is None:
        raise SessionsError(f"{where} has no {'open' if change.open is None else 'close'}")
    _check_order(where, first_hours(change))


def _check_order(where: str, hours: Hours) -> None:
    if not hours.day_start <= hours.open < hours.close <= hours.day_end:
        raise SessionsError(f"{where}: the times do not rise from day_start over open and close to day_end")
    if hours.expiring_close is not None and not hours.open < hours.expiring_close <= hours.close:
        raise SessionsError(f"{where}: expiring_close is not between open and close")
    if hours.post_end is not None and hours.post_end < hours.day_end:
        raise SessionsError(f"{where}: post_end is before day_end")


def _shown(where: Where) -> str:
    session_class, place = where
    return f"{session_class} at {place}" if place else str(session_class)


def _dates(where: str, entry: Mapping[str, Any]) -> list[tuple[date, str]]:
    dates = entry.get("dates")
    if not isinstance(dates, dict) or not dates:
        raise SessionsError(f'{where} has no dates: write 2026-01-26 = "Republic Day" under it')
    try:
        return [(date.fromisoformat(text), str(name)) for text, name in dates.items()]
    except ValueError as error:
        raise SessionsError(f"{where}: {error}; write dates such as 2026-11-20") from None


def _add_holidays(table: Table, where: str, entry: Mapping[str, Any], wheres: list[Where]) -> None:
    for day, name in _dates(where, entry):
        for class_at in wheres:
            if (class_at, day) in table.holidays:
                raise SessionsError(f"{where}: {day} is already a holiday of {_shown(class_at)}; keep one")
            table.holidays[class_at, day] = Holiday(name, entry["source"])


def _add_special(table: Table, where: str, entry: Mapping[str, Any], wheres: list[Where]) -> None:
    for day, name in _dates(where, entry):
        change = _change(where, entry, name)
        for class_at in wheres:
            if (class_at, day) in table.special or (class_at, day) in table.holidays:
                raise SessionsError(
                    f"{where}: {day} stands twice for {_shown(class_at)} (special or holiday); keep one"
                )
            table.special[class_at, day] = change


def _check_whole(table: Table) -> None:
    """Every class has hours at each time, and the hours of each entry are hours."""
    for session_class in SessionClass:
        if table.starts.get((session_class, EVERYWHERE), [date.max])[0] != date.min:
            raise SessionsError(
                f"{session_class} has no [[period]] without `from`: give the hours that hold at first"
            )
    if table.known_from > table.known_to:
        raise SessionsError("[known]: from is after to")
    for (session_class, place), starts in table.starts.items():
        for start in starts if place else ():
            where = f"[[period]] from {start} for {_shown((session_class, place))}"
            _check_order(where, table.hours(session_class, (place,), start))
    for (session_class, place), day in table.special:
        where = f"[[special]] {day} for {_shown((session_class, place))}"
        _check_order(where, table.hours(session_class, (place,) if place else (), day))
