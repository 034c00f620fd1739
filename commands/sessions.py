"""`manage.py sessions`: the trading hours of a day, class by class, with the source of each."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

import click

from commands.shared.console import load_calendar, load_settings
from utils.market.hours_kept import Kept
from utils.market.instruments import EXCHANGES, classes_of_exchange
from utils.market.ist import ist_date
from utils.market.sessions import SessionCalendar
from utils.market.sessions_table import Hours, Ruling
from utils.runtime.settings import Settings


@click.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), required=False)
def command(day: datetime | None) -> None:
    """Print the hours of each class on DAY (YYYY-MM-DD, today when left out), and where they come from.

    The hours are those of utils/market/sessions.toml, and before them those of SESSIONS_LOCAL_FILE.
    """
    settings = load_settings()
    calendar = load_calendar(settings)
    asked = day.date() if day is not None else ist_date(settings.market_clock.now_ms())
    for line in shown_day(calendar, asked):
        click.echo(line)
    click.echo(_own_file(settings))


def _own_file(settings: Settings) -> str:
    file = settings.sessions_local_file
    return f"{file} goes before." if file.is_file() else f"There is no {file}, which would go before."


def shown_day(calendar: SessionCalendar, day: date) -> Iterator[str]:
    """A line for each place and class, then the sources by number."""
    sources: list[str] = []
    yield f"{day:%A %Y-%m-%d}, hours in IST"
    yield f"{'':36}{'continuous':14}{'day candle':14}source"
    for kept in _all_kept(calendar):
        ruling = calendar.ruling(kept.session_class, kept.places, day)
        numbers = [_number(source, sources) for source in ruling.sources]
        yield _line(kept, ruling, numbers).rstrip()
    for number, source in enumerate(sources, 1):
        yield f"[{number}] {source}"
    if not calendar.is_known(day):
        yield f"Not certain: the calendar ends on {calendar.last_known_day}, or the hours of this day are a guess."


def _all_kept(calendar: SessionCalendar) -> Iterator[Kept]:
    """Each class at its exchanges, and where else it has entries of its own: `NFO-FUT`, `MCX:KAPAS`."""
    for exchange in EXCHANGES:
        for session_class in classes_of_exchange(exchange):
            yield Kept(session_class, (exchange,))
            for place in calendar.narrow_places(session_class):
                if place.startswith((f"{exchange}-", f"{exchange}:")):
                    yield Kept(session_class, (place, exchange))


def _number(source: str, sources: list[str]) -> int:
    if source not in sources:
        sources.append(source)
    return sources.index(source) + 1


def _line(kept: Kept, ruling: Ruling, numbers: list[int]) -> str:
    name = f"{kept.places[0]} {kept.session_class}"
    marks = "".join(f"[{number}]" for number in numbers)
    if ruling.hours is None:
        return f"{name:36}closed: {ruling.why} {marks}"
    doubt = "" if ruling.certain else "  not certain"
    why = f"  {ruling.why}" if ruling.why else ""
    expiring = ruling.hours.expiring_close
    expiry = f"  expiring contracts to {_clock(expiring)}" if expiring is not None else ""
    return f"{name:36}{_continuous(ruling.hours):14}{_day(ruling.hours):14}{marks}{doubt}{why}{expiry}"


def _continuous(hours: Hours) -> str:
    return f"{_clock(hours.open)}-{_clock(hours.close)}"


def _day(hours: Hours) -> str:
    return f"{_clock(hours.day_start)}-{_clock(hours.day_end)}"


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
